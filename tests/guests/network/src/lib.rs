//! A guest that uses what it was granted beyond itself: peers, names, servers, directories. What
//! it was not granted it tries just the same.
#![cfg(target_family = "wasm")]

mod request;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use request::{http_get, http_hold};
use sandmill_guest::{Failure, task};
use wasip2::filesystem::preopens::get_directories;

sandmill_guest::export!(
    tcp_echo,
    tcp_wait,
    tcp_listen,
    udp_echo,
    udp_bind,
    udp_to_other,
    udp_from,
    resolve,
    http_get,
    http_hold,
    rename,
    hard_link,
    set_size,
    set_times,
    hold_listings
);

/// Sends a text and reads what comes back until the peer closes.
#[task]
fn tcp_echo(peer: String, text: String) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(peer)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Connects, and waits for a word from the peer.
#[task]
fn tcp_wait(peer: String) -> Result<usize, Failure> {
    Ok(TcpStream::connect(peer)?.read(&mut [0; 8])?)
}

/// Waits for a connection.
#[task]
fn tcp_listen(address: String) -> Result<(), Failure> {
    TcpListener::bind(address)?.accept()?;
    Ok(())
}

/// Sends a datagram and returns the answer, over a socket that is or is not connected.
#[task]
fn udp_echo(peer: String, text: String, connected: bool) -> Result<String, Failure> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    if connected {
        socket.connect(&peer)?;
        socket.send(text.as_bytes())?;
    } else {
        socket.send_to(text.as_bytes(), &peer)?;
    }
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Takes a port.
#[task]
fn udp_bind(address: String) -> Result<(), Failure> {
    UdpSocket::bind(address)?;
    Ok(())
}

/// Talks to one peer, and then sends to another over the same socket.
#[task]
fn udp_to_other(peer: String, other: String) -> Result<(), Failure> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"first", peer)?;
    socket.send_to(b"second", other)?;
    Ok(())
}

/// Tells a peer of its port, and returns the first datagram that comes.
#[task]
fn udp_from(peer: String) -> Result<String, Failure> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"here", peer)?;
    let mut word = [0; 100];
    let (length, _) = socket.recv_from(&mut word)?;
    Ok(String::from_utf8_lossy(&word[..length]).into_owned())
}

/// The addresses of a name.
#[task]
fn resolve(name: String) -> Result<Vec<String>, Failure> {
    Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip().to_string()).collect())
}

/// Renames a file.
#[task]
fn rename(from: String, to: String) -> Result<(), Failure> {
    Ok(fs::rename(from, to)?)
}

/// Makes another name for a file.
#[task]
fn hard_link(from: String, to: String) -> Result<(), Failure> {
    Ok(fs::hard_link(from, to)?)
}

/// Gives a file another size, through a descriptor that was opened for reading.
#[task]
fn set_size(path: String, size: u64) -> Result<(), Failure> {
    Ok(fs::File::open(path)?.set_len(size)?)
}

/// Sets a file's times, through a descriptor that was opened for reading.
#[task]
fn set_times(path: String) -> Result<(), Failure> {
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    Ok(fs::File::open(path)?.set_times(times)?)
}

/// Lists the first granted directory many times over, and keeps all of the listings.
#[task]
fn hold_listings(count: usize) -> Result<usize, Failure> {
    let (directory, _) = get_directories()
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new("nothing", "there is no directory"))?;
    let held: Result<Vec<_>, _> = (0..count).map(|_| directory.read_directory()).collect();
    Ok(held.map_err(|error| Failure::new("error", error.name()))?.len())
}
