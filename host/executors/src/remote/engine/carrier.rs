//! The state of the driver: runs, items and hosts, and how tickets come in and go. What is heard is
//! taken up in `hearing`, what goes into items is chosen in `batches`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandmill_core::{Clock, Report, Usage};
use sandmill_transport::engine::{Class, ClassId, MAX_CLASSES, ValueName};
use sandmill_transport::message::{LeaseId, RunLease, WorkerId};
use sandmill_wire::{Digest, End, EndKind, Outcome, RunId};
use uuid::Uuid;

use super::super::stages::{Stage, Stages, refuse, refuse_twin};
use super::super::ticket::Ticket;
use super::config::{CANCEL_PATIENCE, EngineFleetConfig};
use super::hosts::Hosts;
use super::runs::{Entry, ItemEntry, Place, Runs};

/// Something to do at the engine, of which nobody waits for the end.
pub(super) enum Errand {
    RemoveItem(u64),
    RemoveValue(ValueName),
}

/// The state of the driver.
pub(super) struct Carrier {
    pub(super) config: Arc<EngineFleetConfig>,
    pub(super) session: Uuid,
    pub(super) runs: Runs,
    pub(super) hosts: Hosts,
    stages: Stages,
    /// The classes of stages, by their numbers.
    pub(super) classes: HashMap<ClassId, Arc<Class>>,
    class_of: HashMap<u64, ClassId>,
    pub(super) clock: Clock,
    next_lease: u64,
    /// How long a run takes, about; none while none has ended.
    pub(super) mean: Option<Duration>,
    /// Since when the runs of a class wait for more to share their item.
    pub(super) held: HashMap<ClassId, Instant>,
    /// When the first of those has waited for long enough that do so for nothing else.
    pub(super) held_until: Option<Instant>,
    /// How often the engine's stores were others than before.
    pub(super) incarnation: u64,
    /// Large arguments that were brought, and for how many items.
    pub(super) values: HashMap<Digest, (Bytes, usize)>,
    pub(super) errands: Vec<Errand>,
    /// What all workers are to hear.
    pub(super) cancel_all: Vec<RunLease>,
}

impl Carrier {
    pub(super) fn new(config: Arc<EngineFleetConfig>, session: Uuid) -> Self {
        let clock = Clock::system();
        // Leases of a later process are above those of an earlier one.
        let next_lease = clock.now().as_micros().max(1);
        Self {
            config,
            session,
            runs: Runs::default(),
            hosts: Hosts::default(),
            stages: Stages::default(),
            classes: HashMap::new(),
            class_of: HashMap::new(),
            clock,
            next_lease,
            mean: None,
            held: HashMap::new(),
            held_until: None,
            incarnation: 0,
            values: HashMap::new(),
            errands: Vec::new(),
            cancel_all: Vec::new(),
        }
    }

    pub(super) fn lease(&mut self) -> LeaseId {
        self.next_lease += 1;
        LeaseId(self.next_lease)
    }

    /// Takes a ticket in.
    pub(super) fn take(&mut self, ticket: Ticket) {
        let Some((ticket, stage)) = self.stages.admit(ticket) else { return };
        let Some(class) = self.class(&stage) else {
            let words = format!("its needs are the {MAX_CLASSES}th kind of one session, too many");
            return refuse(ticket, words);
        };
        if let Err(ticket) = self.runs.insert(ticket, stage, class) {
            refuse_twin(ticket);
        }
    }

    fn class(&mut self, stage: &Stage) -> Option<ClassId> {
        if let Some(id) = self.class_of.get(&stage.number) {
            return Some(id.clone());
        }
        let need = &stage.need;
        let resources = need.resources.to_numbers();
        let class =
            Class::new(&need.labels, &resources, &need.grants, &need.limits, stage.has_effects);
        let id = class.id();
        if !self.classes.contains_key(&id) && self.classes.len() >= MAX_CLASSES {
            return None;
        }
        self.classes.entry(id.clone()).or_insert_with(|| Arc::new(class));
        if self.class_of.len() >= super::super::direct::MAX_STAGES {
            self.class_of.clear();
        }
        self.class_of.insert(stage.number, id.clone());
        Some(id)
    }

    /// A run was asked to stop.
    pub(super) fn cancel(&mut self, run: &RunId) {
        if self.runs.get(run).is_some_and(|entry| entry.ticket.is_cancelled()) {
            self.stop(run);
        }
    }

