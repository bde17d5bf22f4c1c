//! The tickets that the fleet has, and the items that they are in. Plain state.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::Component;
use sandmill_scheduler::MAX_HOSTS_LOST;
use sandmill_transport::engine::ClassId;
use sandmill_transport::message::{LeaseId, RunLease, WorkerId};
use sandmill_wire::{Digest, RunId};

use super::super::stages::Stage;
use super::super::ticket::Ticket;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits to be put into the engine.
    Waiting,
    /// It is in an item, or a worker took it out of one; since when nobody is known to have it.
    Out { item: u64, unheld_since: Instant },
    /// A worker has it.
    Held(WorkerId),
}

/// A run that the fleet has.
pub(super) struct Entry {
    pub(super) ticket: Ticket,
    pub(super) stage: Arc<Stage>,
    pub(super) class: ClassId,
    pub(super) lease: LeaseId,
    pub(super) place: Place,
    pub(super) item: Option<u64>,
    /// Hosts that were lost under it.
    pub(super) hosts_lost: u32,
    /// Whether it has started where it is now.
    pub(super) started: bool,
    /// Since when a worker has it, where one does.
    pub(super) held_since: Instant,
    /// Whether it was asked back from where it is now.
    pub(super) recalled: bool,
    /// Whether its time is over, and it is taken back from where it is.
    pub(super) expired: bool,
    /// When it was asked to stop.
    pub(super) stopping: Option<Instant>,
    /// Whether its result is being got.
    pub(super) fetching: bool,
    /// Since when it waits, and whether that was told.
    pub(super) waits_since: Instant,
    pub(super) wait_told: bool,
    /// How often it was given back in a row.
    pub(super) handed_back: u32,
    /// How often hosts refused it since it came.
    pub(super) refused: u32,
    /// Until when it may wait to be started.
    expires: Option<Instant>,
}

impl Entry {
    /// Whether it was not started in its time, as far as is known: it is asked back then, and not
    /// stopped, since it may have started by now.
    pub(super) fn is_overdue(&self) -> bool {
        let deadline = self.ticket.call().options.deadline;
        let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
        self.expired && !self.started && !is_over && !self.ticket.is_cancelled()
    }

    pub(super) fn of(&self) -> RunLease {
        RunLease { run: self.ticket.run(), lease: self.lease }
    }

    /// Whether it is given up with the next host that is lost under it.
    pub(super) fn is_suspect(&self) -> bool {
        self.hosts_lost > 0 && self.hosts_lost + 1 >= MAX_HOSTS_LOST
    }
}

/// An item that was put into the engine, or is on its way there.
pub(super) struct ItemEntry {
    pub(super) class: ClassId,
    /// Its number in the queue, once it is there.
    pub(super) sequence: Option<u64>,
    /// Runs in it that have not ended, and are not in another since.
    pub(super) runs: HashSet<RunId>,
    /// Large arguments that were brought for it.
    pub(super) values: Vec<Digest>,
    /// When it was looked for last, and how often it was not there, in a row.
    pub(super) looked: Instant,
    pub(super) missed: u32,
    pub(super) looking: bool,
    /// In which of the engine's stores it is, counted from the first.
    pub(super) incarnation: u64,
}

/// The runs that the fleet has.
#[derive(Default)]
pub(super) struct Runs {
    entries: HashMap<RunId, Entry>,
    pub(super) waiting: HashMap<ClassId, VecDeque<RunId>>,
    /// Runs that wait and would be given up with one more host.
    pub(super) suspects: VecDeque<RunId>,
    pub(super) items: HashMap<u64, ItemEntry>,
    by_sequence: HashMap<u64, u64>,
    expiries: BTreeSet<(Instant, RunId)>,
    components: HashMap<Digest, (Component, usize)>,
    /// Runs that wait and are to wait for a while yet.
    paused: BTreeSet<(Instant, RunId)>,
    next_item: u64,
}

impl Runs {
    /// Takes a ticket in, to wait.
    ///
    /// # Errors
    /// The ticket, when there is one of the same run.
    pub(super) fn insert(
        &mut self,
        ticket: Ticket,
        stage: Arc<Stage>,
        class: ClassId,
    ) -> Result<(), Ticket> {
        let run = ticket.run();
        if self.entries.contains_key(&run) {
            return Err(ticket);
        }
        let expires = ticket.expires();
        self.expiries.extend(expires.map(|expiry| (expiry, run)));
        let component = &stage.component;
        let kept = self.components.entry(component.digest());
        kept.or_insert_with(|| (component.clone(), 0)).1 += 1;
        self.waiting.entry(class.clone()).or_default().push_back(run);
        let entry = Entry {
            ticket,
            stage,
            class,
            lease: LeaseId::default(),
            place: Place::Waiting,
            item: None,
            hosts_lost: 0,
            started: false,
            held_since: Instant::now(),
            recalled: false,
            expired: false,
            stopping: None,
            fetching: false,
            waits_since: Instant::now(),
            wait_told: false,
            handed_back: 0,
            refused: 0,
            expires,
        };
        self.entries.insert(run, entry);
        Ok(())
    }

    pub(super) fn get(&self, run: &RunId) -> Option<&Entry> {
        self.entries.get(run)
    }

    pub(super) fn get_mut(&mut self, run: &RunId) -> Option<&mut Entry> {
        self.entries.get_mut(run)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RunId, &Entry)> {
        self.entries.iter()
    }

