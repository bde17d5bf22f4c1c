//! The state of the driver: hosts, runs and the scheduler, and how tickets come in. What links have
//! to say is taken up in `hearing`, what the scheduler answers is done in `acting`. No I/O: what is
//! to be said goes into the outboxes of the hosts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::{Clock, Report};
use sandmill_scheduler::{Action, Event, HostId, RunNo, Scheduler, SchedulerConfig};
use sandmill_transport::message::{LeaseId, RunLease};
use sandmill_wire::{End, EndKind, RunId};

use super::super::stages::{Stages, refuse_twin};
use super::super::ticket::Ticket;
use super::config::DirectConfig;
use super::hosts::Host;
use super::runs::Runs;

/// The state of the driver.
pub(super) struct Carrier {
    pub(super) config: Arc<DirectConfig>,
    pub(super) scheduler: Scheduler,
    pub(super) hosts: BTreeMap<u64, Host>,
    pub(super) runs: Runs,
    stages: Stages,
    pub(super) clock: Clock,
    /// What the scheduler is to be told yet.
    pub(super) events: VecDeque<Event>,
    pub(super) actions: Vec<Action>,
    /// The report whose end the scheduler is just told.
    pub(super) taking: Option<Report>,
    /// When it was last looked at the time.
    pub(super) looked: Instant,
    /// Addresses of workers that were leaving, and that were let go of.
    pub(super) released: Vec<String>,
}

impl Carrier {
    pub(super) fn new(config: Arc<DirectConfig>) -> Self {
        let clock = Clock::system();
        let scheduler = Scheduler::new(SchedulerConfig {
            prefetch_per_slot: config.prefetch_per_slot,
            max_prefetch_per_slot: config.max_prefetch_per_slot,
            pending_notice_after: config.pending_notice_after,
            // Leases of a later process are above those of an earlier one.
            first_lease: clock.now().as_micros().max(1),
            ..SchedulerConfig::default()
        });
        Self {
            config,
            scheduler,
            hosts: BTreeMap::new(),
            runs: Runs::default(),
            stages: Stages::default(),
            clock,
            events: VecDeque::new(),
            actions: Vec::new(),
            taking: None,
            looked: Instant::now(),
            released: Vec::new(),
        }
    }

    pub(super) fn host_mut(&mut self, host: HostId) -> Option<&mut Host> {
        self.hosts.get_mut(&host.0)
    }

    /// The host's name, for people.
    pub(super) fn name_of(&self, host: HostId) -> String {
        self.hosts.get(&host.0).map_or_else(|| "a host".to_owned(), |host| host.name().to_owned())
    }

    /// Takes a ticket in.
    pub(super) fn take(&mut self, ticket: Ticket) {
        let Some((ticket, stage)) = self.stages.admit(ticket) else { return };
        let input_bytes = ticket.call().arguments.len_bytes() as u64;
        let need = Arc::clone(&stage.need);
        match self.runs.insert(ticket, stage) {
            Ok(run) => self.tell(Event::Ready { run, need, input_bytes, inputs: None }),
            Err(ticket) => refuse_twin(ticket),
        }
    }

    /// A run was asked to stop.
    pub(super) fn cancel(&mut self, run: &RunId) {
        if let Some(run) = self.runs.number(run)
            && self.runs.get(run).is_some_and(|entry| entry.ticket.is_cancelled())
        {
            self.tell(Event::Withdraw { run });
        }
    }