    /// Takes runs back whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        for run in self.runs.expired(now) {
            if let Some(entry) = self.runs.get_mut(&run) {
                entry.expired = true;
            }
            self.stop(&run);
        }
    }

    /// Takes a run back from where it is; its end follows, at once or by whoever has it.
    pub(super) fn stop(&mut self, run: &RunId) {
        let Some(entry) = self.runs.get_mut(run) else { return };
        if entry.place == Place::Waiting {
            self.end_stopped(run);
            return;
        }
        entry.stopping.get_or_insert_with(Instant::now);
        let (of, entry_is_overdue) = (entry.of(), entry.is_overdue());
        let alone = match entry.place {
            Place::Held(worker) => return self.ask_to_stop(worker, of),
            Place::Out { item, .. } => self.runs.items.get(&item).filter(|i| i.runs.len() == 1),
            Place::Waiting => None,
        };
        // Whoever takes it just now is told, and nobody takes it from now on.
        self.errands.extend(alone.and_then(|item| item.sequence).map(Errand::RemoveItem));
        if !entry_is_overdue {
            self.cancel_all.push(of);
        }
    }

    /// Has the worker that has a run stop it, or give it back where only its time to be started is over.
    pub(super) fn ask_to_stop(&mut self, worker: WorkerId, of: RunLease) {
        let Some(entry) = self.runs.get(&of.run) else { return };
        let is_overdue = entry.is_overdue();
        let Some(host) = self.hosts.get_mut(&worker) else { return };
        if is_overdue {
            host.recalled.push(of);
        } else {
            host.cancelled.push(of);
        }
    }

    /// Ends runs that were asked to stop and that nobody is known to have, and those of which whoever has
    /// them says nothing for a lease.
    pub(super) fn end_stopping(&mut self) {
        let over: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, entry)| {
                let patience = match entry.place {
                    // It has ended in time, and its result is on its way.
                    Place::Held(_) if entry.fetching && !entry.ticket.is_cancelled() => {
                        return false;
                    }
                    Place::Held(_) => self.config.lease,
                    _ => CANCEL_PATIENCE,
                };
                entry.stopping.is_some_and(|since| since.elapsed() >= patience)
            })
            .map(|(run, _)| *run)
            .collect();
        for run in &over {
            // Should somebody have it after all.
            self.cancel_all.extend(self.runs.get(run).map(Entry::of));
            self.end_stopped(run);
        }
    }

    /// Ends a run that was asked to stop, without anybody's report.
    pub(super) fn end_stopped(&mut self, run: &RunId) {
        let Some(entry) = self.remove(run) else { return };
        if entry.started {
            let (kind, words) = match entry.ticket.is_cancelled() {
                true => (
                    EndKind::Cancelled,
                    "it was cancelled, and its host did not say that it stopped",
                ),
                false => {
                    (EndKind::TimedOut, "its time is over, and its host did not say how it ended")
                }
            };
            entry.ticket.finish(Report::unstarted(End::new(kind, words)));
        } else if entry.expired && !entry.ticket.is_cancelled() {
            entry.ticket.expire();
        } else {
            entry.ticket.cancel();
        }
    }

    /// Takes a run out, with all that is in the engine for it.
    pub(super) fn remove(&mut self, run: &RunId) -> Option<Entry> {
        self.leave(run);
        self.runs.remove(run)
    }

    /// Takes a run out of its item, and from the host that has it.
    pub(super) fn leave(&mut self, run: &RunId) {
        let Some(entry) = self.runs.get(run) else { return };
        if let Place::Held(worker) = entry.place
            && let Some(host) = self.hosts.get_mut(&worker)
        {
            host.runs.remove(run);
        }
        let Some(number) = entry.item else { return };
        let was_held = matches!(entry.place, Place::Held(_));
        if let Some(item) = self.runs.leave_item(number, run) {
            // A worker that has it acknowledges it, and it is gone by that.
            if !was_held && let Some(sequence) = item.sequence {
                self.errands.push(Errand::RemoveItem(sequence));
            }
            self.release(&item);
        }
    }

    /// Takes the large arguments of an item away that no other needs.
    pub(super) fn release(&mut self, item: &ItemEntry) {
        for digest in &item.values {
            if let Some((_, users)) = self.values.get_mut(digest) {
                *users -= 1;
                if *users == 0 {
                    self.values.remove(digest);
                    let name = ValueName::Arguments(self.session, *digest);
                    self.errands.push(Errand::RemoveValue(name));
                }
            }
        }
    }

    /// The report counts: the run has ended.
    pub(super) fn finish(&mut self, of: RunLease, report: Report) {
        let Some(entry) = self.remove(&of.run) else { return };
        self.learn(&report.usage);
        let stopped = matches!(
            &report.outcome,
            Outcome::Ended(end) if matches!(end.kind, EndKind::Cancelled | EndKind::TimedOut)
        );
        let now = Instant::now();
        let late = entry.ticket.expires().is_some_and(|expiry| expiry <= now);
        let unstarted = !entry.started && report.usage == Usage::default();
        let is_cancelled = entry.ticket.is_cancelled();
        if stopped && unstarted && (late || entry.expired) && !is_cancelled {
            // It was not started in its time.
            entry.ticket.expire();
        } else if stopped && entry.expired && !is_cancelled {
            let end = End::new(EndKind::TimedOut, "the run's deadline passed");
            entry.ticket.finish(Report::new(end.into(), report.usage));
        } else {
            entry.ticket.finish(report);
        }
    }

    fn learn(&mut self, usage: &Usage) {
        let took = Duration::from_micros(usage.wall_micros);
        // Nine parts of what was, one of what is.
        self.mean = Some(self.mean.map_or(took, |mean| (mean * 9 + took) / 10));
    }

    /// Has a worker forget a report: it was taken, or nobody waits for it.
    pub(super) fn settle(&mut self, worker: WorkerId, of: RunLease) {
        let now = self.clock.now();
        self.hosts.heard(worker, now).settled.push(of);
    }
}
