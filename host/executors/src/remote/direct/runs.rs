//! The tickets that the driver has, by the numbers that the scheduler knows them by.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::Component;
use sandmill_scheduler::RunNo;
use sandmill_wire::{Digest, End, RunId};

use super::super::stages::Stage;
use super::super::ticket::Ticket;

/// A run that the driver has.
pub(super) struct Entry {
    pub(super) ticket: Ticket,
    pub(super) stage: Arc<Stage>,
    /// Whether it has started where it is now.
    pub(super) started: bool,
    /// Whether it was not started in its time, and is taken back from where it waits.
    pub(super) expired: bool,
    /// Whether its result is being got.
    pub(super) fetching: bool,
    /// Hosts that refused it since it came.
    pub(super) refused: u32,
    /// What it ends with once it is back from where it is.
    pub(super) end: Option<End>,
    /// Until when it may wait to be started.
    expires: Option<Instant>,
    /// By when the host that has it must have said something of it: that it stopped, say.
    answer_by: Option<Instant>,
}

impl Entry {
    /// Whether its time to be started is over.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.expired || self.expires.is_some_and(|expiry| expiry <= now)
    }
}

/// The runs that the driver has.
#[derive(Default)]
pub(super) struct Runs {
    entries: HashMap<u64, Entry>,
    numbers: HashMap<RunId, RunNo>,
    /// Until when runs may wait to be started.
    expiries: BTreeSet<(Instant, u64)>,
    /// By when hosts must have said something of runs.
    answers: BTreeSet<(Instant, u64)>,
    /// Components of runs that are here, and of how many.
    components: HashMap<Digest, (Component, usize)>,
    next: u64,
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes a ticket in.
    ///
    /// # Errors
    /// The ticket, when there is one of the same run.
    pub(super) fn insert(&mut self, ticket: Ticket, stage: Arc<Stage>) -> Result<RunNo, Ticket> {
        let run = ticket.run();
        if self.numbers.contains_key(&run) {
            return Err(ticket);
        }
        self.next += 1;
        let number = self.next;
        self.numbers.insert(run, RunNo(number));
        let expires = ticket.expires();
        self.expiries.extend(expires.map(|expiry| (expiry, number)));
        let component = &stage.component;
        let kept = self.components.entry(component.digest());
        kept.or_insert_with(|| (component.clone(), 0)).1 += 1;
        let entry = Entry {
            ticket,
            stage,
            started: false,
            expired: false,
            fetching: false,
            refused: 0,
            end: None,
            expires,
            answer_by: None,
        };
        self.entries.insert(number, entry);
        Ok(RunNo(number))
    }

    pub(super) fn number(&self, run: &RunId) -> Option<RunNo> {
        self.numbers.get(run).copied()
    }

    pub(super) fn get(&self, run: RunNo) -> Option<&Entry> {
        self.entries.get(&run.0)
    }

    pub(super) fn get_mut(&mut self, run: RunNo) -> Option<&mut Entry> {
        self.entries.get_mut(&run.0)
    }

    pub(super) fn remove(&mut self, run: RunNo) -> Option<Entry> {
        let entry = self.entries.remove(&run.0)?;
        self.numbers.remove(&entry.ticket.run());
        if let Some(expiry) = entry.expires {
            self.expiries.remove(&(expiry, run.0));
        }
        if let Some(at) = entry.answer_by {
            self.answers.remove(&(at, run.0));
        }
        let digest = entry.stage.component.digest();
        if let Some((_, users)) = self.components.get_mut(&digest) {
            *users -= 1;
            if *users == 0 {
                self.components.remove(&digest);
            }
        }
        Some(entry)
    }

    /// A component of a run that is here.
    pub(super) fn component(&self, digest: &Digest) -> Option<&Component> {
        self.components.get(digest).map(|(component, _)| component)
    }

    /// The run waits again. Where it had started, its time to be started is counted from now.
    pub(super) fn waits_again(&mut self, run: RunNo, now: Instant) {
        let Some(entry) = self.entries.get_mut(&run.0) else { return };
        entry.fetching = false;
        if std::mem::take(&mut entry.started) {
            let options = &entry.ticket.call().options;
            let patience = options.queue_timeout.and_then(|timeout| now.checked_add(timeout));
            let expires = patience.into_iter().chain(options.deadline).min();
            if let Some(before) = std::mem::replace(&mut entry.expires, expires) {
                self.expiries.remove(&(before, run.0));
            }
            self.expiries.extend(expires.map(|expiry| (expiry, run.0)));
        }
        self.answer_by(run, None);
    }

    /// By then the host that has the run must have said something of it.
    pub(super) fn answer_by(&mut self, run: RunNo, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&run.0) else { return };
        if let Some(before) = std::mem::replace(&mut entry.answer_by, at) {
            self.answers.remove(&(before, run.0));
        }
        self.answers.extend(at.map(|at| (at, run.0)));
    }

    /// Runs of which nothing was said that had to be; each is told once.
    pub(super) fn unanswered(&mut self, now: Instant) -> Vec<RunNo> {
        let mut unanswered = Vec::new();
        while let Some(&(at, number)) = self.answers.first()
            && at <= now
        {
            self.answers.pop_first();
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.answer_by = None;
                unanswered.push(RunNo(number));
            }
        }
        unanswered
    }

    /// Runs whose time to be started is over; each is told once.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<RunNo> {
        let mut expired = Vec::new();
        while let Some(&(expiry, number)) = self.expiries.first()
            && expiry <= now
        {
            self.expiries.pop_first();
            if self.entries.get(&number).is_some_and(|entry| !entry.started) {
                expired.push(RunNo(number));
            }
        }
        expired
    }

    /// When next a time is over.
    pub(super) fn next_due(&self) -> impl Iterator<Item = Instant> {
        let firsts = [self.expiries.first(), self.answers.first()];
        firsts.into_iter().flatten().map(|(at, _)| *at)
    }

    /// Lets go of all: each ticket ends as `host-error` by that.
    pub(super) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }
}
