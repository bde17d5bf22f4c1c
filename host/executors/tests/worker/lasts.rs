//! The last results of a worker that leaves: those on their way are waited for, and those that nobody
//! takes are counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_executors::worker::{LAST_WORDS, serve};
use sandmill_transport::Address;
use sandmill_transport::direct::{Listener, ServeOptions, Timeouts, connect};
use sandmill_transport::message::{Ending, FromWorker, Payload, ToWorker};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_wire::{Digest, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// What a slow link carries towards the coordinator in a tenth of a second.
const STEP: usize = 100 << 10;
/// A result that takes it three times as long as a worker waits for last words that do not come.
const RESULT: usize = STEP * 30 * LAST_WORDS.as_secs() as usize;

/// A link to `to` that is slow in one direction.
async fn slow_link(to: Address) -> Address {
    let Address::Tcp(to) = to else { panic!("{to}") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(to).await.unwrap();
        let (mut near_read, mut near_write) = near.into_split();
        let (mut far_read, mut far_write) = far.into_split();
        tokio::spawn(async move { copy(&mut near_read, &mut far_write).await });
        let mut bytes = vec![0; STEP];
        loop {
            match far_read.read(&mut bytes).await {
                Ok(count) if count > 0 => near_write.write_all(&bytes[..count]).await.unwrap(),
                _ => return,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Address::Tcp(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_on_its_way_is_waited_for() {
    let large = Value::encode(&"y".repeat(RESULT)).unwrap();
    let own = large.clone();
    let script = Script::new(move |_| value(own.clone()));
    let worker = worker(&script, 1);
    let listener = Listener::bind(&Address::Tcp(([127, 0, 0, 1], 0).into())).await.unwrap();
    let address = slow_link(listener.address().clone()).await;
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let (own, stopping) = (Arc::clone(&worker), stop.clone());
    let served = tokio::spawn(async move {
        let options = ServeOptions::default();
        serve(&own, listener, ServerSecurity::Plain, options, LONG, stopping, hurry).await
    });
    let connected = connect(&address, &ClientSecurity::Plain, hello(), Timeouts::default());
    let (_, mut connection) = connected.await.unwrap();
    let (sender, blobs) = (connection.sender, connection.blobs);
    put(&worker, COMPONENT).await.unwrap();
    sender.send(ToWorker::Specs(vec![spec(0)])).await.unwrap();
    sender.send(ToWorker::Orders(orders(1))).await.unwrap();
    let mut goodbye = None;
    while goodbye.is_none() {
        let next = tokio::time::timeout(LONG, connection.receiver.recv()).await;
        match next.expect("something is said").expect("it says goodbye").unwrap() {
            FromWorker::Need(digest) => blobs.put(digest, COMPONENT.into()).await.unwrap(),
            FromWorker::Ended(reports) => {
                stop.cancel();
                let began = Instant::now();
                let Ending::Value(Payload::Blob { digest, size }) = reports[0].ending else {
                    panic!("{reports:?}")
                };
                let bytes = blobs.get(digest, size).await.expect("the worker waits for it");
                assert_eq!(Digest::of(&bytes), Digest::of(large.as_bytes()));
                assert!(began.elapsed() > LAST_WORDS * 2, "{:?}", began.elapsed());
                sender.send(ToWorker::Settled(vec![reports[0].of])).await.unwrap();
            }
            FromWorker::Goodbye(said) => goodbye = Some(said),
            _ => {}
        }
    }
    tokio::time::timeout(LONG, served).await.unwrap().unwrap().unwrap();
    assert_eq!(worker.status().untaken, 0);
}

#[tokio::test]
async fn results_that_nobody_takes_are_counted() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(3)).await;
    coordinator.until_ended(3).await;
    let taken = vec![coordinator.heard.ended[0].of];
    coordinator.say(ToWorker::Settled(taken)).await;
    let began = Instant::now();
    let own = Arc::clone(&worker);
    let drained = tokio::spawn(async move { own.drain(LONG).await });
    while coordinator.hear().await {}
    drained.await.unwrap();
    assert_eq!(worker.status().untaken, 2);
    assert!(began.elapsed() >= LAST_WORDS);
    wait_for_nothing(&worker).await;
}
