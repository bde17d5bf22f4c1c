//! One host as the scheduler knows it. All hosts together, and their order, are in `hosts`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use sandmill_core::Ceiling;
use sandmill_wire::Digest;

use crate::config::MAX_HELD_KNOWN;
use crate::{HostId, HostSpec, LeaseId, Resources, RunNo};

/// The load of a host whose slots are all taken and that has nothing beyond.
pub(crate) const FULL_SLOTS: u64 = 1 << 16;

/// A host and what it has.
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) name: Arc<str>,
    pub(crate) slots: u32,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) total: Resources,
    pub(crate) used: Resources,
    pub(crate) ceiling: Ceiling,
    /// Components and values that it is known to hold.
    pub(crate) holds: HashSet<Digest>,
    /// Components that were given to it with a run and that it has not said to hold.
    pub(crate) getting: HashSet<Digest>,
    /// Its runs in the order in which it got them: those at the end wait there.
    pub(crate) runs: BTreeMap<LeaseId, RunNo>,
    pub(crate) started: u32,
    /// Runs that it is asked to give back.
    pub(crate) recalled: u32,
    /// Runs that others are asked to give back for it.
    pub(crate) promised: u32,
    /// Runs of it that are given up with the next host that is lost under them.
    pub(crate) suspects: u32,
    pub(crate) input_bytes: u64,
    pub(crate) ended: u64,
    pub(crate) silent_since: Option<Instant>,
    pub(crate) draining: bool,
    /// Until when it gets nothing, since it refused a run.
    pub(crate) paused_until: Option<Instant>,
    /// Runs that it refused in a row.
    pub(crate) refusals: u32,
    pub(crate) up_since: Instant,
}

impl Host {
    pub(crate) fn new(now: Instant, id: HostId, spec: HostSpec) -> Self {
        let HostSpec { name, slots, labels, resources, ceiling, mut holds } = spec;
        holds.truncate(MAX_HELD_KNOWN);
        Self {
            id,
            name,
            slots,
            labels,
            total: resources,
            used: Resources::new(),
            ceiling,
            holds: holds.into_iter().collect(),
            getting: HashSet::new(),
            runs: BTreeMap::new(),
            started: 0,
            recalled: 0,
            promised: 0,
            suspects: 0,
            input_bytes: 0,
            ended: 0,
            silent_since: None,
            draining: false,
            paused_until: None,
            refusals: 0,
            up_since: now,
        }
    }

    /// Takes up what the host says of itself anew. Its runs stay, and what they use.
    pub(crate) fn renew(&mut self, now: Instant, spec: HostSpec) {
        let old = std::mem::replace(self, Self::new(now, self.id, spec));
        self.used = old.used;
        self.runs = old.runs;
        self.started = old.started;
        self.recalled = old.recalled;
        self.promised = old.promised;
        self.suspects = old.suspects;
        self.input_bytes = old.input_bytes;
        self.ended = old.ended;
        self.up_since = old.up_since;
    }

    /// Runs that it has.
    pub(crate) fn assigned(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// Runs that it may have, with those that wait there for a slot.
    pub(crate) fn capacity(&self, prefetch_per_slot: u32) -> u64 {
        u64::from(self.slots) * (1 + u64::from(prefetch_per_slot))
    }

    /// Whether it takes runs now.
    pub(crate) fn usable(&self) -> bool {
        self.slots > 0
            && !self.draining
            && self.silent_since.is_none()
            && self.paused_until.is_none()
    }

    /// How full it is: [`FULL_SLOTS`] when each slot has a run.
    pub(crate) fn load(&self) -> u64 {
        u64::from(self.assigned()) * FULL_SLOTS / u64::from(self.slots.max(1))
    }

    pub(crate) fn free_slots(&self) -> u32 {
        self.slots.saturating_sub(self.assigned())
    }

    /// Slots without a run that none is on its way to.
    pub(crate) fn open_slots(&self) -> u32 {
        self.free_slots().saturating_sub(self.promised)
    }

    /// Runs beyond its slots that it is not asked to give back.
    pub(crate) fn excess(&self) -> u32 {
        self.assigned().saturating_sub(self.slots).saturating_sub(self.recalled)
    }
}
