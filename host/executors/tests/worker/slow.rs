//! Those who say that they send, and send nothing or not much: what they may have of the worker's room,
//! and that others do not wait for them.

use std::sync::Arc;
use std::time::Duration;

use sandmill_executors::worker::{Receiving, Worker, WorkerConfig};
use sandmill_transport::message::{Order, Spec, ToWorker};
use sandmill_wire::Digest;

use crate::support::*;

const MIB: usize = 1 << 20;

async fn begin(worker: &Worker, peer: &str, name: &str, size: usize) -> Receiving {
    let digest = Digest::of(name.as_bytes());
    let begun = worker.receive_from(peer, digest, size as u64).await;
    begun.unwrap().expect("it is not here yet")
}

#[tokio::test]
async fn sizes_that_are_only_said_take_no_room() {
    let script = Script::echo();
    let config = WorkerConfig { values_bytes: 64 * MIB as u64, ..WorkerConfig::new("a", 1) };
    let worker = worker_with(&script, config);
    let kept = vec![1; 30 * MIB];
    put(&worker, &kept).await.unwrap();
    let mut said = Vec::new();
    for n in 0..10 {
        said.push(begin(&worker, &format!("slow {n}"), &n.to_string(), 60 * MIB).await);
    }
    assert!(worker.bytes_of(&Digest::of(&kept)).is_some(), "it went for what is only said");
    assert!(worker.status().value_bytes <= 40 * MIB as u64, "{}", worker.status().value_bytes);
    let other = vec![2; 24 * MIB];
    put(&worker, &other).await.unwrap();
    assert!(worker.bytes_of(&Digest::of(&kept)).is_some());
    drop(said);
    assert_eq!(worker.status().value_bytes, 54 * MIB as u64);
}

#[tokio::test]
async fn what_one_side_sends_and_does_not_end_leaves_room_for_others() {
    let script = Script::echo();
    let config = WorkerConfig { values_bytes: 64 * MIB as u64, ..WorkerConfig::new("a", 1) };
    let worker = worker_with(&script, config);
    let mut first = begin(&worker, "greedy", "first", 30 * MIB).await;
    first.push(&vec![0; 29 * MIB]).unwrap();
    // It waits with the second before it has sent any of it.
    let second = {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { begin(&worker, "greedy", "second", 30 * MIB).await })
    };
    let mut other = begin(&worker, "other", "x", 30 * MIB).await;
    for _ in 0..30 {
        other.room_for(MIB).await.unwrap();
        other.push(&vec![0; MIB]).unwrap();
    }
    assert!(!second.is_finished());
    // Room comes back with what had it.
    drop(first);
    let mut second = second.await.unwrap();
    let waits = tokio::spawn(async move { second.room_for(29 * MIB).await.map(|()| second) });
    drop(other);
    waits.await.unwrap().unwrap().push(&vec![0; 29 * MIB]).unwrap();
}

fn spec_of(id: u32, name: &str, size: u64) -> Spec {
    Spec { component: Digest::of(name.as_bytes()), size, ..spec(id) }
}

#[tokio::test]
async fn components_that_never_come_keep_no_room_from_others() {
    let script = Script::echo();
    let size = COMPONENT.len() as u64;
    let config = WorkerConfig { components_bytes: 8 * size, ..WorkerConfig::new("a", 1) };
    let worker = worker_with(&script, config);
    let mut greedy = Coordinator::greet(&worker, hello());
    let specs = (0..32).map(|id| spec_of(id, &id.to_string(), size)).collect();
    greedy.say(ToWorker::Specs(specs)).await;
    greedy.order((0..32).map(|id| Order { spec: id, ..order(0) }).collect()).await;
    greedy.until(|heard| heard.needs.len() == 2).await;
    let mut other = Coordinator::greet_as(&worker, "another", hello());
    other.say(ToWorker::Specs(vec![spec(0)])).await;
    other.order(orders(1)).await;
    other.until_ended(1).await;
    // It has a quarter of the room for what it does not bring.
    greedy.listen(Duration::from_millis(50)).await;
    assert_eq!(greedy.heard.needs.len(), 2);
}

#[tokio::test]
async fn what_was_not_brought_is_asked_for_after_what_was_not_asked_for() {
    let script = Script::echo();
    let size = COMPONENT.len() as u64;
    let config = WorkerConfig {
        components_bytes: size,
        need_patience: Duration::from_millis(100),
        ..WorkerConfig::new("a", 1)
    };
    let worker = worker_with(&script, config);
    let mut greedy = Coordinator::greet(&worker, hello());
    greedy.say(ToWorker::Specs(vec![spec_of(0, "never", size)])).await;
    greedy.order(orders(1)).await;
    greedy.until(|heard| heard.needs.len() == 1).await;
    let mut other = Coordinator::new(&worker).await;
    other.order(orders(1)).await;
    other.until_ended(1).await;
}

#[tokio::test]
async fn a_component_that_comes_slowly_is_brought_by_another() {
    let script = Script::echo();
    let config =
        WorkerConfig { need_patience: Duration::from_millis(100), ..WorkerConfig::new("a", 1) };
    let worker = worker_with(&script, config);
    let mut first = Coordinator::new(&worker).await;
    first.components.clear();
    first.order(orders(1)).await;
    first.until(|heard| heard.needs.len() == 1).await;
    let (digest, size) = (Digest::of(COMPONENT), COMPONENT.len() as u64);
    let mut slow = worker.receive_from("first", digest, size).await.unwrap().unwrap();
    slow.push(&COMPONENT[..1]).unwrap();
    let mut other = Coordinator::new(&worker).await;
    other.order(orders(1)).await;
    other.until_ended(1).await;
    first.until_ended(1).await;
    // It was not asked again for what it was bringing, and what it brings now changes nothing.
    assert_eq!(first.heard.needs.len(), 1);
    slow.push(&COMPONENT[1..]).unwrap();
    slow.finish().await.unwrap();
    let status = worker.status();
    assert_eq!(status.component_bytes, size);
    assert_eq!((status.components.len(), status.transfers.get(&digest)), (1, Some(&1)));
}
