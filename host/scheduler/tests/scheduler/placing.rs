//! Which host a run goes to.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::CallOptions;
use sandmill_scheduler::{Action, Event, HostId, LeaseId, RefusedWhy, RunNo, SchedulerConfig};
use sandmill_wire::Digest;

use crate::fleet::{
    Fleet, asking, assigned, labelled, need, plain, reaching, resources, spec, take,
};

#[test]
fn runs_are_spread_over_hosts_by_their_load() {
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[4, 2]);
    // All hold the component, so that only their load tells them apart.
    for host in [0, 1] {
        let digest = plain().component;
        fleet.tell(Event::Holds { host: HostId(host), digest });
    }
    let placed = assigned(&fleet.ready_all(0..6, &plain()));
    assert_eq!(placed, [(0, 0), (1, 1), (2, 0), (3, 0), (4, 1), (5, 0)]);
    // Then one for each slot beyond.
    let placed = assigned(&fleet.ready_all(6..14, &plain()));
    assert_eq!(placed.iter().filter(|(_, host)| *host == 0).count(), 4);
    assert_eq!(placed.len(), 6);
    assert_eq!((fleet.scheduler.waiting(), fleet.scheduler.room()), (2, 0));
    // The next goes where a run has ended.
    assert_eq!(assigned(&fleet.end(1)), [(12, 1)]);
}

#[test]
fn a_component_that_is_there_or_on_its_way_is_sent_to_nobody_else() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[2, 2, 2]);
    fleet.tell(Event::Holds { host: HostId(2), digest: plain().component });
    assert_eq!(assigned(&fleet.ready_all(0..2, &plain())), [(0, 2), (1, 2)]);
    // Its slots are taken: a free slot goes before bytes that are there.
    assert_eq!(assigned(&fleet.ready(2, &plain())), [(2, 0)]);
    assert_eq!(assigned(&fleet.ready(3, &plain())), [(3, 0)], "it is on its way there");
    assert_eq!(
        fleet.explain(2),
        ["host-0 has it, and it has not started; is getting the component"]
    );
    fleet.end(2);
    fleet.tell(Event::Drops { host: HostId(0), digest: plain().component });
    fleet.end(0);
    assert_eq!(assigned(&fleet.ready(4, &plain())), [(4, 2)]);
}

#[test]
fn a_run_goes_where_most_of_its_inputs_are() {
    let mut fleet = Fleet::new(0);
    let (small, large) = (Digest::of(b"small"), Digest::of(b"large"));
    for (host, holds) in [(0, vec![]), (1, vec![small]), (2, vec![large]), (3, vec![])] {
        let mut spec = spec(host, 2);
        spec.holds = holds;
        spec.holds.push(plain().component);
        fleet.up(host, spec);
    }
    let inputs: Option<Arc<[_]>> = Some([(small, 10), (large, 1_000)].into());
    let mut ready = |run| {
        let (need, inputs) = (plain(), inputs.clone());
        let event = Event::Ready { run: RunNo(run), need, input_bytes: 1, inputs };
        assigned(&fleet.tell(event))
    };
    let placed: Vec<_> = (0..6).flat_map(&mut ready).map(|(_, host)| host).collect();
    assert_eq!(placed, [2, 2, 1, 1, 0, 3]);
}

#[test]
fn labels_resources_and_what_a_host_allows_are_asked_for() {
    let mut fleet = Fleet::new(1);
    let mut big = spec(0, 4);
    big.labels = ["big".to_owned(), "fast".to_owned()].into();
    let mut gpus = spec(1, 4);
    gpus.resources = resources(&[("gpu", 1.5)]);
    let mut open = spec(2, 4);
    open.ceiling.net = vec!["peer:*".parse().unwrap()];
    for (host, spec) in (0..).zip([big, gpus, open]) {
        fleet.up(host, spec);
    }
    for (run, need, host) in [
        (0, labelled(&["big"]), Some(0)),
        (1, labelled(&["big", "fast"]), Some(0)),
        (2, labelled(&["big", "slow"]), None),
        (3, asking(&[("gpu", 1.0)]), Some(1)),
        (4, asking(&[("gpu", 0.5)]), Some(1)),
        (5, asking(&[("gpu", 0.1)]), None),
        (6, asking(&[("gpu", 2.0)]), None),
        (7, reaching(), Some(2)),
        (8, asking(&[("fpga", 0.0)]), Some(2)),
    ] {
        fleet.ready(run, &need);
        assert_eq!(fleet.host_of(run), host, "run {run}");
    }
    // What is free again is used again, whoever waits before for something else.
    assert_eq!(assigned(&fleet.end(4)), [(5, 1)]);
}

