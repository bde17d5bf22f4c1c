//! Large values by digest, beside what is said over the link.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_transport::direct::LinkError;
use sandmill_transport::message::{FromWorker, Goodbye, ToWorker};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_wire::Digest;

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
