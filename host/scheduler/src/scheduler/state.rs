//! The scheduler's state, and which part of it each event concerns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::class::{Class, Classes};
use crate::config::MAX_HELD_KNOWN;
use crate::hosts::Hosts;
use crate::keys::NumberMap;
use crate::pace::Pace;
use crate::run::{At, Run};
use crate::{Action, Event, HeldInputs, HostId, LeaseId, Need, RefusedWhy, RunNo, SchedulerConfig};

/// Places runs among hosts. Plain functions over state: whoever has it tells it what happened and
/// when ([`Scheduler::on_event`]), and does what it answers.
///
/// After each event this holds: no run waits while a host that takes runs has room for it (of runs
/// that are short it has room for more, and where older ones wait for it, for no more than of these;
/// of the runs that are given up with the next host that is lost under them it has room for one); no
/// host has more runs than its slots and what may be prefetched, nor resources in use beyond what it
/// has; a run is at one host at most under its latest lease, and leases only rise.
pub struct Scheduler {
    pub(super) config: SchedulerConfig,
    pub(super) hosts: Hosts,
    pub(super) classes: Classes,
    /// How many runs a slot is given ahead of the class that a run of ended last.
    pub(super) ahead: u32,
    pub(super) runs: NumberMap<RunNo, Run>,
    pub(super) waiting: usize,
    /// Bytes of the arguments of those that wait.
    pub(super) waiting_bytes: u64,
    pub(super) started: usize,
    pub(super) next_lease: u64,
    next_stamp: u64,
    /// When to look at the clock next: no notice and no pause is due before.
    pub(super) check_at: Option<Instant>,
    /// Hosts that were lost lately, the latest last.
    pub(super) gone: VecDeque<Gone>,
    pub(super) tally: Tally,
}

/// A host that was lost.
pub(super) struct Gone {
    pub(super) id: HostId,
    pub(super) name: Arc<str>,
    pub(super) at: Instant,
    pub(super) why: Arc<str>,
}

/// How often things have happened.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) assigned: u64,
    pub(super) taken: u64,
    pub(super) stale: u64,
    pub(super) hosts_lost: u64,
    pub(super) elsewhere: u64,
    pub(super) lost: u64,
    pub(super) recalled: u64,
    pub(super) handed_back: u64,
}

impl Scheduler {
    /// A scheduler without hosts and runs.
    #[must_use]
    pub fn new(config: SchedulerConfig) -> Self {
        let pace = Pace::new(config.prefetch_per_slot, config.max_prefetch_per_slot);
        Self {
            hosts: Hosts::new(config.prefetch_per_slot),
            classes: Classes::new(pace),
            ahead: pace.ahead(),
            runs: NumberMap::default(),
            waiting: 0,
            waiting_bytes: 0,
            started: 0,
            next_lease: config.first_lease,
            next_stamp: 0,
            check_at: None,
            gone: VecDeque::new(),
            tally: Tally::default(),
            config,
        }
    }

