//! Large values by digest, beside what is said over the link.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_transport::Address;
use sandmill_transport::direct::{LinkError, ServeOptions, Timeouts, connect};
use sandmill_transport::message::{FromWorker, Goodbye, ToWorker};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_wire::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::certificates::Pki;
use crate::support::*;

const SIZE: usize = 20 << 20;

fn large(seed: u8) -> Bytes {
    (0..SIZE).map(|n| (n % 251) as u8 ^ seed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_go_both_ways_and_heartbeats_come_through() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    let (_, mut connection) = served.connect(&pki.client()).await.unwrap();
    let values: Vec<_> = (0..4).map(large).collect();
    let blobs = connection.blobs.clone();
    let mut transfers = tokio::task::JoinSet::new();
    for value in values.clone() {
        let blobs = blobs.clone();
        transfers.spawn(async move {
            let digest = Digest::of(&value);
            blobs.put(digest, value.clone()).await.unwrap();
            let back = blobs.get(digest, SIZE as u64).await.unwrap();
            assert!(back == value, "other bytes came back");
        });
    }
    let (mut beats, mut slowest) = (0, Duration::ZERO);
    while !transfers.is_empty() {
        let asked = Instant::now();
        connection.sender.send(ToWorker::Heartbeat).await.unwrap();
        assert!(matches!(next(&mut connection).await, FromWorker::Heartbeat(_)));
        (beats, slowest) = (beats + 1, slowest.max(asked.elapsed()));
        while let Some(done) = transfers.try_join_next() {
            done.unwrap();
        }
    }
    assert!(beats > 10, "only {beats} heartbeats came through");
    assert!(slowest < Duration::from_secs(5), "a heartbeat took {slowest:?}");
    assert_eq!(served.echo.put_bytes.load(Ordering::SeqCst), 4 * SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_too_large_or_something_else_is_said() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let blobs = &connection.blobs;
    let value = Bytes::from_static(b"a value");
    let digest = Digest::of(&value);
    let missing = blobs.get(digest, 100).await.unwrap_err();
    assert!(matches!(&missing, LinkError::Refused(Goodbye::Missing(_))), "{missing}");

    let other = Digest::of(b"another");
    let wrong = blobs.put(other, value.clone()).await.unwrap_err();
    assert!(wrong.to_string().contains("does not have this digest"), "{wrong}");
    assert!(served.echo.blobs.lock().is_empty());
    served.told("does not have this digest").await;

    blobs.put(digest, value.clone()).await.unwrap();
    assert_eq!(blobs.get(digest, 7).await, Ok(value.clone()));
    assert_eq!(blobs.get(digest, 6).await, Err(LinkError::TooLarge { size: 7, limit: 6 }));
    blobs.put(Digest::of(b""), Bytes::new()).await.unwrap();
    assert_eq!(blobs.get(Digest::of(b""), 0).await, Ok(Bytes::new()));

    // A worker that gives other bytes than it was asked for.
    served.echo.blobs.lock().insert(other, value);
    assert_eq!(blobs.get(other, 100).await, Err(LinkError::WrongDigest(other)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_gone_on_with_where_it_broke_off() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    let blobs = &connection.blobs;
    for (seed, kept) in [(1, 1), (2, 700_001), (3, SIZE - 1), (4, SIZE)] {
        let (value, before) = (large(seed), served.echo.put_bytes.load(Ordering::SeqCst));
        let digest = Digest::of(&value);
        served.echo.kept.lock().insert(digest, value.slice(..kept));
        blobs.put(digest, value.clone()).await.unwrap();
        assert_eq!(served.echo.blobs.lock().get(&digest), Some(&value));
        let came = served.echo.put_bytes.load(Ordering::SeqCst) - before;
        assert_eq!(came, (SIZE - kept) as u64, "only the rest was sent");
    }
    // A beginning of something else does not become part of it.
    let value = large(5);
    let digest = Digest::of(&value);
    served.echo.kept.lock().insert(digest, large(6).slice(..100));
    let error = blobs.put(digest, value.clone()).await.unwrap_err();
    assert!(error.to_string().contains("does not have this digest"), "{error}");
    blobs.put(digest, value).await.unwrap();
}

/// A way to a server over which 64 KB a second go there, whatever there is, and everything comes back.
async fn slow_way(port: u16) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (here, _) = listener.accept().await.unwrap();
        let there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let ((mut from, mut back), (mut answers, mut to)) = (here.into_split(), there.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
        let mut some = [0; 4 << 10];
        while let Ok(count @ 1..) = from.read(&mut some).await {
            tokio::time::sleep(Duration::from_millis(count as u64 / 64)).await;
            if to.write_all(&some[..count]).await.is_err() {
                break;
            }
        }
    });
    address
}

/// What is said, and asked, stands behind a value for longer than a silence may last.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_only_slow_stays() {
    const SILENCE: Duration = Duration::from_millis(2_800);
    let beats = Echo { beat: Some(Duration::from_millis(500)), ..Echo::default() };
    let options = ServeOptions {
        keepalive_interval: SILENCE / 4,
        keepalive_timeout: SILENCE * 3 / 4,
        ..ServeOptions::default()
    };
    let served = Served::with("tcp://127.0.0.1:0", ServerSecurity::Plain, beats, options).await;
    let address = slow_way(served.port()).await;
    let timeouts = Timeouts {
        keepalive_interval: SILENCE / 4,
        keepalive_timeout: SILENCE * 3 / 4,
        ..patient()
    };
    let connected = connect(&address, &ClientSecurity::Plain, hello(), timeouts).await;
    let (_, mut connection) = connected.unwrap();
    let value = large(1).slice(..512 << 10);
    let (digest, size) = (Digest::of(&value), value.len());
    let (blobs, began) = (connection.blobs.clone(), Instant::now());
    let put = tokio::spawn(async move { blobs.put(digest, value).await });
    eventually("bytes to come", || served.echo.put_bytes.load(Ordering::SeqCst) > 0).await;
    connection.sender.send(ToWorker::Heartbeat).await.unwrap();
    while !put.is_finished() {
        assert!(matches!(next(&mut connection).await, FromWorker::Heartbeat(_)));
    }
    put.await.unwrap().unwrap();
    assert!(began.elapsed() > 2 * SILENCE, "it was not slow: {:?}", began.elapsed());
    assert_eq!(served.echo.put_bytes.load(Ordering::SeqCst), size as u64);
    assert_eq!(served.echo.opened.load(Ordering::SeqCst), 1);
    assert!(connection.life.heard().is_some_and(|heard| heard.elapsed() < PATIENCE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_ends_on_both_sides() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let (_, mut connection) = served.connect(&ClientSecurity::Plain).await.unwrap();
    for round in 1..=8 {
        // Each seed gives other bytes, so no earlier one can be taken for it.
        let value: Bytes = large(round).repeat(10).into();
        let before = served.echo.put_bytes.load(Ordering::SeqCst);
        let digest = Digest::of(&value);
        let blobs = connection.blobs.clone();
        let put = tokio::spawn(async move { blobs.put(digest, value).await });
        let calls = usize::from(round);
        eventually("bytes to come", || {
            served.echo.put_calls.load(Ordering::SeqCst) == calls
                && served.echo.put_bytes.load(Ordering::SeqCst) > before
        })
        .await;
        put.abort();
        let ended = put.await;
        assert!(ended.unwrap_err().is_cancelled(), "it was too fast to be dropped in the middle");
        assert!(!served.echo.blobs.lock().contains_key(&digest));
        if round == 1 {
            break_is_seen(&served).await;
            // It is told for what it is: nobody was refused anything.
            served.told("what local at unix sent broke off: ").await;
            assert!(!served.notices_text().contains("refused"), "{}", served.notices_text());
        }
    }
    // More were dropped than may be on their way at a time: their places were given back.
    let value = large(77);
    connection.blobs.put(Digest::of(&value), value).await.unwrap();
    echoes(&mut connection, 10).await;
}

/// Either the service is told that the bytes broke off, or its call is dropped; it never ends well.
async fn break_is_seen(served: &Served) {
    tokio::time::sleep(Duration::from_millis(200)).await;
    let so_far = served.echo.put_bytes.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(served.echo.put_bytes.load(Ordering::SeqCst), so_far, "bytes still come");
    assert!(served.echo.blobs.lock().is_empty());
}
