//! Large arguments and results go by digest, and are kept within bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use sandmill_core::{Report, Usage};
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::message::{Ending, Goodbye, MAX_INLINE, Order, Payload, ToWorker};
use sandmill_wire::{Digest, Failure, Outcome, Value};

use crate::support::*;

fn large(fill: &str) -> Value {
    Value::encode(&BTreeMap::from([("text", fill.repeat(MAX_INLINE))])).unwrap()
}

#[tokio::test]
async fn large_values_go_by_digest_and_stay_until_they_are_settled() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.components.clear();
    let bytes = large("ab").into_bytes();
    let order = Order { arguments: Payload::of(&bytes), ..order(1) };
    // What is not there is handed back, and why is said.
    coordinator.order(vec![order.clone()]).await;
    coordinator.until(|heard| heard.back.len() == 1).await;
    assert!(coordinator.heard.back[0].why.as_ref().unwrap().contains("by digest"));
    put(&worker, &bytes).await.unwrap();
    put(&worker, COMPONENT).await.unwrap();
    let again = Order { lease: lease(), ..order.clone() };
    let twin = Order { run: sandmill_wire::RunId::new(), lease: lease(), ..order };
    coordinator.order(vec![again.clone(), twin.clone()]).await;
    coordinator.until_ended(2).await;
    let digest = Digest::of(&bytes);
    for report in &coordinator.heard.ended {
        let size = bytes.len() as u64;
        assert_eq!(report.ending, Ending::Value(Payload::Blob { digest, size }));
    }
    assert_eq!(worker.bytes_of(&digest), Some(bytes.clone()));
    assert_eq!(worker.status().results, 1, "the same bytes are kept once");
    coordinator.say(ToWorker::Settled(vec![of(&again)])).await;
    wait_for(&worker, |status| status.kept == 1).await;
    assert_eq!(worker.status().results, 1);
    coordinator.say(ToWorker::Settled(vec![of(&twin)])).await;
    wait_for(&worker, |status| status.results == 0).await;
    assert!(worker.bytes_of(&Digest::of(b"never")).is_none());
}

#[tokio::test]
async fn a_failure_with_large_details_goes_by_digest() {
    let script = Script::new(|_| {
        let failure = Failure { details: Some(large("f")), ..Failure::new("large", "so large") };
        Report::new(Outcome::Failure(failure), Usage::default())
    });
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until_ended(1).await;
    let Ending::LargeFailure(Payload::Blob { digest, size }) = coordinator.heard.ended[0].ending
    else {
        panic!("{:?}", coordinator.heard.ended[0].ending);
    };
    let bytes = worker.bytes_of(&digest).unwrap();
    assert_eq!(bytes.len() as u64, size);
    let failure: Failure = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!((&*failure.kind, failure.details), ("large", Some(large("f"))));
}

#[tokio::test]
async fn reports_that_nobody_takes_hold_up_their_coordinator_alone() {
    let script = Script::new(|_| value(large("r")));
    let kept_bytes = 2 * MAX_INLINE as u64;
    let worker = worker_with(&script, WorkerConfig { kept_bytes, ..WorkerConfig::new("tight", 1) });
    let mut lazy = Coordinator::new(&worker).await;
    lazy.order(orders(10)).await;
    lazy.until_ended(2).await;
    lazy.listen(Duration::from_millis(50)).await;
    assert_eq!(lazy.heard.ended.len(), 2, "no more is started");
    let mut brisk = Coordinator::new(&worker).await;
    brisk.settles = true;
    brisk.order(orders(10)).await;
    brisk.until_ended(10).await;
    assert_eq!(worker.status().sessions.iter().filter(|s| s.waiting == 8).count(), 1);
    // Nothing is lost: it goes on where it was.
    let settled = lazy.heard.ended.iter().map(|report| report.of).collect();
    lazy.settles = true;
    lazy.say(ToWorker::Settled(settled)).await;
    lazy.until_ended(10).await;
    wait_for(&worker, |status| status.kept == 0 && status.results == 0).await;
}

#[tokio::test]
async fn large_arguments_that_nobody_names_make_room() {
    let script = Script::echo();
    let config = WorkerConfig { values_bytes: 1_000, ..WorkerConfig::new("tight", 1) };
    let worker = worker_with(&script, config);
    for n in 0..10_u8 {
        put(&worker, &[n; 400]).await.unwrap();
    }
    assert_eq!(worker.status().value_bytes, 800);
    assert!(worker.bytes_of(&Digest::of(&[0; 400])).is_none());
    assert!(worker.bytes_of(&Digest::of(&[9; 400])).is_some());
    assert!(matches!(put(&worker, &[0; 1_001]).await, Err(Goodbye::Forbidden(_))));
    // What is on its way has its room, and gives it back.
    let first = worker.receive(Digest::of(b"1"), 600).await.unwrap().unwrap();
    assert_eq!(worker.status().value_bytes, 1_000);
    let mut second = std::pin::pin!(worker.receive(Digest::of(b"2"), 600));
    let waited = tokio::time::timeout(Duration::from_millis(20), &mut second).await;
    assert!(waited.is_err(), "there is no room for both");
    drop(first);
    let second = tokio::time::timeout(LONG, second).await.unwrap().unwrap();
    drop(second);
    assert!(worker.status().value_bytes <= 400);
}
