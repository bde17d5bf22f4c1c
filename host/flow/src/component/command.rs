//! One command of a flow component (a call, or a map) and its runs: which were handed out, which
//! have ended, what of their results is kept, and who may still ask for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use sandmill_core::{CancelToken, State, TaskFuture};
use sandmill_wire::{End, EndKind, Outcome, Value};

use super::inputs::{Given, Opened, Source};
use crate::schedule::{Blame, Marks};
use crate::script::StageSpec;

/// Why a run that was never called has ended, when the flow had it so.
pub(super) const CANCELLED_UNCALLED: &str = "it was cancelled before it was called";

/// How a run ended, as far as it is in memory.
pub(super) enum Kept {
    Value(Value),
    Other(Box<Outcome>),
    /// It was never called, because it was cancelled.
    Uncalled,
}

impl Kept {
    pub(super) fn new(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Value(value) => Self::Value(value),
            Outcome::Ended(end)
                if end.kind == EndKind::Cancelled && end.message == CANCELLED_UNCALLED =>
            {
                Self::Uncalled
            }
            other => Self::Other(Box::new(other)),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Value(value) => Outcome::Value(value.clone()),
            Self::Other(outcome) => Outcome::clone(outcome),
            Self::Uncalled => End::new(EndKind::Cancelled, CANCELLED_UNCALLED).into(),
        }
    }

    /// Bytes, roughly.
    pub(super) fn bytes(&self) -> u64 {
        let own = match self {
            Self::Value(value) => value.len_bytes(),
            Self::Other(outcome) => match &**outcome {
                Outcome::Failure(failure) => {
                    failure.message.len() + failure.details.as_ref().map_or(0, Value::len_bytes)
                }
                Outcome::Ended(end) => {
                    end.message.len() + end.backtrace.iter().map(String::len).sum::<usize>()
                }
                Outcome::Value(value) => value.len_bytes(),
            },
            Self::Uncalled => 0,
        };
        own as u64 + OVERHEAD
    }
}

/// A run that was handed out and has not ended.
#[derive(Default)]
pub(super) struct Flying {
    /// None until an executor has it; one that runs calls on the runner's thread gives it back when
    /// it has ended.
    pub(super) future: Option<TaskFuture>,
    /// Cancels it until then.
    pub(super) cancel: Option<CancelToken>,
    /// Whether it was to be cancelled.
    pub(super) asked: bool,
}

/// Bytes that keeping a result takes besides the result.
const OVERHEAD: u64 = 128;

/// One command.
pub(super) struct Command {
    pub(super) spec: StageSpec,
    /// Length of the longest chain of commands that it takes results from.
    pub(super) depth: u32,
    pub(super) given: Given,
    pub(super) sources: Vec<Source>,
    /// Sources that are not there yet.
    pub(super) waiting: usize,
    /// Bytes of `given`, or of what became of it.
    pub(super) bytes: u64,
    /// Its arguments, from when its sources are there until nothing is left to hand out.
    pub(super) opened: Option<Box<Opened>>,
    /// How many runs it has; one for a call.
    pub(super) total: Option<u64>,
    /// Why a map has no runs at all.
    pub(super) failed: Option<Outcome>,
    /// No run of it is called any more.
    pub(super) cut: bool,
    /// Whether it is one of those that have something to hand out.
    pub(super) is_ready: bool,
    /// The first position that was not looked at, where runs are handed out in order.
    next: u64,
    /// What can be handed out, where its runs wait for others one by one.
    pub(super) due: VecDeque<u64>,
    pub(super) handed: Marks,
    pub(super) handed_count: u64,
    /// Handed out and not ended.
    pub(super) flying: HashMap<u64, Flying>,
    pub(super) ended: Marks,
    pub(super) ended_count: u64,
    /// Those of them that neither completed nor were skipped.
    pub(super) unsuccessful: Marks,
    pub(super) kept: BTreeMap<u64, Kept>,
    /// Final states that do not follow from the outcome, such as `Cached`.
    pub(super) odd_states: BTreeMap<u64, State>,
    /// Who is to blame for runs that were not called.
    pub(super) blames: BTreeMap<u64, Arc<Blame>>,

