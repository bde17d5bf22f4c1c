//! Random events, and what has to hold after each of them, by a second and simpler account of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sandmill_scheduler::{
    Action, Event, HAND_BACK_PAUSE, HAND_BACK_PAUSE_MOST, HandBackWhy, HostId, HostSpec, LeaseId,
    LostWhy, Need, RefusedWhy, RunNo, Scheduler, SchedulerConfig, Standing,
};
use sandmill_wire::Digest;

use crate::fleet::{asking, labelled, need, plain, reaching, resources, spec};

const HOSTS: u64 = 6;
const NEEDS: usize = 8;
const MAX_WAITING: usize = 20;
const MAX_HOSTS_LOST: u32 = 3;

/// Something that may happen. Picks are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Up(u64),
    Down(u64),
    Silent(u64),
    Back(u64),
    Drain(u64),
    Holds(u64, usize),
    Drops(u64, usize),
    Ready(usize),
    /// Of a number that there is already.
    ReadyAgain(usize),
    Start(usize),
    /// With how many microseconds it took, if it did.
    End(usize, u64),
    /// The end of any placement there ever was.
    EndAny(usize),
    /// The end of a placement, by another host.
    EndElsewhere(usize, u64),
    HandBack(usize, HandBackWhy),
    /// Of any placement there ever was.
    HandBackAny(usize),
    Withdraw(usize),
    Expire(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = 0..1_000_usize;
    let host = 0..HOSTS;
    let why = prop_oneof![
        4 => Just(HandBackWhy::Asked),
        1 => Just(HandBackWhy::NeverArrived),
        1 => Just(HandBackWhy::Refused),
    ];
    // Far below, about and above what makes runs short.
    let took = prop_oneof![Just(0), Just(1), 500..3_000_u64, Just(1_000_000)];
    let step = prop_oneof![
        5 => host.clone().prop_map(Step::Up),
        2 => host.clone().prop_map(Step::Down),
        1 => host.clone().prop_map(Step::Silent),
        1 => host.clone().prop_map(Step::Back),
        1 => host.clone().prop_map(Step::Drain),
        1 => (host.clone(), 0..NEEDS).prop_map(|(host, need)| Step::Holds(host, need)),
        1 => (host.clone(), 0..NEEDS).prop_map(|(host, need)| Step::Drops(host, need)),
        20 => (0..NEEDS).prop_map(Step::Ready),
        1 => pick.clone().prop_map(Step::ReadyAgain),
        6 => pick.clone().prop_map(Step::Start),
        12 => (pick.clone(), took).prop_map(|(pick, took)| Step::End(pick, took)),
        1 => pick.clone().prop_map(Step::EndAny),
        1 => (pick.clone(), host).prop_map(|(pick, host)| Step::EndElsewhere(pick, host)),
        3 => (pick.clone(), why).prop_map(|(pick, why)| Step::HandBack(pick, why)),
        1 => pick.clone().prop_map(Step::HandBackAny),
        2 => pick.clone().prop_map(Step::Withdraw),
        3 => pick.prop_map(Step::Expire),
        2 => (1..5_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..250)
}

fn spec_of(host: u64) -> HostSpec {
    let (slots, labels, gpus): (u32, &[&str], f64) = match host {
        0 => (2, &[], 0.0),
        1 => (1, &["big"], 0.0),
        2 => (3, &[], 2.0),
        3 => (4, &["big", "net"], 1.0),
        4 => (0, &["big"], 9.0),
        _ => (2, &["net"], 0.0),
    };
    let mut spec = spec(host, slots);
    spec.labels = labels.iter().map(|label| (*label).to_owned()).collect();
    spec.resources = resources(&[("gpu", gpus)]);
    spec.ceiling.any_net = labels.contains(&"net");
    spec
}

fn needs() -> [Arc<Need>; NEEDS] {
    let mut big_gpu = (*asking(&[("gpu", 1.0)])).clone();
    big_gpu.labels.insert("big".to_owned());
    [
        plain(),
        need("other", &sandmill_core::CallOptions::default()),
        labelled(&["big"]),
        asking(&[("gpu", 1.0)]),
        asking(&[("gpu", 2.0)]),
        reaching(),
        Arc::new(big_gpu),
        labelled(&["nobody"]),
    ]
}

/// A host by the second account.
struct HostSeen {
    spec: HostSpec,
    silent: bool,
    draining: bool,
    paused_until: Option<Instant>,
    refusals: u32,
}

/// A run by the second account.
#[derive(Default)]
struct RunSeen {
    need: usize,
    at: Option<(HostId, LeaseId)>,
    started: bool,
    recalled: bool,
    withdrawn: bool,
    expired: bool,
    hosts_lost: u32,
}

struct World {
    scheduler: Scheduler,
    most: u32,
    now: Instant,
    needs: [Arc<Need>; NEEDS],
    hosts: BTreeMap<HostId, HostSeen>,
    runs: BTreeMap<RunNo, RunSeen>,
    /// All placements there were.
    placements: Vec<(HostId, RunNo, LeaseId)>,
    last_lease: LeaseId,
    next_run: u64,
    left: BTreeSet<RunNo>,
}

impl World {
    fn new(prefetch: u32, most: u32) -> Self {
        let config = SchedulerConfig {
            prefetch_per_slot: prefetch,
            max_prefetch_per_slot: most,
            max_waiting: MAX_WAITING,
            max_hosts_lost: MAX_HOSTS_LOST,
            first_lease: 1_000,
            ..SchedulerConfig::default()
        };
        Self {
            scheduler: Scheduler::new(config),
            most: most.max(prefetch),
            now: Instant::now(),
            needs: needs(),
            hosts: BTreeMap::new(),
            runs: BTreeMap::new(),
            placements: Vec::new(),
            last_lease: LeaseId(999),
            next_run: 0,
            left: BTreeSet::new(),
        }
    }

    fn pick_placed(&self, pick: usize) -> Option<(HostId, RunNo, LeaseId)> {
        let placed: Vec<_> = self
            .runs
            .iter()
            .filter_map(|(run, seen)| seen.at.map(|(host, lease)| (host, *run, lease)))
            .collect();
        (!placed.is_empty()).then(|| placed[pick % placed.len()])
    }

    fn pick_any(&self, pick: usize) -> Option<(HostId, RunNo, LeaseId)> {
        (!self.placements.is_empty()).then(|| self.placements[pick % self.placements.len()])
    }

    fn event(&mut self, step: &Step) -> Option<Event> {
        let component = |need: usize| self.needs[need].component;
        Some(match *step {
            Step::Up(host) => Event::HostUp { host: HostId(host), spec: Box::new(spec_of(host)) },
            Step::Down(host) => Event::HostDown { host: HostId(host), why: "gone".into() },
            Step::Silent(host) => Event::HostSilent { host: HostId(host) },
            Step::Back(host) => Event::HostBack { host: HostId(host) },
            Step::Drain(host) => Event::HostDraining { host: HostId(host) },
            Step::Holds(host, need) => Event::Holds { host: HostId(host), digest: component(need) },
            Step::Drops(host, need) => Event::Drops { host: HostId(host), digest: component(need) },
            Step::Ready(need) => {
                let run = RunNo(self.next_run);
                self.next_run += 1;
                let inputs = run.0.is_multiple_of(3).then(|| [(Digest::of(b"other"), 5)].into());
                Event::Ready { run, need: Arc::clone(&self.needs[need]), input_bytes: 1, inputs }
            }
            Step::ReadyAgain(pick) => {
                let run = *self.runs.keys().nth(pick % self.runs.len().max(1))?;
                let need = Arc::clone(&self.needs[pick % NEEDS]);
                Event::Ready { run, need, input_bytes: 1, inputs: None }
            }
            Step::Start(pick) => {
                let (_, run, lease) = self.pick_placed(pick)?;
                Event::Started { run, lease }
            }
            Step::End(pick, micros) => {
                let (host, run, lease) = self.pick_placed(pick)?;
                let took = (micros > 0).then(|| Duration::from_micros(micros));
                Event::Ended { host, run, lease, took }
            }
            Step::EndAny(pick) => {
                let (host, run, lease) = self.pick_any(pick)?;
                Event::Ended { host, run, lease, took: None }
            }
            Step::EndElsewhere(pick, host) => {
                let (_, run, lease) = self.pick_any(pick)?;
                Event::Ended { host: HostId(host), run, lease, took: None }
            }
            Step::HandBack(pick, why) => {
                let (host, run, lease) = self.pick_placed(pick)?;
                // What has started is not given back.
                if self.runs[&run].started {
                    return None;
                }
                Event::HandBack { host, run, lease, why }
            }
            Step::HandBackAny(pick) => {
                let (host, run, lease) = self.pick_any(pick)?;
                let seen = self.runs.get(&run);
                if seen.is_some_and(|seen| seen.at == Some((host, lease)) && seen.started) {
                    return None;
                }
                Event::HandBack { host, run, lease, why: HandBackWhy::Asked }
            }
            Step::Withdraw(pick) => {
                Event::Withdraw { run: *self.runs.keys().nth(pick % self.runs.len().max(1))? }
            }
            Step::Expire(pick) => {
                Event::Expire { run: *self.runs.keys().nth(pick % self.runs.len().max(1))? }
            }
            Step::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                Event::Tick
            }
        })
    }

    fn step(&mut self, step: &Step) {
        let Some(event) = self.event(step) else { return };
        let current = self.current(&event);
        self.note(&event);
        let mut actions = Vec::new();
        self.scheduler.on_event(self.now, event.clone(), &mut actions);
        for action in &actions {
            self.follow(&event, current, action);
        }
        if matches!(event, Event::Ended { .. }) {
            let answers = actions
                .iter()
                .filter(|action| matches!(action, Action::Take { .. } | Action::Stale { .. }));
            assert_eq!(answers.count(), 1, "each end has one answer");
        }
        self.check();
    }

    /// Whether the event tells of a run where it is.
    fn current(&self, event: &Event) -> bool {
        match event {
            Event::Ended { host, run, lease, .. } | Event::HandBack { host, run, lease, .. } => {
                self.runs.get(run).is_some_and(|seen| seen.at == Some((*host, *lease)))
            }
            _ => false,
        }
    }

    /// Takes up what is known of an event before it is answered.
    fn note(&mut self, event: &Event) {
        let current = self.current(event);
        match event {
            Event::HostUp { host, spec } => {
                let spec = (**spec).clone();
                let (silent, draining, paused_until, refusals) = (false, false, None, 0);
                let seen = HostSeen { spec, silent, draining, paused_until, refusals };
                self.hosts.insert(*host, seen);
            }
            Event::HostDown { host, .. } => {
                self.hosts.remove(host);
            }
            Event::HostSilent { host } | Event::HostBack { host } => {
                if let Some(seen) = self.hosts.get_mut(host) {
                    seen.silent = matches!(event, Event::HostSilent { .. });
                }
            }
            Event::HostDraining { host } => {
                if let Some(seen) = self.hosts.get_mut(host) {
                    seen.draining = true;
                }
            }
            Event::Ready { run, need, .. } if !self.runs.contains_key(run) => {
                let need = self.needs.iter().position(|other| other == need).unwrap();
                let seen = RunSeen { need, ..RunSeen::default() };
                self.runs.insert(*run, seen);
            }
            Event::Started { run, lease } => {
                let seen = self.runs.get_mut(run).unwrap();
                if let Some((host, _)) = seen.at.filter(|(_, at)| at == lease && !seen.started) {
                    seen.started = true;
                    (seen.recalled, seen.expired) = (false, false);
                    self.hosts.get_mut(&host).unwrap().refusals = 0;
                }
            }
            Event::Ended { host, .. } if current => {
                self.hosts.get_mut(host).unwrap().refusals = 0;
            }
            Event::HandBack { host, run, why, .. } if current => {
                let seen = self.runs.get_mut(run).unwrap();
                seen.at = None;
                seen.recalled = false;
                if *why == HandBackWhy::Refused {
                    let host = self.hosts.get_mut(host).unwrap();
                    if host.paused_until.is_none_or(|until| until <= self.now) {
                        let pause = HAND_BACK_PAUSE * 2_u32.pow(host.refusals.min(10));
                        host.refusals += 1;
                        host.paused_until = Some(self.now + pause.min(HAND_BACK_PAUSE_MOST));
                    }
                }
            }
            Event::Withdraw { run } => {
                self.runs.get_mut(run).unwrap().withdrawn = true;
            }
            Event::Expire { run } => {
                let seen = self.runs.get_mut(run).unwrap();
                seen.expired |= !seen.started;
            }
            _ => {}
        }
        for host in self.hosts.values_mut() {
            host.paused_until = host.paused_until.filter(|until| *until > self.now);
        }
    }

    fn leave(&mut self, run: RunNo) -> RunSeen {
        self.left.insert(run);
        self.runs.remove(&run).expect("a run leaves once")
    }

    /// Does what is to be done, if it may be.
    fn follow(&mut self, event: &Event, current: bool, action: &Action) {
        match *action {
            Action::Assign { run, host, lease } => {
                assert!(lease > self.last_lease, "leases rise");
                self.last_lease = lease;
                assert!(usable(&self.hosts[&host]), "{host} takes nothing now");
                let seen = self.runs.get_mut(&run).unwrap();
                assert_eq!(seen.at, None, "a run is at one host at most");
                assert!(!seen.withdrawn && !seen.expired);
                (seen.at, seen.started, seen.recalled) = (Some((host, lease)), false, false);
                self.placements.push((host, run, lease));
            }
            Action::Recall { run, host, lease } => {
                let seen = self.runs.get_mut(&run).unwrap();
                assert_eq!(seen.at, Some((host, lease)));
                assert!(!seen.started && !seen.recalled && !seen.withdrawn);
                seen.recalled = true;
            }
            Action::Take { run, lease } => {
                assert!(current, "only what is current is taken");
                assert!(
                    matches!(event, Event::Ended { run: r, lease: l, .. } if (*r, *l) == (run, lease))
                );
                self.leave(run);
            }
            Action::Stale { host, run, lease } => {
                assert!(!current);
                let of = (host, run, lease);
                assert!(
                    matches!(*event, Event::Ended { host, run, lease, .. } if (host, run, lease) == of)
                );
            }
            Action::Lost { run, host, hosts_lost, why } => {
                assert!(matches!(event, Event::HostDown { host: down, .. } if *down == host));
                let seen = self.leave(run);
                assert_eq!(seen.at.unwrap().0, host);
                assert!((seen.hosts_lost..=seen.hosts_lost + 1).contains(&hosts_lost));
                let effects = self.needs[seen.need].has_effects_outside();
                assert_eq!(why, if effects { LostWhy::Effects } else { LostWhy::TooMany });
                assert!(effects || hosts_lost >= MAX_HOSTS_LOST);
            }
            Action::Elsewhere { run, from, hosts_lost } => {
                assert!(matches!(event, Event::HostDown { host, .. } if *host == from));
                let seen = self.runs.get_mut(&run).unwrap();
                assert_eq!(seen.at.take().unwrap().0, from);
                assert!(!self.needs[seen.need].has_effects_outside() && !seen.expired);
                (seen.started, seen.recalled) = (false, false);
                // One that only waited there for a slot had no part in the loss.
                assert!((seen.hosts_lost..=seen.hosts_lost + 1).contains(&hosts_lost));
                seen.hosts_lost = hosts_lost;
                assert!(hosts_lost < MAX_HOSTS_LOST);
            }
            Action::Cancel { run, host, lease } => {
                assert_eq!(*event, Event::Withdraw { run });
                assert_eq!(self.runs[&run].at, Some((host, lease)));
            }
            Action::Withdrawn { run } => {
                let seen = self.leave(run);
                assert!(seen.withdrawn || (seen.expired && !seen.started));
                assert!(seen.at.is_none() || matches!(event, Event::HostDown { .. }));
            }
            Action::Refused { run, why: RefusedWhy::Full } => {
                assert_eq!(self.leave(run).at, None);
                let waiting = self.runs.values().filter(|seen| seen.at.is_none()).count();
                assert!(waiting >= MAX_WAITING);
            }
            Action::Refused { run, why: RefusedWhy::Known } => {
                assert!(self.runs.contains_key(&run));
            }
            Action::Pending { run, alike, standing, .. } => {
                let seen = &self.runs[&run];
                assert!(alike > 0 && standing != Standing::Free);
                if seen.at.is_none() {
                    let any = self.hosts.values().any(|host| self.fits(seen, host));
                    assert_eq!(any, matches!(standing, Standing::Busy | Standing::NotNow));
                }
            }
            _ => panic!("{action:?} is not expected"),
        }
    }

    /// Whether it gets a free slot or nothing.
    fn is_exclusive(&self, run: &RunSeen) -> bool {
        let need = &self.needs[run.need];
        !need.resources.is_empty() || need.has_effects_outside()
    }

    /// Whether the host has a run, but for this one, that is tried apart from others like it, and so is
    /// this one.
    fn is_barred(&self, run: &RunSeen, host: HostId) -> bool {
        let at_host = |seen: &&RunSeen| seen.at.is_some_and(|(at, _)| at == host);
        is_suspect(run) && self.runs.values().filter(at_host).any(is_suspect)
    }

    fn fits(&self, run: &RunSeen, host: &HostSeen) -> bool {
        let need = &self.needs[run.need];
        host.spec.slots > 0
            && need.labels.is_subset(&host.spec.labels)
            && need.resources.get("gpu") <= host.spec.resources.get("gpu")
            && (need.grants.net.is_empty() || host.spec.ceiling.any_net)
    }

    /// What has to hold after each event.
    fn check(&self) {
        let gpus = |run: &RunSeen| self.needs[run.need].resources.get("gpu").millionths();
        let waiting: Vec<(&RunNo, &RunSeen)> =
            self.runs.iter().filter(|(_, seen)| seen.at.is_none()).collect();
        let mut places = 0;
        for (id, host) in &self.hosts {
            let here: Vec<&RunSeen> = self
                .runs
                .values()
                .filter(|seen| seen.at.is_some_and(|(at, _)| at == *id))
                .collect();
            let (slots, runs) = (host.spec.slots as usize, here.len());
            let suspects = here.iter().filter(|seen| is_suspect(seen)).count();
            assert!(suspects <= 1, "{id} has {suspects} runs that are to be tried apart");
            let most = slots * (1 + self.most as usize);
            assert!(runs <= most, "{id} has {runs} runs in {slots} slots");
            let total = host.spec.resources.get("gpu").millionths();
            let used: u64 = here.iter().map(|seen| gpus(seen)).sum();
            assert!(used <= total, "{used} gpus are in use of {total}");
            let view = self.scheduler.host(self.now, *id).unwrap();
            assert_eq!(view.runs as usize, runs);
            assert_eq!(view.started as usize, here.iter().filter(|seen| seen.started).count());
            assert_eq!(view.recalled as usize, here.iter().filter(|seen| seen.recalled).count());
            assert_eq!(view.input_bytes, runs as u64);
            if !usable(host) {
                continue;
            }
            places += most - runs;
            let suits = |seen: &RunSeen| {
                self.fits(seen, host) && used + gpus(seen) <= total && !self.is_barred(seen, *id)
            };
            // Whether it is older is looked at elsewhere.
            let keeps =
                waiting.iter().any(|(_, seen)| suits(seen) && runs >= self.capacity(seen, slots));
            for (run, seen) in &waiting {
                let room = runs < self.capacity(seen, slots) && !keeps && suits(seen);
                assert!(!room, "{run:?} waits and {id} has room");
            }
        }
        for (run, seen) in &self.runs {
            let placed = self.scheduler.placed(*run);
            assert_eq!(placed.map(|at| (at.host, at.lease)), seen.at);
            assert!(placed.is_none_or(|at| at.started == seen.started));
            assert!(placed.is_none_or(|at| at.recalled == seen.recalled));
            let verdicts = self.scheduler.explain(self.now, *run).unwrap();
            if seen.at.is_none() {
                let free = |v: &sandmill_scheduler::HostVerdict| v.standing() == Standing::Free;
                assert!(!verdicts.iter().any(free), "{run:?} waits and nobody says why");
            }
        }
        self.check_idle();
        let counts = self.scheduler.counts();
        assert_eq!(counts.waiting, waiting.len());
        assert_eq!(counts.placed + counts.waiting, self.runs.len());
        assert_eq!(counts.hosts, self.hosts.len());
        let room = self.scheduler.room();
        assert!(room <= places.max(1) && (room + waiting.len() <= MAX_WAITING || room == 0));
        assert!(self.scheduler.next_deadline().is_none_or(|due| due > self.now));
    }

    /// How many runs a host may have for it to get one of these.
    fn capacity(&self, seen: &RunSeen, slots: usize) -> usize {
        let need = &self.needs[seen.need];
        let ahead = match self.is_exclusive(seen) {
            true => 0,
            false => self.scheduler.prefetch(need, is_suspect(seen)) as usize,
        };
        slots * (1 + ahead)
    }

    /// No host is idle beside one where runs wait that it could take, with nothing asked back.
    fn check_idle(&self) {
        let coming = self.runs.values().any(|seen| {
            seen.recalled && seen.at.is_some_and(|(host, _)| !self.hosts[&host].silent)
        });
        if coming {
            return;
        }
        let runs_at = |id: HostId| self.scheduler.runs_at(id).map(|(run, _)| &self.runs[&run]);
        for (id, host) in self.hosts.iter().filter(|(_, host)| usable(host)) {
            if runs_at(*id).count() >= host.spec.slots as usize {
                continue;
            }
            for (other, busy) in self.hosts.iter().filter(|(_, host)| usable(host)) {
                for seen in runs_at(*other).skip(busy.spec.slots as usize) {
                    let stays = seen.started || seen.recalled || seen.withdrawn;
                    assert!(
                        stays
                            || self.is_exclusive(seen)
                            || !self.fits(seen, host)
                            || self.is_barred(seen, *id),
                        "{id} is idle and a run waits at {other}"
                    );
                }
            }
        }
    }

    /// Whatever happened: with hosts that take all that can be taken, all runs leave.
    fn settle(&mut self) {
        self.step(&Step::Wait(u64::try_from(HAND_BACK_PAUSE_MOST.as_millis()).unwrap()));
        for host in 0..HOSTS {
            self.step(&Step::Up(host));
        }
        while self.pick_placed(0).is_some() {
            self.step(&Step::End(0, 0));
        }
        // What nobody can ever take is left: the last kind, and those that need more than there is.
        let stuck: Vec<RunNo> = self.runs.keys().copied().collect();
        for run in stuck {
            let seen = &self.runs[&run];
            assert!(!self.hosts.values().any(|host| self.fits(seen, host)), "{run:?} is stuck");
            let place = self.runs.keys().position(|other| *other == run).unwrap();
            self.step(&Step::Withdraw(place));
        }
        assert!(self.scheduler.is_empty() && self.runs.is_empty());
        assert_eq!(self.left.len() as u64, self.next_run, "each run has left once");
    }
}

/// Whether it is given up with one more host.
fn is_suspect(run: &RunSeen) -> bool {
    run.hosts_lost + 1 >= MAX_HOSTS_LOST
}

fn usable(host: &HostSeen) -> bool {
    !host.silent && !host.draining && host.paused_until.is_none()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_rule_holds(
        prefetch in 0..3_u32,
        most in prop_oneof![Just(0), Just(2), Just(9)],
        steps in steps(),
    ) {
        let mut world = World::new(prefetch, most);
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}
