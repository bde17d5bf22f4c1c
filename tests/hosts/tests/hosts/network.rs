//! The network of the tests does to links what is said of it: else the other tests would show nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use sandmill_test_hosts::{Deaf, Network, inside};

use crate::needs_networks;

/// Longer than an answer takes over a link that is whole.
const SHORT: Duration = Duration::from_millis(500);
/// Longer than TCP waits before it tries again, after some seconds without an answer.
const HEALED: Duration = Duration::from_secs(15);

/// Whether a byte comes back from the other side within `patience`.
fn echoed(stream: &mut TcpStream, byte: u8, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).expect("it is not zero");
    stream.write_all(&[byte]).expect("there is room");
    let mut answer = [0];
    stream.read_exact(&mut answer).is_ok_and(|()| answer[0] == byte)
}

/// Takes in answers until one is `byte`.
fn comes(stream: &mut TcpStream, byte: u8) -> bool {
    stream.set_read_timeout(Some(HEALED)).expect("it is not zero");
    let mut answer = [0];
    while stream.read_exact(&mut answer).is_ok() {
        if answer[0] == byte {
            return true;
        }
    }
    false
}

#[test]
fn links_are_cut_and_healed_and_slowed_as_is_said() {
    needs_networks!();
    let network = Network::new(2);
    let address: SocketAddr = format!("{}:7000", network.address(0)).parse().expect("an address");
    let listener = inside(&network.namespace(0), move || TcpListener::bind(address)).join();
    let listener = listener.expect("no panic").expect("it moves there").expect("it listens");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut buffer = [0; 64 << 10];
        let mut taken = 0;
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            taken += count;
            // Large things are only taken.
            if count < 100 && stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        taken
    });
    let mut stream = TcpStream::connect_timeout(&address, HEALED).expect("it is there");
    assert!(echoed(&mut stream, 1, HEALED));

    network.cut(0);
    assert!(!echoed(&mut stream, 2, SHORT), "the link is cut");
    let other: SocketAddr = format!("{}:7000", network.address(1)).parse().expect("an address");
    let refused = TcpStream::connect_timeout(&other, SHORT).expect_err("nobody listens there");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "the other host is there");
    network.heal(0);
    assert!(comes(&mut stream, 2), "what was sent meanwhile comes");

    for (byte, who) in [(3, Deaf::Host), (4, Deaf::Coordinator)] {
        network.deafen(0, who);
        assert!(!echoed(&mut stream, byte, SHORT), "{who:?} is deaf");
        network.hear_again(0, who);
        assert!(comes(&mut stream, byte), "{who:?} hears again");
    }

    network.slow(0, "64kbit");
    let (before, started) = (network.traffic(0).0, Instant::now());
    stream.set_write_timeout(Some(Duration::from_secs(3))).expect("it is not zero");
    let sent = stream.write_all(&[0; 4 << 20]);
    assert!(sent.is_err(), "4 MB take minutes");
    let rate = (network.traffic(0).0 - before) * 8 * 1_000
        / u64::try_from(started.elapsed().as_millis()).expect("it was not long");
    println!("a link of 64 kbit/s carried {rate} bit/s");
    assert!(rate < 130_000, "it carried {rate} bit/s");
    network.speed_up(0);
    drop(stream);
    assert!(echo.join().expect("no panic") > 4);
}

#[test]
fn nothing_is_left_of_a_network_and_nothing_of_dead_processes() {
    needs_networks!();
    // What a process that was killed would leave: a name with its id, which is nobody's now.
    let mut gone = Command::new("true").spawn().expect("it can be started");
    let _ = gone.wait().expect("it ends");
    let left = format!("sm{}-0n0", gone.id());
    let ip = |words: &[&str]| {
        let output = Command::new("ip").args(words).output().expect("it can be called");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(ip(&["netns", "add", &left]).0);
    let mut inside = Command::new("ip");
    let mut inside = inside
        .args(["netns", "exec", &left, "sleep", "1000"])
        .spawn()
        .expect("a process can be left");
    let network = Network::new(1);
    let name = network.namespace(0);
    assert!(ip(&["netns", "list"]).1.contains(&name));
    assert!(!ip(&["netns", "list"]).1.contains(&left), "what was left is gone");
    assert!(!inside.wait().expect("it can be waited for").success(), "it was killed");
    drop(network);
    let prefix = name.trim_end_matches("n0");
    assert!(!ip(&["netns", "list"]).1.contains(prefix));
    assert!(!ip(&["-br", "link"]).1.contains(prefix));
}
