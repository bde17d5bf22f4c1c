//! How many workers there should be, and which go.

use std::time::{Duration, Instant};

use sandmill_scheduler::{Adapt, AdaptError, Adapter, DemandSeen, HostId, Sizing, WorkerSeen};

const SECOND: Duration = Duration::from_secs(1);

fn demand(waiting: usize, placed: usize, waits: u64) -> DemandSeen {
    let oldest_wait = (waiting > 0).then(|| Duration::from_secs(waits));
    DemandSeen { waiting, placed, slots_per_worker: 4, oldest_wait }
}

fn idle(host: u64, since: Instant) -> WorkerSeen {
    WorkerSeen {
        host: HostId(host),
        runs: 0,
        unsettled: 0,
        idle_since: Some(since),
        stopping: false,
    }
}

#[test]
fn bounds_that_cannot_hold_are_refused() {
    assert_eq!(Adapt::between(0, 0), Err(AdaptError::NoneAtMost));
    assert_eq!(Adapt::between(3, 2), Err(AdaptError::LeastAboveMost { min: 3, max: 2 }));
    assert_eq!(Adapt::between(0, 1_000_000), Err(AdaptError::TooMany(1_000_000)));
    let adapt = Adapt { interval: Duration::ZERO, ..Adapt::between(0, 2).unwrap() };
    assert_eq!(adapt.check(), Err(AdaptError::NoInterval));
}

#[test]
fn there_is_a_slot_for_each_run_within_the_bounds() {
    let adapt = Adapt::between(1, 5).unwrap();
    for (waiting, placed, waits, wanted) in [
        (0, 0, 0, 1),
        (1, 0, 0, 1),
        (5, 0, 0, 2),
        (1_000_000, 0, 0, 5),
        (0, 9, 0, 3),
        // What has waited for a moment only is left to those that there are.
        (8, 4, 0, 1),
        (8, 4, 1, 3),
    ] {
        let seen = demand(waiting, placed, waits);
        assert_eq!(adapt.desired(&seen), wanted, "{seen:?}");
    }
    let none = DemandSeen { waiting: 3, slots_per_worker: 0, ..DemandSeen::default() };
    assert_eq!(adapt.desired(&none), 3, "no worker was seen yet: as if of one slot");
    assert_eq!(Adapt::between(0, 5).unwrap().desired(&demand(0, 0, 0)), 0);
}

#[test]
fn no_worker_is_stopped_that_holds_anything() {
    let adapt = Adapt::between(0, 9).unwrap();
    let start = Instant::now();
    let now = start + adapt.idle_timeout + 5 * SECOND;
    let workers = [
        WorkerSeen { runs: 1, ..idle(0, start) },
        WorkerSeen { unsettled: 1, ..idle(1, start) },
        WorkerSeen { idle_since: None, ..idle(2, start) },
        WorkerSeen { stopping: true, ..idle(3, start) },
        idle(4, start + 10 * SECOND),
        idle(5, start + 4 * SECOND),
        idle(6, start),
    ];
    assert_eq!(adapt.to_stop(now, 0, &workers), [HostId(6), HostId(5)], "the longest idle first");
    assert_eq!(adapt.to_stop(now, 5, &workers), [HostId(6)], "so many as are too many");
    assert_eq!(adapt.to_stop(now, 6, &workers), []);
    let least = Adapt { min: 6, ..adapt };
    assert_eq!(least.to_stop(now, 0, &workers), []);
}

#[test]
fn workers_are_started_at_once_and_stopped_a_while_after() {
    let mut adapter = Adapter::new(Adapt {
        idle_timeout: 2 * SECOND,
        cooldown: 20 * SECOND,
        ..Adapt::between(0, 3).unwrap()
    });
    let start = Instant::now();
    assert_eq!(adapter.next_look(), None);
    assert_eq!(adapter.look(start, &demand(8, 0, 0), &[], 0), Sizing::Start(2));
    assert_eq!(adapter.next_look(), Some(start + SECOND));
    let soon = start + SECOND / 2;
    assert_eq!(adapter.look(soon, &demand(80, 0, 5), &[], 2), Sizing::Stay, "not yet");
    let now = start + SECOND;
    assert_eq!(adapter.look(now, &demand(8, 0, 1), &[], 2), Sizing::Stay, "they are coming");
    let workers = [idle(0, start), idle(1, start)];
    let now = start + 10 * SECOND;
    assert_eq!(adapter.look(now, &demand(0, 0, 0), &workers, 0), Sizing::Stay, "too soon");
    let now = start + 21 * SECOND;
    assert_eq!(adapter.look(now, &demand(0, 0, 0), &workers, 1), Sizing::Stay, "one is coming");
    let now = start + 22 * SECOND;
    let stop = Sizing::Stop(vec![HostId(0), HostId(1)]);
    assert_eq!(adapter.look(now, &demand(0, 0, 0), &workers, 0), stop);
    // A busy moment later there are too few: no pause keeps that waiting.
    let workers = workers.map(|worker| WorkerSeen { stopping: true, ..worker });
    let now = start + 23 * SECOND;
    assert_eq!(adapter.look(now, &demand(1, 0, 0), &workers, 0), Sizing::Start(1));
}
