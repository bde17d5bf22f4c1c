//! One coordinator that asks for too much, or again and again: what that costs the worker is bounded.

use std::time::Duration;

use sandmill_executors::worker::{
    MAX_REFUSAL_BYTES, MAX_SPEC_BYTES, MAX_SPECS_BYTES, WorkerConfig,
};
use sandmill_transport::message::{Ending, Goodbye, HandBack, Order, RunLease, Spec, ToWorker};
use sandmill_wire::{End, EndKind, RunId};

use crate::support::*;

/// As many as fit a message, and more.
const MANY: usize = 20_000;

/// What the worker answers to the recall of a run that it does not know is the last that it says.
async fn until_all_is_said(coordinator: &mut Coordinator) {
    let nobody = RunLease { run: RunId::new(), lease: lease() };
    coordinator.say(ToWorker::Recall(vec![nobody])).await;
    let is_it = |back: &HandBack| back.of == nobody;
    coordinator.until(|heard| heard.back.iter().any(is_it)).await;
}

#[tokio::test]
async fn a_report_is_said_once_however_often_it_is_asked_for() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let order = order(1);
    coordinator.order(vec![order.clone()]).await;
    coordinator.until_ended(1).await;
    for asked in [ToWorker::Cancel, ToWorker::Recall] {
        coordinator.heard.ended.clear();
        coordinator.say(asked(vec![of(&order); MANY])).await;
        until_all_is_said(&mut coordinator).await;
        assert_eq!(coordinator.heard.ended.len(), 1);
    }
    coordinator.heard.ended.clear();
    coordinator.order(vec![order.clone(); 1_000]).await;
    until_all_is_said(&mut coordinator).await;
    assert_eq!(coordinator.heard.ended.len(), 1);
    // Under the latest lease that it was asked for.
    coordinator.heard.ended.clear();
    let again: Vec<Order> = (0..1_000).map(|_| Order { lease: lease(), ..order.clone() }).collect();
    coordinator.order(again.clone()).await;
    until_all_is_said(&mut coordinator).await;
    assert_eq!(coordinator.heard.ended.len(), 1);
    assert_eq!(coordinator.heard.ended[0].of, of(&again[999]));
}

#[tokio::test]
async fn what_was_settled_unheard_is_not_kept_to_be_said() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    put(&worker, COMPONENT).await.unwrap();
    for n in 0..300 {
        let order = order(n);
        coordinator.order(vec![order.clone()]).await;
        wait_for(&worker, |status| status.kept == 1).await;
        coordinator.say(ToWorker::Settled(vec![of(&order)])).await;
        wait_for(&worker, |status| status.kept == 0).await;
    }
    until_all_is_said(&mut coordinator).await;
    // What was on its way before the worker stopped speaking, since nobody heard it.
    assert!(coordinator.heard.ended.len() < 50, "{}", coordinator.heard.ended.len());
}

#[tokio::test]
async fn a_run_under_way_that_is_ordered_anew_and_anew_is_not_told_of_without_end() {
    const BATCH: u64 = 500;
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let order = order(1);
    coordinator.order(vec![order.clone()]).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    // It asks and does not listen.
    let mut taken = 0;
    loop {
        let again = (0..BATCH).map(|_| Order { lease: lease(), ..order.clone() }).collect();
        let saying = coordinator.link.to_worker.send(ToWorker::Orders(again));
        match tokio::time::timeout(Duration::from_secs(1), saying).await {
            Ok(said) => said.unwrap(),
            Err(_) => break,
        }
        taken += 1;
        assert!(taken < 200, "it is read without end");
    }
    let unsaid = worker.status().sessions[0].unsaid;
    assert!(unsaid.0 < 10_000, "{unsaid:?}");
    gate.open();
    coordinator.until_ended(1).await;
}

#[tokio::test]
async fn a_refusal_is_short_whatever_was_asked_for() {
    let prepare = |_: &_| Err(End::new(EndKind::Refused, "no ".repeat(1 << 20)));
    let script = Script::with(|attempt| value(attempt.call.arguments.clone()), prepare);
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let mut greedy = spec(1);
    greedy.grants.env.insert("x".repeat(100_000), String::new());
    coordinator.say(ToWorker::Specs(vec![greedy])).await;
    let greedy: Vec<Order> =
        orders(1_000).into_iter().map(|order| Order { spec: 1, ..order }).collect();
    let unlucky = orders(10);
    coordinator.order([&greedy[..], &unlucky].concat()).await;
    coordinator.until(|heard| heard.ended.len() + heard.back.len() == 1_010).await;
    for (orders, words) in [(&greedy, "the environment variable xxx"), (&unlucky, "no no no ")] {
        let of_these = |run: RunId| orders.iter().any(|order| order.run == run);
        let ends: Vec<&Ending> = coordinator
            .heard
            .ended
            .iter()
            .filter(|report| of_these(report.of.run))
            .map(|report| &report.ending)
            .collect();
        assert!(!ends.is_empty());
        for end in ends {
            let Ending::Ended(end) = end else { panic!("{end:?}") };
            assert_eq!(end.kind, EndKind::Refused);
            assert!(end.message.contains(words), "{}", &end.message[..100]);
            assert!(end.message.len() <= MAX_REFUSAL_BYTES + "…".len(), "{}", end.message.len());
        }
    }
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    let (_, refused) = &coordinator.heard.holds[0];
    assert!(refused.as_ref().unwrap().message.len() <= MAX_REFUSAL_BYTES + "…".len());
}

