//! Garbage, giants, slow sockets and vanished peers: whoever does it loses its own connection, and
//! all others are served.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_transport::direct::{LinkError, ServeOptions, Timeouts, connect};
use sandmill_transport::message::ToWorker;
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::certificates::Pki;
use crate::support::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client of HTTP/2 says first, and then these frames.
fn http2(frames: &[&[u8]]) -> Vec<u8> {
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    [&[PREFACE, settings], frames].concat().concat()
}

/// The request to open a link, with or without a hello.
fn request(headers: &[(&str, &str)]) -> Vec<u8> {
    // Literal header fields without indexing, names and values in plain (RFC 7541, 6.2.2).
    let mut block = Vec::new();
    let all = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/sandmill.Worker/Open"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    for (name, value) in all.iter().chain(headers) {
        block.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push((length % 128) as u8 | 128);
                    length /= 128;
                }
                block.push(length as u8);
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(1, 4, 1, &block)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Sends bytes and waits until the server has closed; gives what it said.
async fn closed_after(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A reset is an end like any other.
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server closes");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_costs_only_its_own_connection() {
    let served = Served::on("tcp://127.0.0.1:0", ServerSecurity::Plain).await;
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .collect()
    };
    let mut bad: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        // A frame of the greatest length there is.
        http2(&[&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]]),
        // Headers that go on and on.
        http2(&[&frame(1, 0, 1, &vec![0; 16_000]), &frame(9, 0, 1, &vec![0; 16_000])]),
        http2(&[&request(&[])]),
        http2(&[&request(&[("sandmill-hello-bin", "!!!")])]),
        http2(&[&request(&[("sandmill-hello-bin", &"A".repeat(6_000))])]),
        http2(&[&request(&[("sandmill-hello-bin", "3f////8")])]),
    ];
    bad.extend((0..60).map(|n| random(n * 37)));
    bad.extend((0..60).map(|n| http2(&[&random(n * 37)])));
    let (wrong, noise) = bad.split_at(8);
    for bytes in wrong {
        closed_after(served.port(), bytes).await;
    }
    for bytes in noise {
        let mut stream = TcpStream::connect(("127.0.0.1", served.port())).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let reading = async { stream.read_to_end(&mut Vec::new()).await };
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server closes");
    }
    assert_eq!(served.echo.opened.load(Ordering::SeqCst), 1);
    served.told("there is no hello").await;
    served.told("its hello is too large").await;
    served.told("a hello that cannot be read").await;
    echoes(&mut connection, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_place_of_tls() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    let address = format!("127.0.0.1:{}", served.port());
    // `localhost` may be either; the server listens at one of them.
    let address = match TcpStream::connect(&address).await {
        Ok(_) => address,
        Err(_) => format!("[::1]:{}", served.port()),
    };
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        http2(&[]),
        vec![0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff],
        vec![0xff; 100_000],
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let reading = async { stream.read_to_end(&mut Vec::new()).await };
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server closes");
    }
    served.told("does not speak TLS").await;
    let (_, mut connection) = served.connect(&pki.client()).await.unwrap();
    echoes(&mut connection, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_frame_ends_its_link_before_it_is_read() {
    let served = Served::on("tcp://127.0.0.1:0", ServerSecurity::Plain).await;
    let hello = base64(&rmp_serde::to_vec_named(&hello()).unwrap());
    for length in [u32::MAX, (1 << 20) + (64 << 10) + 1] {
        let mut giant = vec![0];
        giant.extend(length.to_be_bytes());
        giant.extend([0xc0; 100]);
        let before = served.notices.lock().len();
        let bytes = http2(&[&request(&[("sandmill-hello-bin", &hello)]), &frame(0, 0, 1, &giant)]);
        let said = closed_after(served.port(), &bytes).await;
        assert!(contains(&said, b"a frame of more than"), "it is not told why");
        let told: Vec<_> =
            served.notices.lock()[before..].iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|words| words.contains("a frame of more than")), "{told:?}");
    }
    // Frames within the limit that are no messages.
    let mut wrong = vec![0, 0, 0, 0, 3];
    wrong.extend([0xc1, 0xc1, 0xc1]);
    let bytes = http2(&[&request(&[("sandmill-hello-bin", &hello)]), &frame(0, 0, 1, &wrong)]);
    let said = closed_after(served.port(), &bytes).await;
    assert!(contains(&said, b"a message that cannot be read"), "it is not told why");
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    echoes(&mut connection, 10).await;
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_sockets_keep_nobody_out() {
    let pki = Pki::new();
    // The beginnings of what would be right.
    let client_hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1];
    for (address, server, client, bytes) in [
        ("tcp://127.0.0.1:0", ServerSecurity::Plain, ClientSecurity::Plain, PREFACE),
        ("tls://127.0.0.1:0", pki.server("127.0.0.1"), pki.client(), client_hello),
    ] {
        let served = Served::on(address, server).await;
        let (_, mut old) = served.connect(&client).await.unwrap();
        let mut slow = Vec::new();
        for _ in 0..1_000 {
            slow.push(TcpStream::connect(("127.0.0.1", served.port())).await.unwrap());
        }
        let started = Instant::now();
        for round in 0..7 {
            // One byte a second each.
            for stream in &mut slow {
                let _ = stream.try_write(&bytes[round..=round]);
            }
            echoes(&mut old, 50).await;
            // Newcomers are let in while the strangers' places are all taken.
            let asked = Instant::now();
            let (_, mut new) = served.connect(&client).await.unwrap();
            echoes(&mut new, 5).await;
            assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(started.elapsed() > Duration::from_secs(6));
        // All of them are gone by now.
        for stream in &mut slow {
            let reading = async { stream.read_to_end(&mut Vec::new()).await };
            let _ = tokio::time::timeout(PATIENCE, reading).await.expect("slow ones are closed");
        }
        served.told("it did not say hello in time").await;
        served.told("there are too many that have not said hello").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_end_to_connections() {
    let options = ServeOptions { max_connections: 3, ..ServeOptions::default() };
    let served = Served::with("unix:DIR/s", ServerSecurity::Plain, Echo::default(), options).await;
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(served.connect(&ClientSecurity::Plain).await.unwrap());
    }
    assert!(served.connect(&ClientSecurity::Plain).await.is_err());
    served.told("there are as many connections as there may be").await;
    echoes(&mut links[0].1, 5).await;
    drop(links);
    let started = Instant::now();
    while served.connect(&ClientSecurity::Plain).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "places are not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A way to the server that can be blocked, so that both sides stay open and nothing comes.
struct Way {
    address: sandmill_transport::Address,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (open, gate) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut gate = gate.clone();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        _ = gate.wait_for(|open| !open) => {}
                    }
                    // Both sockets stay as they are, until the test is over.
                    let _ = gate.wait_for(|open| *open).await;
                });
            }
        });
        Self { address, open }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_vanishes_is_noticed_by_both_sides() {
    let served = Served::on("tcp://127.0.0.1:0", ServerSecurity::Plain).await;
    let way = Way::to(served.port()).await;
    let security = ClientSecurity::Plain;
    let (_, mut connection) = connect(&way.address, &security, hello(), patient()).await.unwrap();
    echoes(&mut connection, 10).await;
    way.open.send(false).unwrap();
    let started = Instant::now();
    let error = tokio::time::timeout(PATIENCE, connection.receiver.recv())
        .await
        .expect("it is noticed")
        .expect("it is not an end in order")
        .unwrap_err();
    // Fifteen seconds, and some for a machine that is busy.
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert!(matches!(error, LinkError::Lost(_)), "{error:?}");
    assert!(error.is_passing());
    eventually("the worker to notice", || served.echo.closed.load(Ordering::SeqCst) == 1).await;
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    served.told("lost the link with local").await;
    assert!(connection.receiver.recv().await.is_none());
    assert!(connection.sender.send(ToWorker::Heartbeat).await.is_err());
    let put = connection.blobs.put(sandmill_wire::Digest::of(b"x"), Bytes::from_static(b"x"));
    assert!(tokio::time::timeout(PATIENCE, put).await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_of_a_frame_gives_no_part_of_it() {
    let served = Served::on("tcp://127.0.0.1:0", ServerSecurity::Plain).await;
    let hello = base64(&rmp_serde::to_vec_named(&hello()).unwrap());
    let message = rmp_serde::to_vec_named(&ToWorker::Orders(vec![order(b"abc")])).unwrap();
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend(&message);
    let data = frame(0, 0, 1, &data);
    for cut in 1..data.len() {
        let mut stream = TcpStream::connect(("127.0.0.1", served.port())).await.unwrap();
        let mut bytes = http2(&[&request(&[("sandmill-hello-bin", &hello)])]);
        bytes.extend(&data[..cut]);
        stream.write_all(&bytes).await.unwrap();
        // With something unread, this is a reset.
        stream.peek(&mut [0]).await.unwrap();
        drop(stream);
    }
    eventually("all links to end", || {
        let count = |of: &std::sync::atomic::AtomicUsize| of.load(Ordering::SeqCst);
        count(&served.echo.closed) == count(&served.echo.opened)
    })
    .await;
    assert_eq!(served.echo.frames.load(Ordering::SeqCst), 0, "part of a frame was heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let timeouts = Timeouts { handshake: Duration::from_millis(300), ..Timeouts::default() };
    let error = connect(&address, &ClientSecurity::Plain, hello(), timeouts).await.unwrap_err();
    assert!(matches!(error, LinkError::TimedOut { .. }), "{error:?}");
    assert_eq!(error.to_string(), "the handshake took longer than 300ms");
    let talker = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The first is the one that was left.
        drop(stream);
        (stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0x15; 100_000]).await.ok();
        stream.shutdown().await.ok();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = connect(&address, &ClientSecurity::Plain, hello(), patient()).await.unwrap_err();
    assert!(matches!(error, LinkError::Lost(_) | LinkError::Protocol(_)), "{error:?}");
    talker.await.unwrap();
}
