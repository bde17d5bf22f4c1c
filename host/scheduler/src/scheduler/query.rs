//! What can be asked of the scheduler between events. None of it changes anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Scheduler;
use super::trouble::since;
use crate::host::Host;
use crate::{Counts, HostId, HostView, LeaseId, Need, Placed, RunNo};

impl Scheduler {
    /// How many more runs it wants to be given: as many as hosts have places for, and one while
    /// none waits, so that it can be told why nobody takes it. Never more than may wait, and none
    /// while the arguments of those that wait are many bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        // Where runs wait that hold resources, their hosts get nothing beyond their slots.
        let places = if self.classes.exclusive_wait() {
            self.hosts.free_slots()
        } else {
            // Of runs that are short hosts take more; which of them come next is not known.
            let most = self.hosts.slots().saturating_mul(1 + self.ahead as usize);
            self.hosts.free_places().max(most.saturating_sub(self.runs.len()))
        };
        let places = places.max(usize::from(self.waiting == 0));
        if self.waiting_bytes >= self.config.max_waiting_bytes {
            return 0;
        }
        places.min(self.config.max_waiting.saturating_sub(self.waiting))
    }

    /// How many runs of this need a slot is given beyond the one in it, as they have turned out so far.
    /// Runs that are given up with the next host that is lost under them are a kind of their own.
    #[must_use]
    pub fn prefetch(&self, need: &Arc<Need>, suspect: bool) -> u32 {
        self.classes.prefetch(need, suspect)
    }

    /// How long runs of this need take, as they have turned out so far; none before the first has ended.
    #[must_use]
    pub fn typical(&self, need: &Arc<Need>, suspect: bool) -> Option<Duration> {
        self.classes.typical(need, suspect)
    }

    /// When [`Event::Tick`](crate::Event::Tick) is due if nothing else happens before. None while
    /// nothing depends on the time.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.check_at
    }

    /// Runs that wait for a host.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether no run waits or is anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How long the run that has waited longest, of those that are first in their queues, has been
    /// there.
    #[must_use]
    pub fn oldest_wait(&self, now: Instant) -> Option<Duration> {
        let first = self.classes.first(self.classes.oldest()?, &self.runs)?;
        Some(since(now, self.runs.get(&first)?.since))
    }

    /// Whether the scheduler has this run.
    #[must_use]
    pub fn knows(&self, run: RunNo) -> bool {
        self.runs.contains_key(&run)
    }

    /// Where a run is; none while it waits or when there is no such run.
    #[must_use]
    pub fn placed(&self, run: RunNo) -> Option<Placed> {
        let at = self.runs.get(&run)?.at?;
        let host = self.hosts.get(at.host)?.id;
        Some(Placed { host, lease: at.lease, started: at.started, recalled: at.recalled })
    }

    /// The runs that a host has, in the order in which it got them.
    pub fn runs_at(&self, host: HostId) -> impl Iterator<Item = (RunNo, LeaseId)> + '_ {
        let host = self.hosts.index_of(host).and_then(|index| self.hosts.get(index));
        host.into_iter().flat_map(|host| host.runs.iter().map(|(lease, run)| (*run, *lease)))
    }

    /// How many runs a host has for each of its slots.
    #[must_use]
    pub fn runs_a_slot(&self, host: HostId) -> Option<u32> {
        let host = self.hosts.get(self.hosts.index_of(host)?)?;
        Some(host.assigned() / host.slots.max(1))
    }

    /// All hosts, for a display.
    pub fn hosts(&self, now: Instant) -> impl Iterator<Item = HostView> + '_ {
        self.hosts.iter().map(move |(_, host)| view(now, host))
    }

    /// One host, for a display.
    #[must_use]
    pub fn host(&self, now: Instant, host: HostId) -> Option<HostView> {
        let index = self.hosts.index_of(host)?;
        self.hosts.get(index).map(|host| view(now, host))
    }

    /// How much there is of everything, and how often things have happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            hosts: self.hosts.len(),
            usable: self.hosts.usable(),
            slots: self.hosts.slots(),
            free_slots: self.hosts.free_slots(),
            waiting: self.waiting,
            placed: self.runs.len() - self.waiting,
            started: self.started,
            classes: self.classes.len(),
            assigned: self.tally.assigned,
            taken: self.tally.taken,
            stale: self.tally.stale,
            hosts_lost: self.tally.hosts_lost,
            elsewhere: self.tally.elsewhere,
            lost: self.tally.lost,
            recalled: self.tally.recalled,
            handed_back: self.tally.handed_back,
        }
    }
}

fn view(now: Instant, host: &Host) -> HostView {
    HostView {
        host: host.id,
        name: host.name.clone(),
        slots: host.slots,
        runs: host.assigned(),
        started: host.started,
        recalled: host.recalled,
        input_bytes: host.input_bytes,
        holds: host.holds.len(),
        getting: host.getting.len(),
        ended: host.ended,
        silent: host.silent_since.map(|then| since(now, then)),
        draining: host.draining,
        up: since(now, host.up_since),
    }
}
