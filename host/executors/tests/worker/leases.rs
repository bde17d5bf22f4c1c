//! Asking twice is asking once: leases, cancels, recalls, and coordinators that come back.

use std::time::Duration;

use sandmill_transport::message::{Ending, LeaseId, Note, Order, RunLease, ToWorker};
use sandmill_wire::EndKind;

use crate::support::*;

#[tokio::test]
async fn the_same_order_twice_is_one_run() {
    let (gate, script) = gated();
    let worker = worker(&script, 2);
    let mut coordinator = Coordinator::new(&worker).await;
    let order = order(1);
    coordinator.order(vec![order.clone(), order.clone()]).await;
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    coordinator.order(vec![order.clone()]).await;
    gate.open();
    coordinator.until_ended(1).await;
    coordinator.order(vec![order.clone()]).await;
    coordinator.until_ended(2).await;
    assert_eq!(coordinator.heard.ended[0], coordinator.heard.ended[1]);
    assert_eq!(script.started(), 1);
    // Settled, it is forgotten; and settled twice, nothing.
    coordinator.say(ToWorker::Settled(vec![of(&order), of(&order)])).await;
    wait_for(&worker, |status| status.kept == 0).await;
}

#[tokio::test]
async fn a_newer_lease_takes_the_run_along_and_an_older_one_is_stale() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let (running, waiting) = (order(1), order(2));
    coordinator.order(vec![running.clone(), waiting.clone()]).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let newer: Vec<Order> =
        [&running, &waiting].map(|order| Order { lease: lease(), ..order.clone() }).into();
    coordinator.order(newer.clone()).await;
    // The old ones again: stale.
    coordinator.order(vec![running.clone(), waiting.clone()]).await;
    wait_for(&worker, |status| status.stale == 2).await;
    gate.open();
    coordinator.until_ended(2).await;
    let ended: Vec<RunLease> = coordinator.heard.ended.iter().map(|report| report.of).collect();
    assert_eq!(ended, newer.iter().map(of).collect::<Vec<_>>());
    // Ended ones are answered under the newest lease.
    let newest = Order { lease: lease(), ..running.clone() };
    coordinator.order(vec![newest.clone()]).await;
    coordinator.until_ended(3).await;
    assert_eq!(coordinator.heard.ended[2].of, of(&newest));
    coordinator.say(ToWorker::Settled(vec![of(&running)])).await;
    coordinator.say(ToWorker::Settled(vec![of(&newest)])).await;
    wait_for(&worker, |status| status.kept == 1).await;
    assert_eq!(script.started(), 2);
}

#[tokio::test]
async fn another_attempt_takes_the_place_of_the_one_before() {
    let (gate, script) = gated();
    let worker = worker(&script, 2);
    let mut coordinator = Coordinator::new(&worker).await;
    let first = order(1);
    coordinator.order(vec![first.clone()]).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let second = Order { lease: lease(), attempt: 2, ..first.clone() };
    coordinator.order(vec![second.clone()]).await;
    wait_for(&worker, |status| status.stale == 1).await;
    gate.open();
    coordinator.until_ended(1).await;
    coordinator.listen(Duration::from_millis(20)).await;
    assert_eq!(coordinator.heard.ended.len(), 1);
    assert_eq!(coordinator.heard.ended[0].of, of(&second));
    assert_eq!(script.started(), 2);
}

