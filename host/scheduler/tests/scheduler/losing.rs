//! Hosts that fall silent, drain, refuse and are lost.

use std::time::Duration;

use sandmill_scheduler::{Action, HandBackWhy, HostId, LostWhy, RunNo};

use crate::fleet::{Fleet, assigned, need, plain, reaching, recalled, spec};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_runs_of_a_lost_host_go_elsewhere_before_those_that_wait() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[2]);
    fleet.ready_all(0..4, &plain());
    fleet.start(0);
    let elsewhere = |run| Action::Elsewhere { run: RunNo(run), from: HostId(0), hosts_lost: 1 };
    let actions = fleet.down(0);
    assert!(actions.contains(&elsewhere(0)) && actions.contains(&elsewhere(1)));
    assert_eq!(assigned(&fleet.up(1, spec(1, 3))), [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn what_may_have_changed_something_outside_is_not_made_again() {
    let mut fleet = Fleet::new(1);
    let mut open = spec(0, 1);
    open.ceiling.any_net = true;
    fleet.up(0, open.clone());
    // The other is not given to a host before it has a slot for it: it would be lost with the host.
    fleet.ready_all(0..2, &reaching());
    assert_eq!(fleet.host_of(1), None);
    // Whether it was told that it started or not.
    let lost =
        Action::Lost { run: RunNo(0), host: HostId(0), hosts_lost: 1, why: LostWhy::Effects };
    assert_eq!(fleet.down(0)[0], lost);
    assert_eq!(assigned(&fleet.up(1, open)), [(1, 1)]);
    // One that is known not to have got there goes elsewhere.
    assert_eq!(assigned(&fleet.hand_back(1, HandBackWhy::NeverArrived)), [(1, 1)]);
}

#[test]
fn a_run_that_is_not_started_in_its_time_is_asked_back_and_stays_where_it_has_started() {
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[1]);
    fleet.ready_all(0..3, &plain());
    assert_eq!(fleet.expire(2), [Action::Withdrawn { run: RunNo(2) }]);
    for run in 0..2 {
        assert_eq!(recalled(&fleet.expire(run)), [(run, 0)]);
    }
    // It had started by then.
    fleet.start(0);
    assert_eq!(fleet.expire(0), []);
    assert_eq!(fleet.hand_back(1, HandBackWhy::Asked), [Action::Withdrawn { run: RunNo(1) }]);
    let elsewhere = Action::Elsewhere { run: RunNo(0), from: HostId(0), hosts_lost: 1 };
    assert!(fleet.down(0).contains(&elsewhere));
    fleet.up(1, spec(1, 1));
    fleet.expire(0);
    assert_eq!(fleet.down(1), [Action::Withdrawn { run: RunNo(0) }]);
    assert!(fleet.scheduler.is_empty());
}

#[test]
fn a_run_that_loses_its_hosts_is_given_up() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1, 1, 1, 1]);
    fleet.ready(0, &plain());
    for hosts_lost in 1..=3 {
        let host = fleet.place(0).unwrap().host;
        let actions = fleet.down(host.0);
        if hosts_lost < 3 {
            assert_eq!(actions[0], Action::Elsewhere { run: RunNo(0), from: host, hosts_lost });
        } else {
            let why = LostWhy::TooMany;
            assert_eq!(actions, [Action::Lost { run: RunNo(0), host, hosts_lost, why }]);
        }
    }
    assert!(fleet.scheduler.is_empty());
    assert_eq!(fleet.scheduler.counts().usable, 1, "one host is left");
}

#[test]
fn what_only_waited_at_a_host_has_no_part_in_its_loss() {
    // One slot and one run ahead at each host: the first run kills each of them.
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[1]);
    fleet.ready_all(0..2, &plain());
    for host in 0..3 {
        let actions = fleet.down(host);
        let lost = actions.iter().any(|action| matches!(action, Action::Lost { .. }));
        assert_eq!(lost, host == 2, "{actions:?}");
        let waited = Action::Elsewhere { run: RunNo(1), from: HostId(host), hosts_lost: 0 };
        assert!(actions.contains(&waited), "{actions:?}");
        fleet.up(host + 1, spec(host + 1, 1));
    }
    assert_eq!(fleet.place(1).unwrap().host, HostId(3));
}

#[test]
fn a_withdrawn_run_leaves_with_its_host() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1]);
    fleet.ready(0, &plain());
    fleet.withdraw(0);
    assert_eq!(fleet.down(0), [Action::Withdrawn { run: RunNo(0) }]);
}

#[test]
fn a_silent_host_gets_nothing_and_keeps_what_it_has() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[2]);
    fleet.ready(0, &plain());
    fleet.silent(0);
    assert_eq!(assigned(&fleet.ready(1, &plain())), []);
    assert_eq!(fleet.host_of(0), Some(0));
    fleet.now += 3 * SECOND;
    assert_eq!(fleet.explain(1)[0], "host-0 has been silent for 3 s; is getting the component");
    assert_eq!(assigned(&fleet.back(0)), [(1, 0)]);
}

#[test]
fn a_draining_host_ends_what_it_has_and_gives_back_what_others_could_take() {
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[1]);
    fleet.ready_all(0..2, &plain());
    assert_eq!(fleet.drain(0), [], "nobody else is there");
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[1, 1]);
    fleet.ready_all(0..4, &plain());
    let placed: Vec<u64> = (0..4).filter(|run| fleet.host_of(*run) == Some(0)).collect();
    assert_eq!(recalled(&fleet.drain(0)), [(placed[1], 0)]);
    fleet.ready(4, &plain());
    assert_eq!(assigned(&fleet.end(placed[0])), [], "it takes nothing new");
    fleet.hand_back(placed[1], HandBackWhy::Asked);
    assert_eq!(fleet.host_of(placed[1]), None);
    let other = (0..4).find(|run| fleet.host_of(*run) == Some(1)).unwrap();
    assert_eq!(assigned(&fleet.end(other)), [(placed[1], 1)], "before what came later");
}

