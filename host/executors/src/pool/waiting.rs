//! The runs of a pool that wait: for a slot, or until they are tried again. Plain data, told the
//! time by whoever asks; the locks around it and the threads that wait are in `queue` and `timer`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::attempt::{Delayed, Job};

/// Runs that wait.
pub(super) struct Waiting {
    /// Submitted, and never started here: by their numbers, which are the order of submission.
    calls: BTreeMap<u64, Queued>,
    /// To be tried again now: these go first.
    due: BTreeMap<u64, Queued>,
    /// To be tried again later.
    delayed: BTreeMap<(Instant, u64), Job>,
    /// Until when the runs that wait for a slot may do so, where that has an end.
    expiries: BTreeSet<(Instant, u64)>,
    next: u64,
    /// How many runs may be delayed or due before no new ones are started.
    max_delayed: usize,
}

pub(super) struct Queued {
    pub(super) job: Job,
    pub(super) expires: Option<Instant>,
}

/// What the time brought.
#[derive(Default)]
pub(super) struct Ticked {
    /// How many runs became due.
    pub(super) due: usize,
    /// Runs that waited for a slot for too long.
    pub(super) expired: Vec<Job>,
}

impl Waiting {
    pub(super) const fn new(max_delayed: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            due: BTreeMap::new(),
            delayed: BTreeMap::new(),
            expiries: BTreeSet::new(),
            next: 0,
            max_delayed,
        }
    }

    /// How many submitted calls wait for a slot.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.due.is_empty() && self.delayed.is_empty()
    }

    /// Whether so many runs are to be tried again that no new ones should be started.
    pub(super) fn holds_back(&self) -> bool {
        self.delayed.len() + self.due.len() >= self.max_delayed
    }

    /// Whether a slot would get something.
    pub(super) fn has_next(&self) -> bool {
        !self.due.is_empty() || (!self.calls.is_empty() && !self.holds_back())
    }

    /// Puts a call at the end.
    pub(super) fn submit(&mut self, job: Job) {
        let expires = job.expires(|| job.due().unwrap_or_else(Instant::now));
        let number = self.number(expires);
        self.calls.insert(number, Queued { job, expires });
    }

    /// Has a run wait until it is tried again.
    pub(super) fn delay(&mut self, Delayed { job, due }: Delayed) {
        let number = self.number(None);
        self.delayed.insert((due, number), job);
    }

    fn number(&mut self, expires: Option<Instant>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.expiries.extend(expires.map(|expires| (expires, number)));
        number
    }

    /// The run that should be taken next, and until when it may wait to be started.
    pub(super) fn next_queued(&mut self) -> Option<Queued> {
        let (number, queued) = match self.due.pop_first() {
            Some(due) => due,
            None if self.holds_back() => return None,
            None => self.calls.pop_first()?,
        };
        if let Some(expires) = queued.expires {
            self.expiries.remove(&(expires, number));
        }
        Some(queued)
    }

    /// When something happens next by itself.
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let due = self.delayed.first_key_value().map(|((due, _), _)| *due);
        let expiry = self.expiries.first().map(|(expiry, _)| *expiry);
        match (due, expiry) {
            (Some(due), Some(expiry)) => Some(due.min(expiry)),
            (due, expiry) => due.or(expiry),
        }
    }

    /// Queues what is due, and takes out what has waited for too long.
    pub(super) fn tick(&mut self, now: Instant) -> Ticked {
        let mut ticked = Ticked::default();
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let ((due, _), job) = first.remove_entry();
            let expires = job.expires(|| due);
            let number = self.number(expires);
            self.due.insert(number, Queued { job, expires });
            ticked.due += 1;
        }
        while let Some(&(expiry, number)) = self.expiries.first()
            && expiry <= now
        {
            self.expiries.pop_first();
            let queued = self.calls.remove(&number).or_else(|| self.due.remove(&number));
            ticked.expired.extend(queued.map(|queued| queued.job));
        }
        ticked
    }

    /// Takes out the runs that were asked to stop while they waited to be tried again.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job> {
        let is_cancelled = |job: &Job| job.token().is_cancelled();
        let delayed = self.delayed.extract_if(.., |_, job| is_cancelled(job));
        let mut cancelled: Vec<Job> = delayed.map(|(_, job)| job).collect();
        for (number, queued) in self.due.extract_if(.., |_, queued| is_cancelled(&queued.job)) {
            if let Some(expires) = queued.expires {
                self.expiries.remove(&(expires, number));
            }
            cancelled.push(queued.job);
        }
        cancelled
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.expiries.clear();
        let delayed = std::mem::take(&mut self.delayed).into_values();
        let due = std::mem::take(&mut self.due).into_values().map(|queued| queued.job);
        let calls = std::mem::take(&mut self.calls).into_values().map(|queued| queued.job);
        delayed.chain(due).chain(calls).collect()
    }
}