    /// Tells the scheduler what happened, and does what it answers.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        // What is done may bring further events; they are told in their turn.
        while let Some(event) = self.events.pop_front() {
            let mut actions = std::mem::take(&mut self.actions);
            self.scheduler.on_event(Instant::now(), event, &mut actions);
            for action in actions.drain(..) {
                self.act(action);
            }
            self.actions = actions;
        }
    }

    /// Looks at the time: what is due is done.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let lease = self.config.lease;
        if now.saturating_duration_since(self.looked) > lease {
            // This process stood still, not all of its hosts: they get another lease.
            for host in self.hosts.values_mut() {
                host.heard = now;
            }
            for run in self.runs.unanswered(now) {
                self.runs.answer_by(run, Some(now + lease));
            }
        }
        self.looked = now;
        for run in self.runs.expired(now) {
            self.expire(run);
        }
        let overdue = self.hosts.values().filter(|host| host.is_overdue(now, lease));
        let overdue: Vec<HostId> = overdue.map(|host| host.id).collect();
        for host in overdue {
            self.lose(host, "it was not heard of for the time of a lease");
        }
        for run in self.runs.unanswered(now) {
            self.unanswered(run);
        }
        if self.scheduler.next_deadline().is_some_and(|due| due <= now) {
            self.tell(Event::Tick);
        }
        self.let_go();
    }

    /// When it has to be looked at the time again, if nothing else happens before.
    pub(super) fn next_look(&self) -> Instant {
        let tick = self.looked + super::config::TICK;
        let due = self.runs.next_due().chain(self.scheduler.next_deadline());
        due.min().map_or(tick, |due| due.min(tick))
    }

    /// A run was not started in its time. One that is at a host is asked back first: it may have
    /// started by now.
    fn expire(&mut self, run: RunNo) {
        let by = Instant::now() + self.config.lease;
        if let Some(entry) = self.runs.get_mut(run) {
            entry.expired = true;
            self.runs.answer_by(run, Some(by));
            self.tell(Event::Expire { run });
        }
    }

    /// By when a host must have said how a run ended that it is given now: a lease after its deadline.
    pub(super) fn end_by(&self, run: RunNo) -> Option<Instant> {
        self.runs.get(run)?.ticket.call().options.deadline?.checked_add(self.config.lease)
    }

    /// A host is there and says nothing of a run that it was asked for, or whose deadline has passed:
    /// the run is not waited for any more.
    fn unanswered(&mut self, run: RunNo) {
        let Some(placed) = self.scheduler.placed(run) else { return };
        let name = self.name_of(placed.host);
        let Some(entry) = self.runs.get(run) else { return };
        let end = if entry.ticket.is_cancelled() {
            let words =
                format!("it was cancelled, and the host {name} did not say that it stopped");
            End::new(EndKind::Cancelled, words)
        } else if entry.fetching {
            // It has ended in time, and its result is on its way.
            return self.runs.answer_by(run, Some(Instant::now() + self.config.lease));
        } else {
            let words = format!("its time is over, and the host {name} did not say how it ended");
            End::new(EndKind::TimedOut, words)
        };
        let of = RunLease { run: entry.ticket.run(), lease: LeaseId(placed.lease.0) };
        if let Some(host) = self.hosts.get(&placed.host.0) {
            host.outbox.cancel(of);
        }
        self.give_up(placed.host, run, placed.lease, end);
    }

    /// Ends a run that a host has, without anything that the host says.
    pub(super) fn give_up(
        &mut self,
        host: HostId,
        run: RunNo,
        lease: sandmill_scheduler::LeaseId,
        end: End,
    ) {
        self.taking = Some(Report::unstarted(end));
        self.tell(Event::Ended { host, run, lease, took: None });
        self.taking = None;
    }

    /// A host is given up.
    pub(super) fn lose(&mut self, host: HostId, why: &str) {
        let Some(known) = self.host_mut(host) else { return };
        let why = known.why.clone().map_or_else(|| why.to_owned(), |last| format!("{why}: {last}"));
        known.state = super::super::fleet::HostState::Down;
        known.why = Some(why.clone());
        if std::mem::take(&mut known.is_placed) {
            let unsent = known.outbox.unsent();
            self.tell(Event::HostSilent { host });
            // Those were never there, whatever became of the host.
            for of in unsent {
                self.never_arrived(host, of);
            }
            self.tell(Event::HostDown { host, why: why.into() });
        }
    }

    /// Lets go of hosts that are to leave and have nothing.
    fn let_go(&mut self) {
        let idle =
            |host: &&Host| host.is_leaving && self.scheduler.runs_at(host.id).next().is_none();
        let leaving: Vec<u64> = self.hosts.values().filter(idle).map(|host| host.id.0).collect();
        for id in leaving {
            self.remove(id, "it left");
        }
    }

    /// Forgets a host.
    pub(super) fn remove(&mut self, id: u64, why: &str) {
        self.lose(HostId(id), why);
        if let Some(host) = self.hosts.remove(&id) {
            host.stop.cancel();
            self.released.push(host.address);
        }
    }
}