#[test]
fn runs_that_hold_resources_get_a_slot_and_are_not_starved_by_others() {
    let mut fleet = Fleet::new(1);
    let mut host = spec(0, 2);
    host.resources = resources(&[("gpu", 1.0)]);
    fleet.up(0, host);
    fleet.ready_all(0..4, &plain());
    assert_eq!(fleet.ready(10, &asking(&[("gpu", 1.0)])), [], "it is only busy");
    fleet.ready_all(20..30, &plain());
    assert_eq!(fleet.scheduler.room(), 0);
    // Nothing is added beyond the slots until it has its own.
    assert_eq!(assigned(&fleet.end(0)), []);
    let said = fleet.explain(20);
    assert_eq!(
        said,
        ["host-0 keeps its next slot for a run that waits for one; is getting the component"]
    );
    assert_eq!(assigned(&fleet.end(1)), []);
    assert_eq!(assigned(&fleet.end(2)), [(10, 0), (20, 0), (21, 0)]);
    // It keeps nothing from those that have waited for longer.
    fleet.ready(11, &asking(&[("gpu", 1.0)]));
    assert_eq!(assigned(&fleet.end(3)), [(22, 0)]);
    assert_eq!(assigned(&fleet.end(10)), [(23, 0)]);
}

#[test]
fn of_runs_that_are_short_a_host_has_many_and_as_few_of_others_as_before() {
    let config = SchedulerConfig { max_prefetch_per_slot: 64, ..SchedulerConfig::default() };
    let mut fleet = Fleet::with(config);
    fleet.hosts(&[1]);
    let short = Some(Duration::from_micros(10));
    fleet.ready_all(0..100, &plain());
    for run in 0..10 {
        assert!(fleet.scheduler.counts().placed <= 1 << (run + 1), "it goes up by steps");
        fleet.end_after(run, short);
    }
    assert_eq!(fleet.scheduler.prefetch(&plain(), false), 64);
    assert_eq!(fleet.scheduler.counts().placed, 65);
    // What came later waits until there is as little as it is given itself, and longer than those
    // that came before.
    let long = need("long", &CallOptions::default());
    assert_eq!(fleet.ready(200, &long), [], "it is only busy");
    fleet.ready_all(300..400, &plain());
    for run in 10..98 {
        assert!(!assigned(&fleet.end_after(run, short)).contains(&(200, 0)), "after {run}");
    }
    assert_eq!(fleet.scheduler.counts().placed, 2, "what is younger does not go before it");
    let next = assigned(&fleet.end_after(98, short));
    assert_eq!(next[..2], [(200, 0), (300, 0)], "then it is their turn");
    assert_eq!(fleet.scheduler.counts().placed, 65);
}

#[test]
fn a_run_that_is_not_wanted_any_more_keeps_nobody_waiting() {
    let mut fleet = Fleet::new(1);
    let mut host = spec(0, 2);
    host.resources = resources(&[("gpu", 1.0)]);
    fleet.up(0, host);
    fleet.ready_all(0..4, &plain());
    fleet.ready(10, &asking(&[("gpu", 1.0)]));
    fleet.ready_all(20..30, &plain());
    assert_eq!(assigned(&fleet.end(0)), [], "it waits for a slot");
    assert_eq!(assigned(&fleet.withdraw(10)), [(20, 0)]);
}

#[test]
fn a_run_that_nobody_takes_stands_in_nobodys_way() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1]);
    for run in 0..10 {
        fleet.ready(run, &labelled(&["nobody"]));
    }
    assert_eq!(assigned(&fleet.ready(10, &plain())), [(10, 0)]);
    fleet.ready(11, &plain());
    fleet.ready(12, &need("other", &CallOptions::default()));
    assert_eq!(assigned(&fleet.end(10)), [(11, 0)], "the oldest that can");
    assert_eq!(assigned(&fleet.end(11)), [(12, 0)]);
}