    /// Handles on all of it.
    pub(super) holds: u32,
    /// Handles on single runs.
    pub(super) holds_on: HashMap<u64, u32>,
    /// Commands that wait for all its results.
    pub(super) needs: u32,
    /// Commands that wait for single results.
    pub(super) needs_on: HashMap<u64, u32>,
    /// Commands that take its results one by one, and have not taken all.
    pub(super) pipes: Vec<u32>,
    /// Sets in which it is watched.
    pub(super) watchers: Vec<u32>,

    /// Commands to tell when a run has ended.
    pub(super) on_run: HashMap<u64, Vec<u32>>,
    /// Commands to tell when all has ended.
    pub(super) on_all: Vec<u32>,
    /// Commands to tell when it is known how many runs there are.
    pub(super) on_size: Vec<u32>,
    /// Whether everything of it has ended, and others know.
    pub(super) was_finished: bool,
    /// Acts on it that were not told yet.
    pub(super) untold: u32,
}

impl Command {
    pub(super) fn new(spec: StageSpec, given: Given) -> Self {
        let total = (!spec.mapped).then_some(1);
        // The command itself is a handle: on its one run, or on all.
        let holds_on = if spec.mapped { HashMap::new() } else { HashMap::from([(0, 1)]) };
        Self {
            sources: given.sources(),
            bytes: given.bytes(),
            holds: u32::from(spec.mapped),
            holds_on,
            total,
            spec,
            given,
            depth: 0,
            waiting: 0,
            opened: None,
            failed: None,
            cut: false,
            is_ready: false,
            next: 0,
            due: VecDeque::new(),
            handed: Marks::default(),
            handed_count: 0,
            flying: HashMap::new(),
            ended: Marks::default(),
            ended_count: 0,
            unsuccessful: Marks::default(),
            kept: BTreeMap::new(),
            odd_states: BTreeMap::new(),
            blames: BTreeMap::new(),
            needs: 0,
            needs_on: HashMap::new(),
            pipes: Vec::new(),
            watchers: Vec::new(),
            on_run: HashMap::new(),
            on_all: Vec::new(),
            on_size: Vec::new(),
            was_finished: false,
            untold: 0,
        }
    }

    /// A run's position as others name it.
    pub(super) const fn index(&self, position: u64) -> Option<u64> {
        if self.spec.mapped { Some(position) } else { None }
    }

    /// The name of a run.
    pub(super) fn name(&self, index: Option<u64>) -> Arc<str> {
        match index {
            Some(index) => format!("{}[{index}]", self.spec.name).into(),
            None => Arc::clone(&self.spec.name),
        }
    }

    /// Whether its runs wait for those of other commands one by one.
    pub(super) fn is_piped(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Pipe(_)))
    }

    /// Whether everything there is of it has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.failed.is_some() || self.total.is_some_and(|total| self.ended_count >= total)
    }

    /// Whether runs are left that were not handed out.
    pub(super) fn has_left(&self) -> bool {
        self.failed.is_none() && self.total.is_none_or(|total| self.handed_count < total)
    }

    /// Takes the next run that can be handed out, or that never will be.
    pub(super) fn take(&mut self) -> Option<u64> {
        let total = self.total?;
        if self.is_piped() && !self.cut {
            while let Some(index) = self.due.pop_front() {
                if self.hand(index) {
                    return Some(index);
                }
            }
            return None;
        }
        while self.next < total {
            let index = self.next;
            self.next += 1;
            if self.hand(index) {
                return Some(index);
            }
        }
        None
    }

    /// Marks a run as handed out; whether it was not before.
    pub(super) fn hand(&mut self, index: u64) -> bool {
        if self.handed.has(index) {
            return false;
        }
        self.handed.set(index);
        self.handed_count += 1;
        true
    }

    /// Whether nobody can ask for anything of it any more.
    pub(super) fn is_forgotten(&self) -> bool {
        self.holds == 0
            && self.holds_on.is_empty()
            && self.needs == 0
            && self.needs_on.is_empty()
            && self.pipes.is_empty()
            && self.watchers.is_empty()
    }
}

/// Counts one less.
pub(super) fn count_down(counts: &mut HashMap<u64, u32>, index: u64) {
    if let Some(count) = counts.get_mut(&index) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&index);
        }
    }
}