    /// The run under this lease, where it is its latest.
    pub(super) fn current(&mut self, of: RunLease) -> Option<&mut Entry> {
        self.entries
            .get_mut(&of.run)
            .filter(|entry| entry.lease == of.lease && entry.place != Place::Waiting)
    }

    /// Takes a run out, for good.
    pub(super) fn remove(&mut self, run: &RunId) -> Option<Entry> {
        let entry = self.entries.remove(run)?;
        for at in entry.expires.into_iter().chain(entry.ticket.call().options.deadline) {
            self.expiries.remove(&(at, *run));
        }
        let digest = entry.stage.component.digest();
        if let Some((_, users)) = self.components.get_mut(&digest) {
            *users -= 1;
            if *users == 0 {
                self.components.remove(&digest);
            }
        }
        if entry.place == Place::Waiting {
            let queue = self.waiting.get_mut(&entry.class);
            queue.into_iter().for_each(|queue| queue.retain(|other| other != run));
            self.suspects.retain(|other| other != run);
        }
        Some(entry)
    }

    /// Takes a run out of its item. The item's entry, if no runs are in it any more.
    pub(super) fn leave_item(&mut self, number: u64, run: &RunId) -> Option<ItemEntry> {
        let item = self.items.get_mut(&number)?;
        item.runs.remove(run);
        if !item.runs.is_empty() || item.sequence.is_none() {
            return None;
        }
        self.remove_item(number)
    }

    pub(super) fn remove_item(&mut self, number: u64) -> Option<ItemEntry> {
        let item = self.items.remove(&number)?;
        if let Some(sequence) = item.sequence
            && self.by_sequence.get(&sequence) == Some(&number)
        {
            self.by_sequence.remove(&sequence);
        }
        Some(item)
    }

    pub(super) fn add_item(&mut self, item: ItemEntry) -> u64 {
        self.next_item += 1;
        self.items.insert(self.next_item, item);
        self.next_item
    }

    pub(super) fn item_is_at(&mut self, number: u64, sequence: u64) {
        self.by_sequence.insert(sequence, number);
    }

    pub(super) fn item_at(&self, sequence: u64) -> Option<u64> {
        self.by_sequence.get(&sequence).copied()
    }

    /// The run waits again, before all others of its class; for so long it is not put anywhere.
    pub(super) fn wait_again(&mut self, run: &RunId, pause: Duration) {
        let Some(entry) = self.entries.get_mut(run) else { return };
        if entry.place == Place::Waiting {
            return;
        }
        entry.place = Place::Waiting;
        entry.item = None;
        let was_started = std::mem::take(&mut entry.started);
        entry.recalled = false;
        entry.fetching = false;
        entry.waits_since = Instant::now();
        entry.wait_told = false;
        if was_started {
            // Its time to be started is counted from now.
            let options = &entry.ticket.call().options;
            let now = Instant::now();
            let patience = options.queue_timeout.and_then(|timeout| now.checked_add(timeout));
            let expires = patience.into_iter().chain(options.deadline).min();
            if let Some(before) = std::mem::replace(&mut entry.expires, expires) {
                self.expiries.remove(&(before, *run));
            }
        }
        self.expiries.extend(entry.expires.map(|expiry| (expiry, *run)));
        if pause.is_zero() {
            self.line_up(run);
        } else {
            self.paused.insert((Instant::now() + pause, *run));
        }
    }

    /// Lets runs be put somewhere that have waited for as long as they were to.
    pub(super) fn resume(&mut self, now: Instant) {
        while let Some(&(at, run)) = self.paused.first()
            && at <= now
        {
            self.paused.pop_first();
            if self.entries.get(&run).is_some_and(|entry| entry.place == Place::Waiting) {
                self.line_up(&run);
            }
        }
    }

    /// Puts a run that waits before all others of its class, or to those that are tried by themselves.
    fn line_up(&mut self, run: &RunId) {
        let Some(entry) = self.entries.get(run) else { return };
        if entry.is_suspect() {
            self.suspects.push_back(*run);
        } else {
            self.waiting.entry(entry.class.clone()).or_default().push_front(*run);
        }
    }

    /// The queue is another: numbers of the former name nothing in it.
    pub(super) fn forget_sequences(&mut self) {
        self.by_sequence.clear();
    }

    pub(super) fn component(&self, digest: &Digest) -> Option<&Component> {
        self.components.get(digest).map(|(component, _)| component)
    }

    /// The run has started after all: it has to end by its deadline yet.
    pub(super) fn is_in_time(&mut self, run: &RunId) {
        let Some(entry) = self.entries.get_mut(run) else { return };
        (entry.expired, entry.stopping) = (false, None);
        let deadline = entry.ticket.call().options.deadline;
        self.expiries.extend(deadline.map(|deadline| (deadline, *run)));
    }

    /// Runs whose time is over; each is told once.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<RunId> {
        let mut expired = Vec::new();
        while let Some(&(expiry, run)) = self.expiries.first()
            && expiry <= now
        {
            self.expiries.pop_first();
            let late = |entry: &Entry| {
                let deadline = entry.ticket.call().options.deadline;
                !entry.started || deadline.is_some_and(|deadline| deadline <= now)
            };
            match self.entries.get(&run) {
                Some(entry) if late(entry) => expired.push(run),
                // It was started in time, and may have to end by a time of its own.
                Some(entry) => self
                    .expiries
                    .extend(entry.ticket.call().options.deadline.map(|deadline| (deadline, run))),
                None => {}
            }
        }
        expired
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expiry, _)| *expiry)
    }

    /// Lets go of all: each ticket ends as `host-error` by that.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
