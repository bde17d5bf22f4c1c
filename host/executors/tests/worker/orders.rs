//! What becomes of orders: what calls are made of them, and which are refused.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_core::{Ceiling, Grants, Limits, Report};
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::message::{Ending, Goodbye, LeaseId, Order, Payload, Spec, ToWorker};
use sandmill_wire::{Digest, EndKind, RunId, Value};

use crate::support::*;

#[tokio::test]
async fn a_call_is_made_as_it_was_ordered() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let script = Script::new(move |attempt| {
        let call = attempt.call;
        sink.lock().push((
            (attempt.run, attempt.number, call.attempts_made, call.map_index),
            (call.run_name(), call.task.clone(), call.component.digest()),
            (call.options.parent, call.options.limits.memory, call.options.deadline.is_some()),
        ));
        value(call.arguments.clone())
    });
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let parent = RunId::new();
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let spec = Spec { id: 7, parent: Some(parent), limits, ..spec(7) };
    coordinator.say(ToWorker::Specs(vec![spec])).await;
    let order = Order { spec: 7, attempt: 3, index: Some(5), time_left: Some(LONG), ..order(1) };
    let run = order.run;
    coordinator.order(vec![order.clone()]).await;
    coordinator.until_ended(1).await;
    let digest = Digest::of(COMPONENT);
    let seen = seen.lock();
    assert_eq!(seen.len(), 1);
    let (who, what, with) = &seen[0];
    assert_eq!(*who, (run, 3, 2, Some(5)));
    assert_eq!((&*what.0, &*what.1, what.2), ("stage[5]", "work", digest));
    assert_eq!(*with, (Some(parent), 1 << 20, true));
    let report = &coordinator.heard.ended[0];
    assert_eq!(report.of, of(&order));
    assert_eq!(report.ending, Ending::Value(order.arguments));
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_all_reasons_and_costs_one_run() {
    let script = Script::echo();
    let ceiling = Ceiling { memory: 1 << 20, ..Ceiling::default() };
    let worker = worker_with(&script, WorkerConfig { ceiling, ..WorkerConfig::new("narrow", 1) });
    let mut coordinator = Coordinator::greet(&worker, hello());
    let small = Limits { memory: 1 << 20, input: 16, ..Limits::default() };
    let over =
        Spec { grants: Grants { clock: true, ..Grants::default() }, size: 33 << 20, ..spec(1) };
    coordinator.say(ToWorker::Specs(vec![Spec { limits: small, ..spec(0) }, over])).await;
    let fits = order(1);
    let refused = Order { spec: 1, ..order(2) };
    let inline = |bytes: &[u8]| Payload::Inline(bytes.to_vec().into());
    let broken = Order { arguments: inline(&[0xc1]), ..order(3) };
    let twice = Order { arguments: inline(&[0x80, 0x80]), ..order(4) };
    let list = Order { arguments: inline(&[0x90]), ..order(5) };
    let long = Value::encode(&std::collections::BTreeMap::from([("n", "x".repeat(20))])).unwrap();
    let large = Order { arguments: Payload::of(&long.into_bytes()), ..order(6) };
    let all = [&refused, &broken, &twice, &list, &large, &fits];
    coordinator.order(all.iter().map(|order| (*order).clone()).collect()).await;
    coordinator.until_ended(6).await;
    let words = |order: &Order| {
        let end = coordinator.heard.end(order.run);
        assert_eq!(end.kind, EndKind::Refused);
        end.message.clone()
    };
    let reasons = words(&refused);
    for reason in ["the worker narrow", "the clock", "256MiB of memory", "34603008 bytes"] {
        assert!(reasons.contains(reason), "{reasons}");
    }
    assert!(words(&broken).contains("not MessagePack"));
    assert!(words(&twice).contains("not MessagePack"));
    // What they mean is between the caller and the guest.
    assert!(matches!(coordinator.heard.ending(list.run), Some(Ending::Value(_))));
    assert_eq!(words(&large), "the arguments have 24B, the limit is 16B");
    assert!(matches!(coordinator.heard.ending(fits.run), Some(Ending::Value(_))));
    assert_eq!((script.started(), worker.status().refused), (2, 4));
    assert_eq!(coordinator.heard.needs.len(), 1, "the component was asked for once");
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_told_and_loses_its_session() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let broken = [
        Order { spec: 9, ..order(1) },
        Order { attempt: 0, ..order(1) },
        Order { lease: LeaseId(0), ..order(1) },
    ];
    for wrong in broken {
        let mut coordinator = Coordinator::new(&worker).await;
        coordinator.order(vec![order(0), wrong]).await;
        while coordinator.hear().await {}
        assert!(matches!(coordinator.heard.goodbye, Some(Goodbye::Protocol(_))));
        wait_for_nothing(&worker).await;
    }
    assert_eq!(script.started(), 0, "of a broken message nothing is taken");
}

#[tokio::test]
async fn runs_whose_time_has_passed_do_not_start() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let first = order(0);
    let late = Order { time_left: Some(Duration::from_millis(20)), ..order(1) };
    coordinator.order(vec![first.clone(), late.clone()]).await;
    coordinator.until(|heard| heard.ending(late.run).is_some()).await;
    let end = coordinator.heard.end(late.run);
    assert_eq!(end.kind, EndKind::TimedOut);
    assert_eq!(end.message, "the run's deadline passed before it started");
    gate.open();
    coordinator.until_ended(2).await;
    assert_eq!(script.started(), 1);
}

#[tokio::test]
async fn a_panic_of_the_invoker_costs_one_run() {
    let script = Script::new(|attempt: &sandmill_core::Attempt<'_>| -> Report {
        assert!(attempt.call.map_index != Some(1), "as the test has it");
        value(attempt.call.arguments.clone())
    });
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let orders: Vec<Order> = (0..3).map(|n| Order { index: Some(n), ..order(n) }).collect();
    let second = orders[1].run;
    coordinator.order(orders).await;
    coordinator.until_ended(3).await;
    assert_eq!(coordinator.heard.end(second).kind, EndKind::HostError);
    assert_eq!(worker.status().ended.get("value"), Some(&2));
}

#[tokio::test]
async fn more_than_may_wait_is_given_back() {
    let (gate, script) = gated();
    let config =
        WorkerConfig { waiting_a_slot: 2, waiting_base: 3, ..WorkerConfig::new("small", 1) };
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    wait_for(&worker, |status| status.running == 1 || status.waiting == 1).await;
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    wait_for(&worker, |status| status.running == 1).await;
    coordinator.order(orders(20)).await;
    coordinator.until(|heard| heard.back.len() == 15).await;
    assert!(coordinator.heard.back[0].why.as_ref().unwrap().contains("5 runs wait"));
    gate.open();
    coordinator.until_ended(6).await;
    assert_eq!(worker.status().handed_back, 15);
}

#[tokio::test]
async fn arguments_that_wait_are_bounded_but_one_always_may() {
    let (gate, script) = gated();
    let worker =
        worker_with(&script, WorkerConfig { waiting_bytes: 1, ..WorkerConfig::new("small", 1) });
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    wait_for(&worker, |status| status.running == 1).await;
    coordinator.order(orders(3)).await;
    coordinator.until(|heard| heard.back.len() == 2).await;
    gate.open();
    coordinator.until_ended(2).await;
}
