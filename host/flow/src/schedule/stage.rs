//! Where one task of a flow stands: which of its runs were handed out, which have ended, and what
//! of their results is still needed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sandmill_wire::{RunId, Value};

use super::blame::Blame;
use super::inputs::Inputs;
use super::marks::Marks;
use super::piece::Piece;
use super::trigger::Tally;

/// Where one task stands.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) phase: Phase,
    /// How many of the things it waits for are not there yet: tasks to end, and mapped tasks to
    /// know how many runs they have.
    pub(super) waiting: usize,
    /// Who will yet read all results at once.
    pub(super) readers: usize,
    /// Whether somebody takes the states of its runs.
    pub(super) told: bool,
    /// Results that somebody needs still, by position.
    pub(super) results: BTreeMap<u64, Value>,
    /// Why runs did not complete, for those that need to know of each, by position.
    pub(super) blames: BTreeMap<u64, Arc<Blame>>,
    /// Ids of runs, for those that take their states, by position.
    pub(super) runs: BTreeMap<u64, RunId>,
    /// Which runs were skipped.
    pub(super) skipped: Marks,
    /// Which runs have ended.
    pub(super) ended: Marks,
    /// Runs that were never handed out.
    pub(super) cut: Cut,
    /// Runs that were told of before the flow was taken up, and how many of them have not ended
    /// again.
    pub(super) started: Marks,
    pub(super) started_left: u64,
    /// Whether runs of a map were told of all at once then, and have not been again.
    pub(super) whole_left: bool,
    /// Whether it or something after it was told of then.
    pub(super) spared: bool,
    /// How its runs ended. One that ended before it had any counts as one run.
    pub(super) tally: Tally,
    /// How many runs failed, and not because of others.
    pub(super) failures: u64,
    /// Whether it hands out nothing any more, because too many of its runs failed.
    pub(super) closed: bool,
    /// The first run that did not complete, by position: the same in whatever order they end.
    pub(super) blame: Option<Arc<Blame>>,
    blame_at: u64,
    /// How many runs there are; known once it is open.
    pub(super) total: Option<u64>,
}

/// Runs of a map that ended all at once, without having been handed out.
#[derive(Default)]
pub(super) struct Cut {
    /// Those that count as failed.
    pub(super) failed: Marks,
    /// Why they do.
    pub(super) blame: Option<Arc<Blame>>,
    /// Those that were skipped.
    pub(super) skipped: Marks,
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
    /// Which runs were handed out, or never will be.
    pub(super) handed: Marks,
    /// Runs that are handed out and have not ended.
    pub(super) running: BTreeSet<u64>,
    pub(super) left: u64,
    /// Runs that could be handed out and have to wait for those that were before.
    pub(super) deferred: VecDeque<u64>,
}

/// Which runs can be handed out.
pub(super) enum Ready {
    /// All from this one on.
    From(u64),
    /// Those whose upstream runs have ended.
    Some(VecDeque<u64>),
}

impl Open {
    /// Takes the next run that can be handed out; of `only` these, if there are some.
    pub(super) fn take(&mut self, only: Option<&Marks>) -> Option<u64> {
        loop {
            let index = match &mut self.ready {
                Ready::From(next) if *next < self.total => {
                    *next += 1;
                    *next - 1
                }
                Ready::From(_) => return None,
                Ready::Some(queue) => queue.pop_front()?,
            };
            if only.is_some_and(|only| !only.has(index)) {
                self.deferred.push_back(index);
            } else if !self.handed.has(index) {
                self.handed.set(index);
                return Some(index);
            }
        }
    }
}

impl Stage {
    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// Whether it ended before it was known how many runs it would have.
    pub(super) const fn is_unsized(&self) -> bool {
        self.is_finished() && self.total.is_none()
    }

    /// Takes notice of a run that did not complete.
    pub(super) fn take_blame(&mut self, index: u64, blame: &Arc<Blame>) {
        if self.blame.is_none() || index < self.blame_at {
            (self.blame, self.blame_at) = (Some(Arc::clone(blame)), index);
        }
    }

    /// Whether it will yet take what is at this position of a task that it maps over.
    pub(super) fn wants(&self, index: u64) -> bool {
        match &self.phase {
            Phase::Waiting | Phase::Due => true,
            Phase::Open(open) => index < open.total && !open.handed.has(index),
            Phase::Finished => false,
        }
    }

    /// What became of the run at a position. A task that ended before it had any runs has its end
    /// at position 0.
    pub(super) fn piece(&self, index: u64) -> Piece {
        if let Some(value) = self.results.get(&index) {
            return Piece::Value(value.clone());
        }
        let blame = if self.cut.failed.has(index) {
            self.cut.blame.as_ref()
        } else {
            self.blames.get(&index)
        };
        match blame.or(self.blame.as_ref()) {
            Some(blame) if !self.skipped.has(index) && !self.cut.skipped.has(index) => {
                Piece::Failed(Arc::clone(blame))
            }
            _ => Piece::Skipped,
        }
    }

    /// What became of each of its runs, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (Option<RunId>, Piece)> {
        (0..self.total.unwrap_or(1))
            .map(|index| (self.runs.get(&index).copied(), self.piece(index)))
    }
}
