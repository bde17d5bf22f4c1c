//! A scheduler with its clock and its actions, for tests to talk to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{CallOptions, Ceiling, Grants};
use sandmill_scheduler::{
    Action, Event, HandBackWhy, HostId, HostSpec, LeaseId, Need, Placed, Resources, RunNo,
    Scheduler, SchedulerConfig,
};
use sandmill_wire::Digest;

/// A scheduler and the time.
pub(crate) struct Fleet {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Instant,
}

/// A host of so many slots that carries, has and allows nothing.
pub(crate) fn spec(host: u64, slots: u32) -> HostSpec {
    HostSpec {
        name: format!("host-{host}").into(),
        slots,
        labels: [].into(),
        resources: Resources::new(),
        ceiling: Ceiling::default(),
        holds: Vec::new(),
    }
}

pub(crate) fn resources(of: &[(&str, f64)]) -> Resources {
    let numbers = of.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    Resources::from_numbers(&numbers).unwrap()
}

/// What a run of this component with these options needs.
pub(crate) fn need(component: &str, options: &CallOptions) -> Arc<Need> {
    Arc::new(Need::of(Digest::of(component.as_bytes()), 1_000, options).unwrap())
}

pub(crate) fn plain() -> Arc<Need> {
    need("plain", &CallOptions::default())
}

pub(crate) fn labelled(labels: &[&str]) -> Arc<Need> {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    need("plain", &CallOptions { labels, ..CallOptions::default() })
}

pub(crate) fn asking(of: &[(&str, f64)]) -> Arc<Need> {
    let resources = of.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    need("plain", &CallOptions { resources, ..CallOptions::default() })
}

/// What reaches a peer: it has effects outside.
pub(crate) fn reaching() -> Arc<Need> {
    let grants = Grants { net: vec!["peer:1".parse().unwrap()], ..Grants::default() };
    need("plain", &CallOptions { grants, ..CallOptions::default() })
}

impl Fleet {
    pub(crate) fn new(prefetch_per_slot: u32) -> Self {
        Self::with(SchedulerConfig { prefetch_per_slot, ..SchedulerConfig::default() })
    }

    pub(crate) fn with(config: SchedulerConfig) -> Self {
        Self { scheduler: Scheduler::new(config), now: Instant::now() }
    }

    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.scheduler.on_event(self.now, event, &mut actions);
        actions
    }

    pub(crate) fn after(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.tell(Event::Tick)
    }

    pub(crate) fn up(&mut self, host: u64, spec: HostSpec) -> Vec<Action> {
        self.tell(Event::HostUp { host: HostId(host), spec: Box::new(spec) })
    }

    /// Hosts of so many slots each, from number 0.
    pub(crate) fn hosts(&mut self, slots: &[u32]) {
        for (host, slots) in (0..).zip(slots) {
            assert_eq!(self.up(host, spec(host, *slots)), []);
        }
    }

    pub(crate) fn down(&mut self, host: u64) -> Vec<Action> {
        self.tell(Event::HostDown { host: HostId(host), why: "the link broke".into() })
    }

    pub(crate) fn ready(&mut self, run: u64, need: &Arc<Need>) -> Vec<Action> {
        let need = Arc::clone(need);
        self.tell(Event::Ready { run: RunNo(run), need, input_bytes: 10, inputs: None })
    }

    /// Runs of the same need.
    pub(crate) fn ready_all(
        &mut self,
        runs: std::ops::Range<u64>,
        need: &Arc<Need>,
    ) -> Vec<Action> {
        runs.flat_map(|run| self.ready(run, need)).collect()
    }

    pub(crate) fn place(&self, run: u64) -> Option<Placed> {
        self.scheduler.placed(RunNo(run))
    }

    /// The number of the host that has the run.
    pub(crate) fn host_of(&self, run: u64) -> Option<u64> {
        self.place(run).map(|placed| placed.host.0)
    }

    pub(crate) fn start(&mut self, run: u64) -> Vec<Action> {
        let lease = self.place(run).expect("it is at a host").lease;
        self.tell(Event::Started { run: RunNo(run), lease })
    }

    pub(crate) fn end(&mut self, run: u64) -> Vec<Action> {
        self.end_after(run, None)
    }

    /// The same of a run of which it is known how long it took.
    pub(crate) fn end_after(&mut self, run: u64, took: Option<Duration>) -> Vec<Action> {
        let Placed { host, lease, .. } = self.place(run).expect("it is at a host");
        self.tell(Event::Ended { host, run: RunNo(run), lease, took })
    }

    pub(crate) fn hand_back(&mut self, run: u64, why: HandBackWhy) -> Vec<Action> {
        let Placed { host, lease, .. } = self.place(run).expect("it is at a host");
        self.tell(Event::HandBack { host, run: RunNo(run), lease, why })
    }

    pub(crate) fn withdraw(&mut self, run: u64) -> Vec<Action> {
        self.tell(Event::Withdraw { run: RunNo(run) })
    }

    pub(crate) fn expire(&mut self, run: u64) -> Vec<Action> {
        self.tell(Event::Expire { run: RunNo(run) })
    }

    pub(crate) fn silent(&mut self, host: u64) -> Vec<Action> {
        self.tell(Event::HostSilent { host: HostId(host) })
    }

    pub(crate) fn back(&mut self, host: u64) -> Vec<Action> {
        self.tell(Event::HostBack { host: HostId(host) })
    }

    pub(crate) fn drain(&mut self, host: u64) -> Vec<Action> {
        self.tell(Event::HostDraining { host: HostId(host) })
    }

    /// What is said of a run, host by host.
    pub(crate) fn explain(&self, run: u64) -> Vec<String> {
        let verdicts = self.scheduler.explain(self.now, RunNo(run)).expect("it is there");
        verdicts.iter().map(ToString::to_string).collect()
    }
}

/// The runs that were assigned, with their hosts.
pub(crate) fn assigned(actions: &[Action]) -> Vec<(u64, u64)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Assign { run, host, .. } => Some((run.0, host.0)),
            _ => None,
        })
        .collect()
}

/// The runs that were recalled, with their hosts.
pub(crate) fn recalled(actions: &[Action]) -> Vec<(u64, u64)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Recall { run, host, .. } => Some((run.0, host.0)),
            _ => None,
        })
        .collect()
}

pub(crate) fn take(run: u64, lease: LeaseId) -> Action {
    Action::Take { run: RunNo(run), lease }
}
