//! Where one task of a flow stands: which of its runs were handed out, which have ended, and what
//! of their results is still needed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sandmill_wire::Value;

use super::blame::Blame;
use super::inputs::Inputs;
use super::marks::Marks;

/// Where one task stands.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) phase: Phase,
    /// How many of the things it waits for are not there yet: tasks to end, and mapped tasks to
    /// know how many runs they have.
    pub(super) waiting: usize,
    /// Who will yet read all results at once.
    pub(super) readers: usize,
    /// Results that somebody needs still, by position.
    pub(super) results: BTreeMap<u64, Value>,
    /// Why runs did not complete, for the runs that map over them, by position.
    pub(super) blames: BTreeMap<u64, Arc<Blame>>,
    /// Which runs have ended.
    pub(super) ended: Marks,
    /// The first run that did not complete.
    pub(super) blame: Option<Arc<Blame>>,
    /// How many runs there are; known once it is open.
    pub(super) total: Option<u64>,
}

/// How far a task is.
#[derive(Default)]
pub(super) enum Phase {
    /// It waits.
    #[default]
    Waiting,
    /// What it waits for is there, and it is the next to be looked at.
    Due,
    /// Its runs are handed out.
    Open(Box<Open>),
    /// All its runs have ended, or it never had any.
    Finished,
}

/// A task whose runs are handed out.
pub(super) struct Open {
    pub(super) total: u64,
    pub(super) inputs: Inputs,
    pub(super) ready: Ready,
    /// Which runs were handed out.
    pub(super) handed: Marks,
    /// Runs that are handed out and have not ended.
    pub(super) running: BTreeSet<u64>,
    pub(super) left: u64,
}

/// Which runs can be handed out.
pub(super) enum Ready {
    /// All from this one on.
    From(u64),
    /// Those whose upstream runs have ended.
    Some(VecDeque<u64>),
}

impl Open {
    /// Takes the next run that can be handed out.
    pub(super) fn take(&mut self) -> Option<u64> {
        let index = match &mut self.ready {
            Ready::From(next) if *next < self.total => {
                *next += 1;
                *next - 1
            }
            Ready::From(_) => return None,
            Ready::Some(queue) => queue.pop_front()?,
        };
        self.handed.set(index);
        Some(index)
    }
}

impl Stage {
    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Whether it will yet take what is at this position of a task that it maps over.
    pub(super) fn wants(&self, index: u64) -> bool {
        match &self.phase {
            Phase::Waiting | Phase::Due => true,
            Phase::Open(open) => index < open.total && !open.handed.has(index),
            Phase::Finished => false,
        }
    }
}
