//! Many short runs, coordinators that share slots, and one that does not listen.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::message::{Ending, FromWorker, Order, Spec, ToWorker};

use crate::support::*;

#[tokio::test]
async fn ten_thousand_short_runs_share_messages() {
    const RUNS: usize = 10_000;
    const BATCH: usize = 100;
    let script = Script::echo();
    let config = WorkerConfig { waiting_base: RUNS, ..WorkerConfig::new("quick", 2) };
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.settles = true;
    let all = orders(RUNS as u64);
    let (sender, batches) = (coordinator.link.to_worker.clone(), all.clone());
    let said = tokio::spawn(async move {
        for batch in batches.chunks(BATCH) {
            sender.send(ToWorker::Orders(batch.to_vec())).await.unwrap();
        }
    });
    let mut messages = 0;
    while coordinator.heard.ended.len() < RUNS {
        assert!(coordinator.hear().await);
        messages += 1;
    }
    said.await.unwrap();
    assert!(coordinator.heard.back.is_empty());
    for order in all.iter().step_by(997) {
        let ending = coordinator.heard.ending(order.run);
        assert_eq!(ending, Some(&Ending::Value(order.arguments.clone())));
    }
    assert_eq!(script.started(), RUNS);
    assert!(messages < RUNS, "{messages} messages for {RUNS} runs");
    wait_for(&worker, |status| status.kept == 0 && status.running == 0).await;
    drop(coordinator);
    wait_for_nothing(&worker).await;
}

#[tokio::test]
async fn coordinators_take_turns_however_much_one_has_ordered() {
    let (gate, _) = gated();
    let order_of_starts = Arc::new(Mutex::new(Vec::new()));
    let (own, starts) = (Arc::clone(&gate), Arc::clone(&order_of_starts));
    let script = Script::new(move |attempt| {
        starts.lock().push(attempt.call.stage().to_string());
        own.pass(attempt)
    });
    let worker = worker(&script, 1);
    let mut coordinators = Vec::new();
    for (name, count) in [("greedy", 200), ("modest", 10)] {
        let coordinator = Coordinator::greet(&worker, hello());
        let spec = Spec { stage: name.to_owned(), ..spec(0) };
        coordinator.say(ToWorker::Specs(vec![spec])).await;
        coordinator.order(orders(count)).await;
        coordinators.push((coordinator, usize::try_from(count).unwrap()));
        if name == "greedy" {
            let (coordinator, _) = &mut coordinators[0];
            coordinator.until(|heard| !heard.notes.is_empty()).await;
        }
    }
    wait_for(&worker, |status| status.waiting == 209).await;
    gate.open();
    for (coordinator, count) in &mut coordinators {
        coordinator.until_ended(*count).await;
    }
    let starts = order_of_starts.lock();
    let last = starts.iter().rposition(|stage| stage == "modest").unwrap();
    assert!(last <= 21, "the last of ten came as number {last}");
}

#[tokio::test]
async fn one_that_does_not_listen_costs_bounded_memory_and_nobody_else_anything() {
    const KEPT: usize = 50;
    let script = Script::echo();
    let config = WorkerConfig { kept: KEPT, ..WorkerConfig::new("patient", 1) };
    let worker = worker_with(&script, config);
    let deaf = Coordinator::new(&worker).await;
    put(&worker, COMPONENT).await.unwrap();
    // It says as much as is taken of it, and asks for the impossible too.
    let mut taken = 0;
    loop {
        let mut batch = orders(200);
        batch.extend(orders(200).into_iter().map(|order| Order { index: Some(1), ..order }));
        let unknown = batch.iter().map(of).rev().take(100).collect();
        let both = async {
            deaf.link.to_worker.send(ToWorker::Orders(batch)).await.unwrap();
            deaf.link.to_worker.send(ToWorker::Recall(unknown)).await.unwrap();
        };
        if tokio::time::timeout(Duration::from_secs(1), both).await.is_err() {
            break;
        }
        taken += 1;
        assert!(taken < 1_000, "it is read without end");
    }
    let status = worker.status();
    let session = &status.sessions[0];
    assert!(session.kept <= KEPT + 1 && script.started() <= KEPT + 1, "{session:?}");
    assert!(session.unsaid.0 + session.unsaid.1 < 20_000, "{session:?}");
    let mut other = Coordinator::new(&worker).await;
    other.settles = true;
    other.order(orders(100)).await;
    other.until_ended(100).await;
    // Once it listens, it hears of all it was taken. It must not wait for room to speak meanwhile.
    let mut deaf = deaf;
    let (mut heard, mut unsettled) = (0, Vec::new());
    while heard == 0 || worker.status().sessions.iter().any(|s| s.waiting + s.kept > 0) {
        match tokio::time::timeout(Duration::from_millis(50), deaf.link.from_worker.recv()).await {
            Ok(Some(FromWorker::Ended(reports))) => {
                heard += reports.len();
                unsettled.extend(reports.iter().map(|report| report.of));
            }
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => panic!("the link has ended"),
        }
        if let Ok(room) = deaf.link.to_worker.try_reserve() {
            room.send(ToWorker::Settled(std::mem::take(&mut unsettled)));
        }
    }
    assert!(heard > KEPT);
}
