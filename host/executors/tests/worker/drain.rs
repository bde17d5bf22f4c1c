//! How a worker leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_transport::message::{Ending, Goodbye};
use sandmill_wire::EndKind;

use crate::support::*;

#[tokio::test]
async fn what_has_not_started_goes_back_and_what_runs_may_end() {
    let (gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.settles = true;
    let mut orders = orders(4);
    coordinator.order(orders.clone()).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let own = Arc::clone(&worker);
    let drained = tokio::spawn(async move { own.drain(LONG).await });
    coordinator.until(|heard| heard.draining && heard.back.len() == 3).await;
    // Nothing new is taken, and nobody new comes.
    coordinator.order(vec![order(9)]).await;
    coordinator.until(|heard| heard.back.len() == 4).await;
    assert!(matches!(worker.open("peer", &hello()), Err(Goodbye::Leaving(_))));
    assert!(!drained.is_finished() && worker.status().draining);
    gate.open();
    while coordinator.hear().await {}
    drained.await.unwrap();
    let first = orders.remove(0).run;
    assert!(matches!(coordinator.heard.ending(first), Some(Ending::Value(_))));
    assert!(matches!(coordinator.heard.goodbye, Some(Goodbye::Leaving(_))));
    wait_for_nothing(&worker).await;
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_is_cancelled() {
    let (_gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.settles = true;
    let order = order(1);
    coordinator.order(vec![order.clone()]).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let own = Arc::clone(&worker);
    let drained = tokio::spawn(async move { own.drain(Duration::from_millis(30)).await });
    while coordinator.hear().await {}
    assert_eq!(coordinator.heard.end(order.run).kind, EndKind::Cancelled);
    drained.await.unwrap();
    wait_for_nothing(&worker).await;
}

#[tokio::test]
async fn the_second_call_is_at_once() {
    let (_gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let began = Instant::now();
    let own = Arc::clone(&worker);
    let first = tokio::spawn(async move { own.drain(Duration::from_secs(3_600)).await });
    coordinator.until(|heard| heard.draining).await;
    let own = Arc::clone(&worker);
    let second = tokio::spawn(async move { own.drain(Duration::ZERO).await });
    // It is not settled, and that is not waited for.
    while coordinator.hear().await {}
    first.await.unwrap();
    second.await.unwrap();
    assert!(began.elapsed() < LONG);
    assert_eq!(coordinator.heard.ended.len(), 1);
    wait_for_nothing(&worker).await;
}

#[tokio::test]
async fn a_worker_that_goes_takes_what_runs_with_it() {
    let (_gate, script) = gated();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let own = Arc::downgrade(&script);
    drop(script);
    let link = coordinator.into_link();
    drop(worker);
    let start = Instant::now();
    // Its threads have let go of the invoker once they have ended.
    while own.strong_count() > 0 {
        assert!(start.elapsed() < LONG, "threads live on");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(link);
}