#[test]
fn a_host_that_refuses_runs_gets_none_for_longer_and_longer() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1]);
    fleet.ready(0, &plain());
    for seconds in [1, 2, 4, 8] {
        let actions = fleet.hand_back(0, HandBackWhy::Refused);
        assert!(matches!(actions[..], [Action::Pending { .. }]), "{actions:?}");
        assert_eq!(fleet.scheduler.next_deadline(), Some(fleet.now + seconds * SECOND));
        assert_eq!(assigned(&fleet.after((seconds - 1) * SECOND + SECOND / 2)), []);
        assert!(
            fleet.explain(0)[0].starts_with("host-0 refused a run and gets nothing for 500 ms")
        );
        assert_eq!(assigned(&fleet.after(SECOND / 2)), [(0, 0)]);
    }
    // Another host takes it at once, and one that has made a run is forgiven.
    fleet.end(0);
    fleet.ready(1, &plain());
    fleet.hand_back(1, HandBackWhy::Refused);
    assert_eq!(fleet.scheduler.next_deadline(), Some(fleet.now + SECOND));
    assert_eq!(assigned(&fleet.up(1, spec(1, 1))), [(1, 1)]);
    // One that never arrived is nobody's fault.
    let actions = fleet.hand_back(1, HandBackWhy::NeverArrived);
    assert_eq!(assigned(&actions), [(1, 1)]);
}

#[test]
fn many_runs_that_are_given_back_together_are_one_refusal() {
    let mut fleet = Fleet::new(30);
    fleet.hosts(&[1]);
    (0..20).for_each(|run| drop(fleet.ready(run, &plain())));
    for run in 5..20 {
        fleet.hand_back(run, HandBackWhy::Refused);
        assert_eq!(fleet.scheduler.next_deadline(), Some(fleet.now + SECOND));
    }
    let mut again: Vec<u64> = assigned(&fleet.after(SECOND)).iter().map(|(run, _)| *run).collect();
    again.sort_unstable();
    assert_eq!(again, (5..20).collect::<Vec<u64>>());
}

#[test]
fn what_is_said_of_hosts_that_are_not_there_changes_nothing() {
    let mut fleet = Fleet::new(1);
    let other = need("other", &sandmill_core::CallOptions::default());
    for actions in [fleet.down(9), fleet.silent(9), fleet.back(9), fleet.drain(9)] {
        assert_eq!(actions, []);
    }
    for event in [
        sandmill_scheduler::Event::Holds { host: HostId(9), digest: other.component },
        sandmill_scheduler::Event::Drops { host: HostId(9), digest: other.component },
    ] {
        assert_eq!(fleet.tell(event), []);
    }
}

/// A run that kills whatever host it starts at, among many that do not: it goes, and none of the others
/// does, whoever shares its hosts.
#[test]
fn a_run_that_kills_its_hosts_takes_no_neighbour_with_it() {
    for (slots, prefetch, poison) in [(8, 0, 0), (8, 1, 3), (2, 1, 1), (16, 0, 20), (1, 2, 2)] {
        let mut fleet = Fleet::new(prefetch);
        fleet.hosts(&[slots, slots, slots]);
        fleet.ready_all(0..60, &plain());
        let (mut lost, mut next) = (Vec::new(), 3);
        while !fleet.scheduler.is_empty() {
            let host = fleet.host_of(poison).map(HostId);
            let has_slot = host.is_some_and(|host| {
                let mut first = fleet.scheduler.runs_at(host).take(slots as usize);
                first.any(|(run, _)| run == RunNo(poison))
            });
            if let (Some(host), true) = (host, has_slot) {
                // All that have a slot have started, when it strikes.
                let started: Vec<u64> = fleet
                    .scheduler
                    .runs_at(host)
                    .take(slots as usize)
                    .map(|(run, _)| run.0)
                    .collect();
                for run in started {
                    fleet.start(run);
                }
                let actions = fleet.down(host.0);
                lost.extend(actions.iter().filter_map(|action| match action {
                    Action::Lost { run, hosts_lost, .. } => Some((run.0, *hosts_lost)),
                    _ => None,
                }));
                fleet.up(next, spec(next, slots));
                next += 1;
            } else {
                let other = (0..60).find(|run| *run != poison && fleet.place(*run).is_some());
                fleet.end(other.expect("somebody is somewhere"));
            }
        }
        assert_eq!(lost, [(poison, 3)], "{slots} slots, {prefetch} ahead");
        assert_eq!(fleet.scheduler.counts().taken, 59);
    }
}

#[test]
fn runs_that_lost_two_hosts_are_tried_apart_and_say_so() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[3]);
    fleet.ready_all(0..3, &plain());
    fleet.down(0);
    assert_eq!(assigned(&fleet.up(1, spec(1, 3))), [(0, 1), (1, 1), (2, 1)], "one is nothing yet");
    fleet.ready(3, &plain());
    fleet.down(1);
    // One of them, and whoever is under no suspicion.
    assert_eq!(assigned(&fleet.up(2, spec(2, 3))), [(0, 2), (3, 2)]);
    let words = "host-2 has another run that hosts were lost with, and gets one at a time; \
                 is getting the component";
    assert_eq!(fleet.explain(1)[0], words);
    assert_eq!(assigned(&fleet.up(3, spec(3, 1))), [(1, 3)]);
    assert_eq!(assigned(&fleet.end(0)), [(2, 2)]);
    for run in 1..4 {
        fleet.end(run);
    }
    assert!(fleet.scheduler.is_empty());
}
