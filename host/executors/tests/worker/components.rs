//! Components come once, are compiled once, and go when there is no room.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::message::{Ending, FromWorker, Goodbye, Order, Spec, ToWorker};
use sandmill_wire::{Digest, End, EndKind};

use crate::support::*;

fn spec_of(id: u32, bytes: &[u8]) -> Spec {
    Spec { component: Digest::of(bytes), size: bytes.len() as u64, ..spec(id) }
}

#[tokio::test]
async fn a_component_comes_once_however_many_runs_and_coordinators() {
    let script = Script::echo();
    let worker = worker(&script, 2);
    let bytes = vec![7; 5_000_000];
    let mut coordinators = Vec::new();
    for _ in 0..3 {
        let mut coordinator = Coordinator::greet(&worker, hello());
        coordinator.components.insert(Digest::of(&bytes), bytes.clone());
        coordinator.say(ToWorker::Specs(vec![spec_of(0, &bytes)])).await;
        coordinator.order(orders(100)).await;
        coordinators.push(coordinator);
    }
    let ended = coordinators.into_iter().map(|mut coordinator| {
        tokio::spawn(async move {
            coordinator.until_ended(100).await;
            coordinator.heard.needs.len()
        })
    });
    let mut asked = 0;
    for needs in ended.collect::<Vec<_>>() {
        asked += needs.await.unwrap();
    }
    let digest = Digest::of(&bytes);
    let status = worker.status();
    assert_eq!((asked, status.transfers.get(&digest)), (1, Some(&1)));
    assert_eq!(status.components, [digest]);
    assert_eq!(script.prepared.load(std::sync::atomic::Ordering::SeqCst), 1);
    // Whoever comes later is told that it is there.
    let late = Coordinator::greet(&worker, hello());
    assert_eq!(late.link.welcome.holds, [digest]);
    assert!(worker.receive(digest, bytes.len() as u64).await.unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_compiled_is_refused_for_all_its_runs_and_remembered() {
    let script = Script::with(
        |attempt| value(attempt.call.arguments.clone()),
        |_| Err(End::new(EndKind::Refused, "not a component")),
    );
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(3)).await;
    coordinator.until_ended(3).await;
    let end = End::new(EndKind::Refused, "not a component");
    let all = coordinator.heard.ended.iter();
    assert!(all.clone().all(|report| report.ending == Ending::Ended(end.clone())));
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    assert_eq!(coordinator.heard.holds, [(Digest::of(COMPONENT), Some(end))]);
    coordinator.order(orders(2)).await;
    coordinator.until_ended(5).await;
    assert_eq!((coordinator.heard.needs.len(), script.started()), (1, 0));
    assert_eq!(worker.status().component_bytes, 0);
}

#[tokio::test]
async fn a_fault_of_the_host_is_not_remembered() {
    let times = Mutex::new(0);
    let script = Script::with(
        |attempt| value(attempt.call.arguments.clone()),
        move |_| {
            *times.lock() += 1;
            assert!(*times.lock() > 1, "as the test has it");
            Ok(())
        },
    );
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let (first, second) = (order(1), order(2));
    coordinator.order(vec![first.clone()]).await;
    coordinator.until_ended(1).await;
    assert_eq!(coordinator.heard.end(first.run).kind, EndKind::HostError);
    coordinator.order(vec![second.clone()]).await;
    coordinator.until_ended(2).await;
    assert!(matches!(coordinator.heard.ending(second.run), Some(Ending::Value(_))));
}

#[tokio::test]
async fn runs_of_other_components_go_on_while_one_is_compiled() {
    let gate = Arc::new(Gate::default());
    let own = Arc::clone(&gate);
    let script = Script::with(
        |attempt| value(attempt.call.arguments.clone()),
        move |component| {
            if component.bytes().starts_with(b"slow") {
                own.wait();
            }
            Ok(())
        },
    );
    let worker = worker_with(&script, WorkerConfig { compiles: 2, ..WorkerConfig::new("two", 1) });
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.components.insert(Digest::of(b"slow"), b"slow".to_vec());
    coordinator.say(ToWorker::Specs(vec![spec_of(1, b"slow")])).await;
    let slow = Order { spec: 1, ..order(1) };
    coordinator.order(vec![slow.clone(), order(2), order(3)]).await;
    coordinator.until_ended(2).await;
    assert!(coordinator.heard.ending(slow.run).is_none());
    gate.open();
    coordinator.until_ended(3).await;
}

#[tokio::test]
async fn bytes_that_break_off_or_are_others_are_forgotten_and_asked_for_again() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.components.clear();
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| heard.needs.len() == 1).await;
    let (digest, size) = (Digest::of(COMPONENT), COMPONENT.len() as u64);
    // One that breaks off.
    let mut half = worker.receive(digest, size).await.unwrap().unwrap();
    half.push(&COMPONENT[..3]).unwrap();
    drop(half);
    coordinator.until(|heard| heard.needs.len() == 2).await;
    // One that is other bytes.
    let mut other = worker.receive(digest, size).await.unwrap().unwrap();
    other.push(&[0; COMPONENT.len()]).unwrap();
    assert!(matches!(other.finish().await, Err(Goodbye::Protocol(_))));
    coordinator.until(|heard| heard.needs.len() == 3).await;
    // One that is too long, one that is too short.
    let mut long = worker.receive(digest, size).await.unwrap().unwrap();
    assert!(long.push(&[0; COMPONENT.len() + 1]).is_err());
    drop(long);
    let short = worker.receive(digest, size).await.unwrap().unwrap();
    assert!(short.finish().await.is_err());
    assert_eq!(script.started(), 0);
    put(&worker, COMPONENT).await.unwrap();
    coordinator.until_ended(1).await;
    assert_eq!(worker.status().transfers.get(&digest), Some(&1));
}

