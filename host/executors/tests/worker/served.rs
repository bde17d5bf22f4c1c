//! A worker at an address, with the transport between it and its coordinator.

use std::sync::Arc;
use std::time::Duration;

use sandmill_executors::worker::serve;
use sandmill_transport::Address;
use sandmill_transport::direct::{LinkReceiver, Listener, ServeOptions, Timeouts, connect};
use sandmill_transport::message::{
    Ending, FromWorker, Goodbye, MAX_INLINE, Order, Payload, ToWorker,
};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_wire::{Digest, Value};
use tokio_util::sync::CancellationToken;

use crate::support::*;

async fn next(receiver: &mut LinkReceiver) -> Option<FromWorker> {
    let next = tokio::time::timeout(LONG, receiver.recv()).await.expect("nothing comes");
    next.map(|message| message.unwrap())
}

#[tokio::test]
async fn a_worker_serves_an_address_until_it_is_told_to_leave() {
    let script = Script::echo();
    let worker = worker(&script, 2);
    let listener = Listener::bind(&Address::Tcp(([127, 0, 0, 1], 0).into())).await.unwrap();
    let address = listener.address().clone();
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let (own, stopping) = (Arc::clone(&worker), stop.clone());
    let served = tokio::spawn(async move {
        let options = ServeOptions::default();
        serve(&own, listener, ServerSecurity::Plain, options, LONG, stopping, hurry).await
    });
    let (_, connection) =
        connect(&address, &ClientSecurity::Plain, hello(), Timeouts::default()).await.unwrap();
    let (sender, mut receiver, blobs) = (connection.sender, connection.receiver, connection.blobs);
    let bytes =
        Value::encode(&std::collections::BTreeMap::from([("x", "y".repeat(3 * MAX_INLINE))]));
    let bytes = bytes.unwrap().into_bytes();
    blobs.put(Digest::of(&bytes), bytes.clone()).await.unwrap();
    let large = Order { arguments: Payload::of(&bytes), ..order(0) };
    let mut all = orders(99);
    all.push(large.clone());
    sender.send(ToWorker::Specs(vec![spec(0)])).await.unwrap();
    sender.send(ToWorker::Orders(all)).await.unwrap();
    let (mut ended, mut left) = (0, None);
    while left.is_none() {
        match next(&mut receiver).await.expect("it says goodbye before it goes") {
            FromWorker::Need(digest) => {
                assert_eq!(digest, Digest::of(COMPONENT));
                blobs.put(digest, COMPONENT.into()).await.unwrap();
            }
            FromWorker::Ended(reports) => {
                let settled = reports.iter().map(|report| report.of).collect();
                for report in &reports {
                    let Ending::Value(payload) = &report.ending else { panic!("{report:?}") };
                    if let Payload::Blob { digest, size } = payload {
                        assert_eq!(report.of, of(&large));
                        assert_eq!(blobs.get(*digest, *size).await.unwrap(), bytes);
                    }
                }
                ended += reports.len();
                sender.send(ToWorker::Settled(settled)).await.unwrap();
                if ended == 100 {
                    stop.cancel();
                }
            }
            FromWorker::Goodbye(goodbye) => left = Some(goodbye),
            _ => {}
        }
    }
    assert!(matches!(left, Some(Goodbye::Leaving(_))), "{left:?}");
    let served = tokio::time::timeout(LONG, served).await.unwrap().unwrap();
    served.unwrap();
    assert_eq!((script.started(), worker.status().transfers.len()), (100, 1));
    wait_for_nothing(&worker).await;
    let again = connect(
        &address,
        &ClientSecurity::Plain,
        hello(),
        Timeouts { connect: Duration::from_secs(5), ..Timeouts::default() },
    );
    assert!(again.await.is_err(), "nobody listens any more");
}