#[test]
fn equal_needs_are_one_however_often_they_are_made() {
    let mut fleet = Fleet::new(0);
    for run in 0..5 {
        fleet.ready(run, &plain());
    }
    assert_eq!(fleet.scheduler.counts().classes, 1);
    // Those that nobody has any more are forgotten in time.
    for run in 100..1_100 {
        fleet.ready(run, &need(&run.to_string(), &CallOptions::default()));
        assert_eq!(fleet.withdraw(run), [Action::Withdrawn { run: RunNo(run) }]);
    }
    assert_eq!(fleet.scheduler.counts().classes, 1 + sandmill_scheduler::MAX_IDLE_CLASSES);
    // In the order in which they came.
    assert_eq!(assigned(&fleet.up(0, spec(0, 9))), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
}

#[test]
fn no_more_wait_than_may_and_a_number_is_used_once_at_a_time() {
    let config = SchedulerConfig { max_waiting: 3, max_hosts: 1, ..SchedulerConfig::default() };
    let mut fleet = Fleet::with(config);
    assert_eq!(fleet.scheduler.room(), 1, "one, to be told why");
    fleet.ready_all(0..3, &plain());
    assert_eq!(fleet.scheduler.room(), 0);
    let refused = |run, why| Action::Refused { run: RunNo(run), why };
    assert_eq!(fleet.ready(3, &plain()), [refused(3, RefusedWhy::Full)]);
    assert_eq!(fleet.ready(0, &plain()), [refused(0, RefusedWhy::Known)]);
    assert_eq!(fleet.withdraw(1), [Action::Withdrawn { run: RunNo(1) }]);
    // The number again, behind the others, where its old place in the queue is not its own.
    assert_eq!(fleet.ready(1, &plain()), []);
    assert_eq!(assigned(&fleet.up(0, spec(0, 5))), [(0, 0), (2, 0), (1, 0)]);
    assert_eq!(fleet.up(1, spec(1, 5)), [Action::HostRefused { host: HostId(1) }]);
}

#[test]
fn leases_begin_where_they_are_told_and_only_the_latest_counts() {
    let mut fleet = Fleet::with(SchedulerConfig { first_lease: 70, ..SchedulerConfig::default() });
    fleet.hosts(&[1, 1]);
    fleet.ready(0, &plain());
    let first = fleet.place(0).unwrap();
    assert_eq!(first.lease, LeaseId(70));
    fleet.down(first.host.0);
    let second = fleet.place(0).unwrap();
    assert_eq!(second.lease, LeaseId(71));
    let end = |host, lease| Event::Ended { host, run: RunNo(0), lease, took: None };
    for (host, lease) in
        [(first.host, first.lease), (first.host, second.lease), (second.host, first.lease)]
    {
        let stale = Action::Stale { host, run: RunNo(0), lease };
        assert_eq!(fleet.tell(end(host, lease)), [stale]);
    }
    assert_eq!(fleet.tell(end(second.host, second.lease)), [take(0, second.lease)]);
    let stale = Action::Stale { host: second.host, run: RunNo(0), lease: second.lease };
    assert_eq!(fleet.tell(end(second.host, second.lease)), [stale], "it was taken");
    assert_eq!(fleet.scheduler.counts().stale, 4);
}

#[test]
fn a_run_that_was_withdrawn_keeps_its_slot_until_it_has_ended() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1]);
    fleet.ready_all(0..2, &plain());
    let placed = fleet.place(0).unwrap();
    let cancel = Action::Cancel { run: RunNo(0), host: placed.host, lease: placed.lease };
    assert_eq!(fleet.withdraw(0), [cancel]);
    assert_eq!(fleet.withdraw(0), [], "once");
    assert_eq!(fleet.host_of(1), None);
    let done = fleet.end(0);
    assert_eq!(done[0], take(0, placed.lease));
    assert_eq!(assigned(&done), [(1, 0)]);
    assert_eq!(fleet.withdraw(77), [], "nobody knows it");
}

#[test]
fn a_host_says_anew_what_it_is_and_keeps_its_runs() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1]);
    fleet.ready_all(0..3, &plain());
    fleet.ready(3, &labelled(&["big"]));
    let mut more = spec(0, 4);
    more.labels = ["big".to_owned()].into();
    assert_eq!(assigned(&fleet.up(0, more)), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(fleet.host_of(0), Some(0));
    assert_eq!(fleet.scheduler.runs_at(HostId(0)).count(), 4);
}

#[test]
fn no_more_are_wanted_while_the_arguments_of_those_that_wait_are_many_bytes() {
    let config = SchedulerConfig { max_waiting_bytes: 1_000, ..SchedulerConfig::default() };
    let mut fleet = Fleet::with(config);
    fleet.hosts(&[4]);
    let ready = |fleet: &mut Fleet, run| {
        let need = labelled(&["gpu"]);
        fleet.tell(Event::Ready { run: RunNo(run), need, input_bytes: 400, inputs: None })
    };
    ready(&mut fleet, 0);
    ready(&mut fleet, 1);
    assert_eq!(fleet.scheduler.room(), 8, "800 bytes wait for a label, and 8 places are free");
    ready(&mut fleet, 2);
    assert_eq!(fleet.scheduler.room(), 0);
    fleet.withdraw(1);
    assert_eq!(fleet.scheduler.room(), 8);
    ready(&mut fleet, 3);
    assert_eq!(fleet.scheduler.room(), 0);
    // Whoever takes them takes their bytes.
    let mut gpu = spec(1, 2);
    gpu.labels = ["gpu".to_owned()].into();
    assert_eq!(assigned(&fleet.up(1, gpu)).len(), 3);
    assert_eq!(fleet.scheduler.room(), 9);
}