    /// Takes up what happened and adds what is to be done to `actions`, in the order in which it
    /// is to be done. `now` must not go back from one event to the next.
    pub fn on_event(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Ready { run, need, input_bytes, inputs } => {
                self.ready(now, run, &need, (input_bytes, inputs), actions);
            }
            Event::Started { run, lease } => self.has_started(run, lease),
            Event::Ended { host, run, lease, took } => {
                self.ended(now, host, (run, lease), took, actions);
            }
            Event::HandBack { host, run, lease, why } => {
                self.handed_back(now, host, run, lease, why, actions);
            }
            Event::Expire { run } => self.expire(run, actions),
            Event::Withdraw { run } => self.withdraw(run, actions),
            Event::Holds { host, digest } => {
                if let Some(index) = self.hosts.index_of(host) {
                    self.hosts.note(index, |host| {
                        host.getting.remove(&digest);
                        if host.holds.len() < MAX_HELD_KNOWN {
                            host.holds.insert(digest);
                        }
                    });
                    self.classes.forget_has(index, &digest);
                }
            }
            Event::Drops { host, digest } => {
                if let Some(index) = self.hosts.index_of(host) {
                    self.hosts.note(index, |host| {
                        host.getting.remove(&digest);
                        host.holds.remove(&digest);
                    });
                    self.classes.forget_has(index, &digest);
                }
            }
            Event::HostUp { host, spec } => self.host_up(now, host, *spec, actions),
            Event::HostDown { host, why } => self.host_down(now, host, &why, actions),
            Event::HostSilent { host } => self.host_silent(now, host, actions),
            Event::HostBack { host } => self.host_back(now, host, actions),
            Event::HostDraining { host } => self.host_draining(now, host, actions),
            Event::Tick => {}
        }
        if self.check_at.is_some_and(|due| due <= now) {
            self.check(now, actions);
        }
        while self.classes.take_freed() && self.waiting > 0 {
            self.open_up(now, actions);
        }
        self.steal(actions);
    }

    fn ready(
        &mut self,
        now: Instant,
        number: RunNo,
        need: &Arc<Need>,
        (input_bytes, inputs): (u64, Option<HeldInputs>),
        actions: &mut Vec<Action>,
    ) {
        if self.runs.contains_key(&number) {
            actions.push(Action::Refused { run: number, why: RefusedWhy::Known });
            return;
        }
        let class = self.classes.enter(need, false);
        // Where others wait for the same, no host has room for it.
        let behind = self.classes.get(class).is_some_and(|class| class.waiting > 0);
        let host = if behind { None } else { self.best(class, inputs.as_deref()) };
        if host.is_none() && self.waiting >= self.config.max_waiting {
            self.classes.leave(class);
            actions.push(Action::Refused { run: number, why: RefusedWhy::Full });
            return;
        }
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let mut run = Run {
            class,
            stamp,
            since: now,
            input_bytes,
            inputs,
            hosts_lost: 0,
            withdrawn: false,
            expired: false,
            at: None,
        };
        if let Some(host) = host {
            run.at = Some(self.put(now, number, (class, input_bytes), host, actions));
            self.runs.insert(number, run);
        } else {
            self.runs.insert(number, run);
            self.wait(now, number, false);
            if !behind {
                self.begins_to_wait(now, class, actions);
            }
        }
    }

    fn has_started(&mut self, number: RunNo, lease: LeaseId) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(at) = run.at.as_mut().filter(|at| at.lease == lease && !at.started) else {
            return;
        };
        at.started = true;
        run.expired = false;
        self.started += 1;
        let was_recalled = std::mem::take(&mut at.recalled);
        let (index, wanted_by) = (at.host, at.wanted_by.take());
        self.hosts.note(index, |host| {
            host.started += 1;
            host.refusals = 0;
            host.recalled -= u32::from(was_recalled);
        });
        self.break_promise(wanted_by);
    }

    fn ended(
        &mut self,
        now: Instant,
        host: HostId,
        (number, lease): (RunNo, LeaseId),
        took: Option<Duration>,
        actions: &mut Vec<Action>,
    ) {
        let Some((run, at)) = self.under(host, number, lease) else {
            self.tally.stale += 1;
            actions.push(Action::Stale { host, run: number, lease });
            return;
        };
        let class = run.class;
        self.free_place(number, at, true);
        self.runs.remove(&number);
        let changed = took.is_some_and(|took| self.classes.took(class, took));
        self.ahead = self.classes.get(class).map_or(self.ahead, Class::ahead);
        self.classes.leave(class);
        self.tally.taken += 1;
        actions.push(Action::Take { run: number, lease });
        self.fill(now, at.host, actions);
        if changed {
            self.place_class(now, class, actions);
        }
    }

    fn expire(&mut self, number: RunNo, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        match run.at {
            None => self.withdraw(number, actions),
            Some(at) if at.started => {}
            Some(_) => {
                run.expired = true;
                self.recall(number, None, actions);
            }
        }
    }

    fn withdraw(&mut self, number: RunNo, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        if let Some(at) = run.at {
            if !std::mem::replace(&mut run.withdrawn, true)
                && let Some(host) = self.hosts.get(at.host)
            {
                actions.push(Action::Cancel { run: number, host: host.id, lease: at.lease });
            }
            return;
        }
        let (class, input_bytes) = (run.class, run.input_bytes);
        self.runs.remove(&number);
        self.waiting -= 1;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(input_bytes);
        self.classes.forget_waiting(class, &self.runs);
        self.classes.leave(class);
        actions.push(Action::Withdrawn { run: number });
    }

    /// The run, if it is at this host under this lease.
    pub(super) fn under(
        &mut self,
        host: HostId,
        number: RunNo,
        lease: LeaseId,
    ) -> Option<(&mut Run, At)> {
        let run = self.runs.get_mut(&number)?;
        let at = run.at.filter(|at| at.lease == lease)?;
        (self.hosts.get(at.host)?.id == host).then_some((run, at))
    }

    /// Takes a run from its host.
    pub(super) fn free_place(&mut self, number: RunNo, at: At, ended: bool) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.at = None;
        self.started -= usize::from(at.started);
        let input_bytes = run.input_bytes;
        let class = self.classes.get(run.class);
        let need = class.and_then(|class| class.exclusive.then(|| Arc::clone(&class.need)));
        let suspect = class.is_some_and(|class| class.suspect);
        self.hosts.change(at.host, |host| {
            host.runs.remove(&at.lease);
            host.suspects -= u32::from(suspect);
            host.started -= u32::from(at.started);
            host.recalled -= u32::from(at.recalled);
            host.input_bytes = host.input_bytes.saturating_sub(input_bytes);
            if let Some(need) = &need {
                host.used.remove(&need.resources);
            }
            if ended {
                host.ended += 1;
                host.refusals = 0;
            }
        });
        self.break_promise(at.wanted_by);
    }
}
