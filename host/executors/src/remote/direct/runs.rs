//! The tickets that the driver has, by the numbers that the scheduler knows them by.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::Component;
use sandmill_scheduler::RunNo;
use sandmill_wire::{Digest, RunId};

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
}

/// The runs that the driver has.
#[derive(Default)]
pub(super) struct Runs {
    entries: HashMap<u64, Entry>,
    numbers: HashMap<RunId, RunNo>,
    /// Until when runs may wait to be started.
    expiries: BTreeSet<(Instant, u64)>,
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
        self.expiries.extend(ticket.expires().map(|expiry| (expiry, number)));
        let component = &stage.component;
        let kept = self.components.entry(component.digest());
        kept.or_insert_with(|| (component.clone(), 0)).1 += 1;
        let entry = Entry { ticket, stage, started: false, expired: false, fetching: false };
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
        if let Some(expiry) = entry.ticket.expires() {
            self.expiries.remove(&(expiry, run.0));
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

    /// The run waits again after it had started: its time to be started counts again.
    pub(super) fn waits_again(&mut self, run: RunNo) {
        let Some(entry) = self.entries.get_mut(&run.0) else { return };
        entry.started = false;
        entry.fetching = false;
        self.expiries.extend(entry.ticket.expires().map(|expiry| (expiry, run.0)));
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

    /// When the next such time is over.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expiry, _)| *expiry)
    }

    /// Lets go of all: each ticket ends as `host-error` by that.
    pub(super) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }
}