#[tokio::test]
async fn reports_of_refused_runs_are_bounded_in_bytes() {
    let script = Script::echo();
    let config = WorkerConfig { kept_bytes: 10_000, ..WorkerConfig::new("small", 1) };
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    let mut greedy = spec(0);
    greedy.grants.env.insert("x".repeat(1_000), String::new());
    coordinator.say(ToWorker::Specs(vec![greedy])).await;
    coordinator.order(orders(100)).await;
    coordinator.until(|heard| heard.ended.len() + heard.back.len() == 100).await;
    assert!((1..10).contains(&coordinator.heard.ended.len()), "{}", coordinator.heard.ended.len());
    let why = coordinator.heard.back[0].why.as_ref().unwrap();
    assert!(why.contains("bytes of reports are not acknowledged"), "{why}");
    // Those that can be made only wait until there is room again.
    coordinator.settles = true;
    let settled = coordinator.heard.ended.iter().map(|report| report.of).collect();
    coordinator.say(ToWorker::Specs(vec![spec(0)])).await;
    let order = order(1);
    coordinator.order(vec![order.clone()]).await;
    coordinator.say(ToWorker::Settled(settled)).await;
    coordinator.until(|heard| heard.ending(order.run).is_some()).await;
    assert!(matches!(coordinator.heard.ending(order.run), Some(Ending::Value(_))));
}

fn large_spec(id: u32, bytes: usize) -> Spec {
    let mut large = spec(id);
    large.grants.env.insert("LARGE".to_owned(), "x".repeat(bytes));
    large
}

#[tokio::test]
async fn one_spec_is_bounded_in_bytes() {
    let script = Script::echo();
    let mut config = WorkerConfig::new("generous", 1);
    config.ceiling.env.push("*".to_owned());
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    let specs = vec![large_spec(1, MAX_SPEC_BYTES - 2_000), large_spec(2, MAX_SPEC_BYTES)];
    coordinator.say(ToWorker::Specs(specs)).await;
    let fits = Order { spec: 1, ..order(1) };
    let too_large = Order { spec: 2, ..order(2) };
    coordinator.order(vec![fits.clone(), too_large.clone()]).await;
    coordinator.until_ended(2).await;
    assert!(matches!(coordinator.heard.ending(fits.run), Some(Ending::Value(_))));
    let end = coordinator.heard.end(too_large.run);
    assert_eq!(end.kind, EndKind::Refused);
    assert!(end.message.contains("too large to be kept"), "{}", end.message);
}

#[tokio::test]
async fn the_specs_of_a_link_are_bounded_in_bytes() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let fit = u32::try_from(MAX_SPECS_BYTES / MAX_SPEC_BYTES).unwrap();
    let large = |id| ToWorker::Specs(vec![large_spec(id, MAX_SPEC_BYTES - 2_000)]);
    // Those that are said again take the place of the ones before.
    for _ in 0..2 {
        for id in 1..fit {
            coordinator.say(large(id)).await;
        }
    }
    let orders = orders(1);
    coordinator.order(orders.clone()).await;
    coordinator.until_ended(1).await;
    for id in fit..fit + 10 {
        // It may be over by then.
        let _ = coordinator.link.to_worker.send(large(id)).await;
    }
    while coordinator.hear().await {}
    let Some(Goodbye::Protocol(words)) = &coordinator.heard.goodbye else {
        panic!("{:?}", coordinator.heard.goodbye)
    };
    assert!(words.contains("take more than 64MiB"), "{words}");
    wait_for_nothing(&worker).await;
}

#[tokio::test]
async fn what_waits_counts_with_the_spec_that_is_its_alone() {
    let (gate, script) = gated();
    let mut config = WorkerConfig::new("small", 1);
    config.waiting_bytes = 4 * MAX_SPEC_BYTES as u64;
    config.ceiling.env.push("*".to_owned());
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    // Each goes under the same number: the ones before are there for what waits alone.
    for n in 0..20 {
        coordinator.say(ToWorker::Specs(vec![large_spec(1, MAX_SPEC_BYTES - 2_000)])).await;
        coordinator.order(vec![Order { spec: 1, ..order(n) }]).await;
    }
    coordinator.until(|heard| heard.back.len() >= 16).await;
    assert_eq!(worker.status().waiting, 4);
    gate.open();
    coordinator.until_ended(5).await;
    // A report holds none of them, and goes for the same attempt under a spec that is the same.
    let last = coordinator.heard.ended.last().unwrap();
    let Ending::Value(arguments) = last.ending.clone() else { panic!("{last:?}") };
    let again = Order { run: last.of.run, spec: 7, arguments, ..order(0) };
    coordinator.say(ToWorker::Specs(vec![large_spec(7, MAX_SPEC_BYTES - 2_000)])).await;
    coordinator.order(vec![again.clone()]).await;
    coordinator.until(|heard| heard.ended.iter().any(|report| report.of == of(&again))).await;
    assert_eq!(script.started(), 5);
}
