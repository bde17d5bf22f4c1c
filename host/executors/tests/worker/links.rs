//! Links that break and come back, sessions that end, heartbeats.

use std::time::Duration;

use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::message::{Ending, Goodbye, Hello, Order, ToWorker, Versions};

use crate::support::*;

#[tokio::test]
async fn a_broken_link_costs_nothing_within_the_grace() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let orders = orders(4);
    coordinator.order(orders.clone()).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    coordinator.again().await;
    let mut listed = coordinator.link.welcome.runs.clone();
    listed.sort_by_key(|of| of.run);
    assert_eq!(listed, orders.iter().map(of).collect::<Vec<_>>());
    // It is told anew that the first has started.
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    gate.open();
    coordinator.until_ended(4).await;
    // Nothing was settled, so all is said again.
    coordinator.again().await;
    coordinator.until_ended(4).await;
    assert_eq!(coordinator.link.welcome.runs.len(), 4);
    let settled = coordinator.heard.ended.iter().map(|report| report.of).collect();
    coordinator.say(ToWorker::Settled(settled)).await;
    wait_for(&worker, |status| status.kept == 0).await;
    coordinator.again().await;
    assert!(coordinator.link.welcome.runs.is_empty());
    assert_eq!(script.started(), 4);
}

#[tokio::test]
async fn what_runs_goes_on_without_a_link_and_nothing_else_starts() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(3)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let hello = coordinator.hello.clone();
    drop(coordinator);
    wait_for(&worker, |status| !status.sessions[0].linked).await;
    gate.open();
    wait_for(&worker, |status| status.kept == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((script.started(), worker.status().waiting), (1, 2));
    let mut back = Coordinator::greet(&worker, hello);
    back.until_ended(3).await;
}

#[tokio::test]
async fn after_the_grace_all_is_cancelled_and_forgotten() {
    let (_gate, script) = gated();
    let worker = worker(&script, 1);
    let hello = Hello { grace: Duration::from_millis(30), ..hello() };
    let mut coordinator = Coordinator::greet(&worker, hello);
    coordinator.say(ToWorker::Specs(vec![spec(0)])).await;
    coordinator.order(orders(3)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    drop(coordinator);
    wait_for_nothing(&worker).await;
    assert_eq!(script.started(), 1);
}

#[tokio::test]
async fn a_goodbye_ends_the_session_at_once() {
    let (_gate, script) = gated();
    let worker = worker(&script, 2);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(5)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let goodbye = Goodbye::Leaving("done".to_owned());
    coordinator.say(ToWorker::Goodbye(goodbye)).await;
    while coordinator.hear().await {}
    wait_for_nothing(&worker).await;
}

#[tokio::test]
async fn silence_is_a_broken_link_and_a_heartbeat_is_not() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let beat = Duration::from_secs(1);
    let mut silent = Coordinator::greet(&worker, Hello { heartbeat: beat, ..hello() });
    while silent.hear().await {}
    assert!(silent.heard.heartbeats >= 2, "{}", silent.heard.heartbeats);
    assert!(silent.heard.goodbye.is_none());
    wait_for_nothing(&worker).await;
    let mut alive = Coordinator::greet(&worker, Hello { heartbeat: beat, ..hello() });
    for _ in 0..10 {
        alive.say(ToWorker::Heartbeat).await;
        alive.listen(Duration::from_millis(400)).await;
    }
    assert!(worker.status().sessions[0].linked);
}

#[tokio::test]
async fn a_session_has_one_link_and_one_owner() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    let other = worker.open("somebody else", &coordinator.hello);
    assert!(matches!(other, Err(Goodbye::Forbidden(_))));
    // A second link ends the first, which must not take what is meant for the second.
    let mut first =
        std::mem::replace(&mut coordinator.link, worker.open("peer", &coordinator.hello).unwrap());
    coordinator.say(ToWorker::Specs(vec![spec(0)])).await;
    // Orders over the first are nobody's.
    let _ = first.to_worker.send(ToWorker::Orders(vec![order(0)])).await;
    coordinator.order(orders(10)).await;
    coordinator.until_ended(10).await;
    while first.from_worker.recv().await.is_some() {}
    assert_eq!(script.started(), 10);
    drop(first);
    coordinator.order(orders(1)).await;
    coordinator.until_ended(11).await;
}

#[tokio::test]
async fn coordinators_beyond_the_bound_and_of_other_versions_are_sent_away() {
    let script = Script::echo();
    let worker = worker_with(&script, WorkerConfig { sessions: 2, ..WorkerConfig::new("two", 1) });
    let (first, _second) = (Coordinator::new(&worker).await, Coordinator::new(&worker).await);
    assert!(matches!(worker.open("peer", &hello()), Err(Goodbye::Busy(_))));
    let theirs = Versions { least: 900, most: 901 };
    let newer = worker.open("peer", &Hello { versions: theirs, ..hello() });
    assert_eq!(newer.err(), Some(Goodbye::Version { ours: Versions::OURS, theirs }));
    // One that holds nothing makes room as soon as it is gone.
    drop(first);
    wait_for(&worker, |status| status.sessions.len() == 1).await;
    let mut third = Coordinator::new(&worker).await;
    third.order(vec![Order { index: Some(1), ..order(1) }]).await;
    third.until_ended(1).await;
    assert!(matches!(third.heard.ended[0].ending, Ending::Value(_)));
}
