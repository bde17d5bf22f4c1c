//! Whatever a coordinator says in whatever order: the worker does not panic, answers each order,
//! and has nothing left once all have gone.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sandmill_executors::worker::WorkerConfig;
use sandmill_transport::message::{
    Ending, FromWorker, Goodbye, Hello, LeaseId, Order, Payload, RunLease, ToWorker,
};
use sandmill_wire::{Digest, RunId};

use crate::support::*;

/// One thing that a coordinator does, with runs and leases out of few.
#[derive(Debug, Clone)]
enum Step {
    Order { run: u8, lease: u64, attempt: u32, arguments: u8, spec: u8 },
    Cancel(u8, u64),
    Recall(u8, u64),
    Settle(u8, u64),
    Heartbeat,
    Hear,
    Reconnect,
    Leave,
    Pause,
}

fn step() -> impl Strategy<Value = Step> {
    let (run, lease) = (0..6_u8, 1..6_u64);
    prop_oneof![
        8 => (run.clone(), lease.clone(), 1..3_u32, 0..3_u8, 0..20_u8).prop_map(
            |(run, lease, attempt, arguments, spec)| {
                Step::Order { run, lease, attempt, arguments, spec }
            }
        ),
        2 => (run.clone(), lease.clone()).prop_map(|(run, lease)| Step::Cancel(run, lease)),
        2 => (run.clone(), lease.clone()).prop_map(|(run, lease)| Step::Recall(run, lease)),
        2 => (run, lease).prop_map(|(run, lease)| Step::Settle(run, lease)),
        1 => Just(Step::Heartbeat),
        3 => Just(Step::Hear),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Leave),
        1 => Just(Step::Pause),
    ]
}

fn id(run: u8) -> RunId {
    RunId::from_bytes([run; 16])
}

fn make(run: u8, lease: u64, attempt: u32, arguments: u8, spec: u8) -> Order {
    Order {
        run: id(run),
        lease: LeaseId(lease),
        attempt,
        // Now and then one that breaks the protocol, or has arguments that nobody has sent.
        spec: u32::from(spec == 19),
        arguments: match (spec, arguments) {
            (18, _) => Payload::Blob { digest: Digest::of(b"nowhere"), size: 7 },
            (17, _) => Payload::Inline(vec![0xc1].into()),
            (_, n) => Payload::of(&crate::support::arguments(n.into()).into_bytes()),
        },
        time_left: (spec == 16).then_some(Duration::from_millis(1)),
        ..order(0)
    }
}

async fn play(steps: Vec<(bool, Step)>) {
    let script = Script::new(|attempt| {
        std::thread::sleep(Duration::from_micros(300));
        // Without a message on standard error, unlike a plain panic.
        if attempt.call.arguments == arguments(2) {
            std::panic::resume_unwind(Box::new("as the test has it"));
        }
        value(attempt.call.arguments.clone())
    });
    let config = WorkerConfig {
        waiting_a_slot: 1,
        waiting_base: 2,
        kept: 3,
        // Not all of them listen.
        need_patience: Duration::from_millis(5),
        ..WorkerConfig::new("random", 2)
    };
    let worker = worker_with(&script, config);
    let hellos = [0, 1].map(|_| Hello { grace: Duration::from_millis(40), ..hello() });
    let mut coordinators: BTreeMap<bool, Coordinator> = BTreeMap::new();
    for (who, step) in steps {
        let mut coordinator = match coordinators.remove(&who) {
            Some(coordinator) => coordinator,
            None => {
                let coordinator = Coordinator::greet(&worker, hellos[usize::from(who)].clone());
                coordinator.say(ToWorker::Specs(vec![spec(0)])).await;
                coordinator
            }
        };
        let one = |run, lease| vec![RunLease { run: id(run), lease: LeaseId(lease) }];
        let message = match step {
            Step::Order { run, lease, attempt, arguments, spec } => {
                ToWorker::Orders(vec![make(run, lease, attempt, arguments, spec)])
            }
            Step::Cancel(run, lease) => ToWorker::Cancel(one(run, lease)),
            Step::Recall(run, lease) => ToWorker::Recall(one(run, lease)),
            Step::Settle(run, lease) => ToWorker::Settled(one(run, lease)),
            Step::Heartbeat => ToWorker::Heartbeat,
            Step::Hear => {
                coordinator.listen(Duration::from_micros(200)).await;
                coordinators.insert(who, coordinator);
                continue;
            }
            Step::Reconnect => {
                coordinator.again().await;
                coordinators.insert(who, coordinator);
                continue;
            }
            Step::Leave => ToWorker::Goodbye(Goodbye::Leaving("done".to_owned())),
            Step::Pause => continue,
        };
        // The link may have ended: then this one comes back with its next step.
        if coordinator.link.to_worker.send(message).await.is_ok() {
            coordinators.insert(who, coordinator);
        }
    }
    // A new one is served as ever.
    let mut last = Coordinator::new(&worker).await;
    last.settles = true;
    last.order(orders(2)).await;
    last.until_ended(2).await;
    drop(last);
    drop(coordinators);
    wait_for_nothing(&worker).await;
    let status = worker.status();
    assert_eq!(status.component_bytes % COMPONENT.len() as u64, 0);
    assert_eq!(status.value_bytes, 0);
}

/// The last word on each order that is good is an end, or that it is given back.
async fn answered(orders: Vec<(u8, u8)>) {
    let script = Script::echo();
    let config = WorkerConfig { waiting_a_slot: 1, ..WorkerConfig::new("random", 1) };
    let worker = worker_with(&script, config);
    let mut coordinator = Coordinator::new(&worker).await;
    let mut newest = BTreeMap::new();
    for (run, arguments) in orders {
        let order = make(run, lease().0, 1, arguments, 0);
        newest.insert(order.run, of(&order));
        coordinator.order(vec![order]).await;
    }
    for lease in newest.into_values() {
        coordinator
            .until(|heard| {
                heard.ended.iter().any(|report| report.of == lease)
                    || heard.back.iter().any(|back| back.of == lease)
            })
            .await;
        if let Some(Ending::Ended(end)) = coordinator.heard.ending(lease.run) {
            panic!("{end}");
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_is_left(
        steps in prop::collection::vec((any::<bool>(), step()), 1..60)
    ) {
        block_on(play(steps));
    }

    #[test]
    fn every_order_is_answered_under_its_newest_lease(
        orders in prop::collection::vec((0..8_u8, 0..2_u8), 1..80)
    ) {
        block_on(answered(orders));
    }
}

#[tokio::test]
async fn a_worker_that_is_asked_for_nothing_says_nothing_but_heartbeats() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let hello = Hello { heartbeat: Duration::from_millis(50), ..hello() };
    let mut link = worker.open("peer", &hello).unwrap();
    let first = tokio::time::timeout(LONG, link.from_worker.recv()).await.unwrap();
    let Some(FromWorker::Heartbeat(load)) = first else { panic!("{first:?}") };
    assert_eq!((load.running, load.waiting), (0, 0));
}
