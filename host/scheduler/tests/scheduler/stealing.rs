//! Idle hosts take what waits at busy ones.

use sandmill_scheduler::{Event, HandBackWhy, HostId, RunNo};

use crate::fleet::{Fleet, assigned, labelled, plain, recalled, spec, take};

/// A host of two slots with eight runs, then another one.
fn one_busy_one_idle() -> (Fleet, Vec<(u64, u64)>) {
    let mut fleet = Fleet::new(3);
    fleet.hosts(&[2]);
    fleet.ready_all(0..8, &plain());
    fleet.start(0);
    fleet.start(1);
    let actions = fleet.up(1, spec(1, 4));
    (fleet, recalled(&actions))
}

#[test]
fn an_idle_host_takes_half_of_what_waits_at_another_the_last_first() {
    let (mut fleet, recalled_first) = one_busy_one_idle();
    assert_eq!(recalled_first, [(7, 0), (6, 0), (5, 0)]);
    // No more than there are slots for, and nothing twice: one of the four is not spoken for, and
    // of three that are left two are half.
    assert_eq!(recalled(&fleet.tell(Event::Tick)), [(4, 0)]);
    assert_eq!(recalled(&fleet.tell(Event::Tick)), []);
    let actions = fleet.hand_back(7, HandBackWhy::Asked);
    assert_eq!(assigned(&actions), [(7, 1)]);
    assert_eq!(recalled(&actions), []);
    assert_eq!(fleet.scheduler.counts().handed_back, 1);
}

#[test]
fn what_has_started_or_ended_meanwhile_stays_so() {
    let (mut fleet, _) = one_busy_one_idle();
    let (late, fast) = (fleet.place(7).unwrap(), fleet.place(6).unwrap());
    assert!(late.recalled);
    fleet.start(7);
    let placed = fleet.place(7).unwrap();
    assert!(placed.started && !placed.recalled);
    assert_eq!(fleet.end(6)[0], take(6, fast.lease));
    // The run that ended is not given back any more.
    let late = Event::HandBack {
        host: HostId(0),
        run: RunNo(6),
        lease: fast.lease,
        why: HandBackWhy::Asked,
    };
    assert_eq!(assigned(&fleet.tell(late)), []);
    assert!(!fleet.scheduler.knows(RunNo(6)));
}

#[test]
fn nothing_is_asked_for_that_the_idle_host_could_not_take() {
    let mut fleet = Fleet::new(3);
    let mut big = spec(0, 1);
    big.labels = ["big".to_owned()].into();
    fleet.up(0, big.clone());
    fleet.ready_all(0..4, &labelled(&["big"]));
    assert_eq!(recalled(&fleet.up(1, spec(1, 4))), []);
    assert_eq!(recalled(&fleet.up(2, big)), [(3, 0)], "one slot, one run");
}

#[test]
fn hosts_with_work_are_left_alone() {
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[2, 2]);
    assert_eq!(recalled(&fleet.ready_all(0..20, &plain())), []);
    for run in 0..12 {
        assert_eq!(recalled(&fleet.end(run)), [], "others wait");
    }
}

#[test]
fn a_busy_host_that_falls_silent_is_not_waited_for() {
    let mut fleet = Fleet::new(3);
    fleet.hosts(&[1, 1]);
    fleet.ready_all(0..8, &plain());
    let of =
        |fleet: &Fleet, host| (0..8).filter(move |run| fleet.host_of(*run) == Some(host)).collect();
    let (first, second): (Vec<u64>, Vec<u64>) = (of(&fleet, 0), of(&fleet, 1));
    let asked = recalled(&fleet.up(2, spec(2, 1)));
    assert_eq!(asked.len(), 1, "one slot, one run");
    let (silent, other) = if first.contains(&asked[0].0) { (0, second) } else { (1, first) };
    assert_eq!(recalled(&fleet.silent(silent)), [(other[3], 1 - silent)]);
}