#[tokio::test]
async fn another_coordinator_is_asked_when_the_first_does_not_answer() {
    let script = Script::echo();
    let config =
        WorkerConfig { need_patience: Duration::from_millis(20), ..WorkerConfig::new("brisk", 1) };
    let worker = worker_with(&script, config);
    let mut silent = Coordinator::new(&worker).await;
    silent.components.clear();
    silent.order(orders(1)).await;
    silent.until(|heard| heard.needs.len() == 1).await;
    let mut other = Coordinator::new(&worker).await;
    other.order(orders(1)).await;
    other.until_ended(1).await;
    silent.until_ended(1).await;
}

#[tokio::test]
async fn a_coordinator_that_goes_leaves_its_question_to_others() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut first = Coordinator::new(&worker).await;
    first.components.clear();
    first.order(orders(1)).await;
    first.until(|heard| heard.needs.len() == 1).await;
    let mut other = Coordinator::new(&worker).await;
    other.order(orders(1)).await;
    other.listen(Duration::from_millis(50)).await;
    assert!(other.heard.needs.is_empty(), "it is asked of one at a time");
    drop(first);
    other.until_ended(1).await;
}

#[tokio::test]
async fn the_component_unused_for_longest_goes_and_none_in_use_does() {
    let (gate, script) = gated();
    let config = WorkerConfig { components_bytes: 20, ..WorkerConfig::new("tight", 1) };
    let worker = worker_with(&script, config);
    let bytes: [&[u8]; 3] = [b"eight(1)", b"eight(2)", b"eight(3)"];
    let mut coordinator = Coordinator::greet(&worker, hello());
    coordinator.settles = true;
    let mut specs = Vec::new();
    for (id, bytes) in (0..).zip(bytes) {
        coordinator.components.insert(Digest::of(bytes), bytes.to_vec());
        specs.push(spec_of(id, bytes));
    }
    coordinator.say(ToWorker::Specs(specs)).await;
    let of = |spec: u32| Order { spec, ..order(1) };
    coordinator.order(vec![of(0)]).await;
    coordinator.until(|heard| heard.holds.len() == 1).await;
    coordinator.order(vec![of(1), of(2)]).await;
    coordinator.until(|heard| heard.holds.len() == 2).await;
    // Two are in use, and there is no room for the third.
    coordinator.listen(Duration::from_millis(30)).await;
    assert_eq!(coordinator.heard.needs.len(), 2);
    gate.open();
    coordinator.until_ended(3).await;
    assert_eq!(coordinator.heard.needs.len(), 3);
    wait_for(&worker, |status| status.kept == 0).await;
    let status = worker.status();
    assert_eq!((status.components.len(), status.component_bytes), (2, 16));
    assert!(status.components.contains(&Digest::of(bytes[2])));
    // The one that went comes again where it is wanted.
    let gone = (0..2).find(|id| !status.components.contains(&Digest::of(bytes[*id as usize])));
    coordinator.order(vec![of(gone.unwrap())]).await;
    coordinator.until_ended(4).await;
    assert_eq!(coordinator.heard.needs.len(), 4);
}

#[tokio::test]
async fn what_was_sent_before_it_was_asked_for_is_not_asked_for() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    put(&worker, COMPONENT).await.unwrap();
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until_ended(1).await;
    assert!(coordinator.heard.needs.is_empty());
    assert_eq!(worker.status().value_bytes, 0);
    let nothing = coordinator.link.from_worker.try_recv();
    assert!(!matches!(nothing, Ok(FromWorker::Need(_))));
}
