//! What is said of runs that wait.

use std::time::Duration;

use sandmill_core::{CallOptions, Limits};
use sandmill_scheduler::{Action, Event, Reason, RunNo, Standing};

use crate::fleet::{Fleet, asking, need, plain, reaching, resources, spec};

const SECOND: Duration = Duration::from_secs(1);

fn notices(actions: &[Action]) -> Vec<(u64, usize, Standing)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Pending { run, alike, standing, .. } => Some((run.0, *alike, *standing)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_nobody_can_take_is_said_at_once_and_again_when_it_changes() {
    let mut fleet = Fleet::new(0);
    let gpu = asking(&[("gpu", 2.0)]);
    assert_eq!(notices(&fleet.ready(0, &gpu)), [(0, 1, Standing::NoHosts)]);
    assert_eq!(notices(&fleet.ready(1, &gpu)), [], "it is the same");
    assert_eq!(notices(&fleet.up(0, spec(0, 1))), [(0, 2, Standing::Never)]);
    assert_eq!(notices(&fleet.tell(Event::Tick)), []);
    let mut one = spec(1, 1);
    one.resources = resources(&[("gpu", 1.0)]);
    let actions = fleet.up(1, one.clone());
    assert_eq!(notices(&actions), [(0, 2, Standing::Never)], "another one that cannot");
    let Action::Pending { reasons, .. } = &actions[0] else { panic!("{actions:?}") };
    let said: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["host-0 has no gpu, 2 asked for", "host-1 has 1 of gpu, 2 asked for"]);
    assert_eq!(notices(&fleet.up(1, one)), [], "that is no news");
    let mut two = spec(2, 1);
    two.resources = resources(&[("gpu", 2.0)]);
    assert_eq!(notices(&fleet.up(2, two)), [], "it is busy with the other");
    assert_eq!((fleet.host_of(0), fleet.host_of(1)), (Some(2), None));
    let said = "host-2 has 2 of gpu, 2 asked for and 0 free; is busy with 1 run in 1 slot; \
                is getting the component";
    assert_eq!(fleet.explain(1)[2], said);
    assert_eq!(notices(&fleet.silent(2)), [(1, 1, Standing::NotNow)]);
}

#[test]
fn busy_hosts_are_said_only_when_nothing_moves_for_long() {
    let mut fleet = Fleet::new(0);
    fleet.hosts(&[1]);
    fleet.ready_all(0..3, &plain());
    assert_eq!(notices(&fleet.after(9 * SECOND)), []);
    fleet.end(0);
    assert_eq!(notices(&fleet.after(9 * SECOND)), [], "one was placed since");
    assert_eq!(fleet.scheduler.next_deadline(), Some(fleet.now + SECOND));
    assert_eq!(notices(&fleet.after(SECOND)), [(2, 1, Standing::Busy)]);
    assert_eq!(fleet.scheduler.next_deadline(), None);
    assert_eq!(notices(&fleet.after(100 * SECOND)), [], "once");
    assert_eq!(fleet.scheduler.oldest_wait(fleet.now), Some(119 * SECOND));
    // Once more when it moved and is stuck again.
    fleet.ready(3, &plain());
    fleet.end(1);
    assert_eq!(notices(&fleet.after(10 * SECOND)), [(3, 1, Standing::Busy)]);
}

#[test]
fn every_reason_is_said_in_words() {
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[1, 0]);
    fleet.ready_all(0..2, &plain());
    let mut asks = (*reaching()).clone();
    asks.labels = ["big".to_owned()].into();
    asks.limits = Limits { memory: 5 << 30, ..Limits::default() };
    fleet.ready(2, &asks.into());
    fleet.ready(3, &plain());
    fleet.ready(4, &need("other", &CallOptions::default()));
    assert_eq!(
        fleet.explain(2),
        [
            "host-0 lacks the label big; the peer peer:1 is not allowed; 5GiB of memory is more \
             than 4GiB; is busy with 2 runs in 1 slot; is getting the component",
            "host-1 has no slots; lacks the label big; the peer peer:1 is not allowed; 5GiB of \
             memory is more than 4GiB",
        ]
    );
    assert_eq!(fleet.explain(4)[0], "host-0 is busy with 2 runs in 1 slot");
    fleet.start(0);
    assert_eq!(fleet.explain(0)[0], "host-0 has it, and it has started");
    fleet.drain(0);
    assert!(fleet.explain(3)[0].starts_with("host-0 is draining; is busy with 2 runs"));
    fleet.down(0);
    fleet.now += 2 * SECOND;
    let last = fleet.explain(3).pop();
    assert_eq!(last.as_deref(), Some("host-0 was lost 2 s ago: the link broke"));
    assert_eq!(fleet.scheduler.explain(fleet.now, RunNo(99)), None);
    // A host that is there again is not among the lost.
    fleet.up(5, {
        let mut again = spec(0, 1);
        again.labels = ["x".to_owned()].into();
        again
    });
    let reasons = fleet.scheduler.explain(fleet.now, RunNo(2)).unwrap();
    assert!(reasons.iter().flat_map(|of| &of.reasons).all(|r| !matches!(r, Reason::Lost { .. })));
}

#[test]
fn what_is_seen_of_hosts_is_true() {
    let mut fleet = Fleet::new(1);
    fleet.hosts(&[1, 1]);
    fleet.ready_all(0..3, &plain());
    fleet.start(0);
    fleet.now += SECOND;
    fleet.silent(1);
    fleet.now += SECOND;
    let seen: Vec<_> = fleet.scheduler.hosts(fleet.now).collect();
    assert_eq!((seen[0].runs, seen[0].started, seen[0].input_bytes), (2, 1, 20));
    assert_eq!((seen[1].runs, seen[1].silent), (1, Some(SECOND)));
    assert_eq!((seen[0].getting, seen[0].holds, seen[0].up), (1, 0, 2 * SECOND));
    let counts = fleet.scheduler.counts();
    assert_eq!((counts.hosts, counts.usable, counts.slots, counts.free_slots), (2, 1, 1, 0));
    assert_eq!((counts.placed, counts.started, counts.waiting), (3, 1, 0));
}
