//! What a worker holds of one coordinator: its runs, where each stands, and its link.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::Usage;
use sandmill_transport::direct::Life;
use sandmill_transport::message::{Ending, LeaseId, RunLease, RunReport};
use sandmill_wire::{Digest, RunId, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::attending::Attending;
use super::backlog::Backlog;
use super::outbox::Outbox;
use super::spec::{Checked, SpecEntry};

/// The link over which a session is reached at this moment.
pub(super) struct Link {
    /// Tells one link of a session from the next.
    pub(super) number: u64,
    /// Ends the tasks that serve it.
    pub(super) stop: CancellationToken,
    /// What is noted of the bytes that go over it.
    pub(super) life: Life,
}

/// A run that a worker holds.
pub(super) struct Held {
    /// Tells this attempt from any other that was made here.
    pub(super) serial: u64,
    pub(super) lease: LeaseId,
    pub(super) attempt: u32,
    /// The component that it is of.
    pub(super) component: Digest,
    /// What else it is: see [`SpecEntry::sameness`].
    pub(super) sameness: Digest,
    /// The digest of its arguments.
    pub(super) arguments: Digest,
    pub(super) phase: Phase,
}

/// Where a run stands.
pub(super) enum Phase {
    /// It waits: for its component, or for a slot.
    Waiting(Box<Waiting>),
    /// It is in a slot.
    Running(Arc<Attending>),
    /// It has ended, and that is not settled.
    Ended(Box<Kept>),
}

/// A run that waits.
pub(super) struct Waiting {
    pub(super) spec: Arc<SpecEntry>,
    pub(super) arguments: Value,
    /// What it counts for in the bounds of what waits.
    pub(super) bytes: u64,
    pub(super) index: Option<u64>,
    pub(super) deadline: Option<Instant>,
    /// Whether its component is here.
    pub(super) ready: bool,
}

/// A report that is kept.
pub(super) struct Kept {
    pub(super) ending: Ending,
    pub(super) usage: Usage,
    /// What it counts for in the bounds of what is kept.
    pub(super) bytes: u64,
    /// The result that it names by digest.
    pub(super) blob: Option<Digest>,
    /// Whether the same attempt, ordered again, may be answered with it.
    pub(super) is_answer: bool,
}

impl Held {
    pub(super) const fn of(&self, run: RunId) -> RunLease {
        RunLease { run, lease: self.lease }
    }

    /// The report, where the run has ended.
    pub(super) fn report(&self, run: RunId) -> Option<RunReport> {
        let Phase::Ended(kept) = &self.phase else { return None };
        Some(RunReport { of: self.of(run), ending: kept.ending.clone(), usage: kept.usage })
    }

    /// Whether the order asks for the attempt that this is, and this one can be its answer.
    pub(super) fn answers(&self, order: &Checked) -> bool {
        let same = self.attempt == order.attempt
            && self.arguments == order.digest
            && self.sameness == order.spec.sameness;
        same && match &self.phase {
            Phase::Waiting(_) => true,
            Phase::Running(attending) => !attending.cancel.is_cancelled(),
            Phase::Ended(kept) => kept.is_answer,
        }
    }
}

/// What a worker holds of one coordinator.
pub(super) struct Session {
    /// Who it is, by the link's word.
    pub(super) peer: String,
    /// Who it is, by its own word.
    pub(super) name: String,
    pub(super) grace: Duration,
    pub(super) link: Option<Link>,
    /// When it is forgotten, while it has no link.
    pub(super) forget_at: Option<Instant>,
    pub(super) runs: HashMap<RunId, Held>,
    /// Runs that can start, in order. Some may have gone since: then their serial is another.
    pub(super) ready: VecDeque<(RunId, u64)>,
    /// How many of those have gone, about.
    pub(super) ready_gone: usize,
    /// Whether it is in the round of those whose turn will come.
    pub(super) in_turns: bool,
    pub(super) waiting: usize,
    pub(super) waiting_bytes: u64,
    pub(super) running: usize,
    pub(super) kept: usize,
    pub(super) kept_bytes: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) backlog: Backlog,
}

impl Session {
    pub(super) fn new(peer: String, name: String, grace: Duration) -> Self {
        Self {
            peer,
            name,
            grace,
            link: None,
            forget_at: None,
            runs: HashMap::new(),
            ready: VecDeque::new(),
            ready_gone: 0,
            in_turns: false,
            waiting: 0,
            waiting_bytes: 0,
            running: 0,
            kept: 0,
            kept_bytes: 0,
            outbox: Arc::default(),
            backlog: Backlog::default(),
        }
    }

    /// Whether this is the link that serves it.
    pub(super) fn is_served_by(&self, number: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.number == number)
    }

    /// Takes those that have gone out of what can start, once they are many.
    pub(super) fn sweep_ready(&mut self) {
        if self.ready_gone > 64 + self.ready.len() / 2 {
            let runs = &self.runs;
            self.ready.retain(|(run, serial)| {
                runs.get(run).is_some_and(|held| {
                    held.serial == *serial && matches!(held.phase, Phase::Waiting(_))
                })
            });
            self.ready_gone = 0;
        }
    }
}

/// Sessions by their ids.
pub(super) type Sessions = HashMap<Uuid, Session>;