#[tokio::test]
async fn each_cancel_is_answered() {
    let (_gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let (running, waiting, unknown) = (order(1), order(2), order(3));
    coordinator.order(vec![running.clone(), waiting.clone()]).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let other_lease = RunLease { run: running.run, lease: LeaseId(u64::MAX) };
    let cancels = vec![of(&waiting), of(&unknown), other_lease, of(&running)];
    coordinator.say(ToWorker::Cancel(cancels)).await;
    coordinator.until(|heard| heard.ended.len() == 2 && heard.back.len() == 2).await;
    assert_eq!(coordinator.heard.end(waiting.run).message, "cancelled before it started");
    assert_eq!(coordinator.heard.end(running.run).kind, EndKind::Cancelled);
    assert_eq!(coordinator.heard.back[0].of, of(&unknown));
    assert_eq!(coordinator.heard.back[1].of, other_lease);
    // A cancelled end is nobody's answer: ordered again, the run is made.
    let again = Order { lease: lease(), ..waiting.clone() };
    coordinator.order(vec![again]).await;
    wait_for(&worker, |status| status.running == 1 && status.kept == 1).await;
    assert_eq!(script.started(), 2);
}

#[tokio::test]
async fn a_recall_gives_back_what_has_not_started() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let orders = orders(3);
    coordinator.order(orders.clone()).await;
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    wait_for(&worker, |status| status.running == 1).await;
    let recalled = orders.iter().map(of).collect();
    coordinator.say(ToWorker::Recall(recalled)).await;
    coordinator.until(|heard| heard.back.len() == 2 && !heard.notes.is_empty()).await;
    assert!(coordinator.heard.back.iter().all(|back| back.why.is_none()));
    assert_eq!(coordinator.heard.notes[0].of, of(&orders[0]), "it is told to have started");
    gate.open();
    coordinator.until_ended(1).await;
    assert_eq!((script.started(), worker.status().waiting), (1, 0));
}

#[tokio::test]
async fn a_coordinator_that_comes_back_as_a_new_session_gets_what_is_there() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut before = Coordinator::new(&worker).await;
    let orders = orders(3);
    before.order(orders.clone()).await;
    before.until(|heard| !heard.notes.is_empty()).await;
    // The first ends, the second runs, the third waits; then the coordinator is gone.
    let mut after = Coordinator::new(&worker).await;
    drop(before);
    wait_for(&worker, |status| status.sessions.iter().filter(|s| s.linked).count() == 1).await;
    let again: Vec<Order> =
        orders.iter().map(|order| Order { lease: lease(), ..order.clone() }).collect();
    after.order(again.clone()).await;
    gate.open();
    after.until_ended(3).await;
    assert_eq!(script.started(), 3, "none was made twice");
    wait_for(&worker, |status| status.sessions.len() == 1).await;
    assert_eq!(worker.status().answered_again, 3);
    // And once more, now that all have ended.
    let mut last = Coordinator::new(&worker).await;
    let newest: Vec<Order> =
        orders.iter().map(|order| Order { lease: lease(), ..order.clone() }).collect();
    last.order(newest.clone()).await;
    last.until_ended(3).await;
    for (order, report) in newest.iter().zip(&last.heard.ended) {
        assert_eq!(report.of, of(order));
        assert!(matches!(report.ending, Ending::Value(_)));
    }
    assert_eq!(script.started(), 3);
    // The one whose runs were taken is told, and may not have them back.
    after.until(|heard| heard.back.len() == 3).await;
    after.order(again).await;
    after.until(|heard| heard.back.len() == 6).await;
    assert_eq!(worker.status().stale, 3);
}

#[tokio::test]
async fn other_arguments_are_another_run() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut before = Coordinator::new(&worker).await;
    let first = order(1);
    before.order(vec![first.clone()]).await;
    before.until_ended(1).await;
    let mut after = Coordinator::new(&worker).await;
    let other = Order { run: first.run, ..order(2) };
    after.order(vec![other.clone()]).await;
    after.until_ended(1).await;
    assert_eq!(after.heard.ended[0].ending, Ending::Value(other.arguments));
    assert_eq!(script.started(), 2);
}

#[tokio::test]
async fn what_can_change_something_is_told_as_started_at_once() {
    let script = Script::echo();
    let ceiling = sandmill_core::Ceiling::unbounded();
    let config = sandmill_executors::worker::WorkerConfig {
        ceiling,
        ..sandmill_executors::worker::WorkerConfig::new("own", 1)
    };
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    let grants = sandmill_core::Grants {
        net: vec!["example.com:80".parse().unwrap()],
        ..sandmill_core::Grants::default()
    };
    let spec = sandmill_transport::message::Spec { grants, ..spec(1) };
    coordinator.say(ToWorker::Specs(vec![spec])).await;
    coordinator.order(vec![Order { spec: 1, ..order(1) }]).await;
    coordinator.until_ended(1).await;
    let told = |note: &&sandmill_transport::message::Noted| note.note == Note::Started;
    assert_eq!(coordinator.heard.notes.iter().filter(told).count(), 1);
}
