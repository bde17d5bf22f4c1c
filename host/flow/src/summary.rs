//! What a flow's run came to, task by task: numbers by state, and the runs that did not complete.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sandmill_core::{State, StateType};
use sandmill_wire::RunId;

/// Most runs that a report lists among those that did not complete; of the others only the number
/// is. Events tell of every one.
pub const MAX_FAILED_LISTED: usize = 1_000;

/// Most stages that a report tells apart; what further ones come to is added to the last. Flow
/// files stay far below it; a flow component may make up names as it likes.
pub const MAX_STAGES_LISTED: usize = 4_096;

/// The name of what stands for all stages beyond [`MAX_STAGES_LISTED`].
const OTHERS: &str = "(others)";

/// What a flow's run has come to so far.
#[derive(Debug, Clone)]
pub struct FlowReport {
    /// The flow's name.
    pub flow: Arc<str>,
    /// The id of its run.
    pub run: RunId,
    /// Its tasks by name, in the order of the file; those of a flow component in the order in which
    /// it first called them.
    pub stages: Vec<StageReport>,
    /// Runs that did not complete, in the order in which they ended: at most
    /// [`MAX_FAILED_LISTED`].
    pub failed: Vec<FailedRun>,
    /// How many more there are.
    pub failed_unlisted: u64,
    /// What became of the hooks that were called, in their order.
    pub hooks: Vec<HookReport>,
}

/// What became of a hook.
#[derive(Debug, Clone)]
pub struct HookReport {
    /// `on_start` or `on_exit`.
    pub hook: &'static str,
    /// Its run.
    pub run: RunId,
    /// How it ended.
    pub state: State,
}

/// What the runs of one task have come to so far.
#[derive(Debug, Clone)]
pub struct StageReport {
    /// The task's name in the flow.
    pub name: Arc<str>,
    /// Whether it runs once for each element of something.
    pub mapped: bool,
    /// How many runs it has; none while that is not known.
    pub total: Option<u64>,
    /// How many runs were submitted and have not ended.
    pub running: u64,
    /// How many runs have ended, by the name of their final state: `Completed`, `TimedOut`,
    /// `TriggerFailed`, ….
    pub ended: BTreeMap<Cow<'static, str>, u64>,
    /// How many of them completed.
    pub completed: u64,
    /// How many of those that have ended were not run for it: they had ended before the flow was
    /// taken up again, or their results are those of the flow run that this one is based on.
    pub reused: u64,
}

/// A run that did not complete.
#[derive(Debug, Clone)]
pub struct FailedRun {
    /// Its id.
    pub run: RunId,
    /// Its name: `count[17]`.
    pub name: Arc<str>,
    /// How it ended.
    pub state: State,
}

impl StageReport {
    /// How many runs have ended, however.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ended.values().sum()
    }

    /// How many runs have ended and did not complete.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.done() - self.completed
    }
}

impl FlowReport {
    pub(crate) fn new(flow: Arc<str>, run: RunId) -> Self {
        let (stages, failed, hooks) = (Vec::new(), Vec::new(), Vec::new());
        Self { flow, run, stages, failed, failed_unlisted: 0, hooks }
    }

    /// Adds a stage of this name; where it is in the list. Runs of a stage that is not mapped count
    /// as they come.
    pub(crate) fn add(&mut self, name: &Arc<str>, mapped: bool) -> usize {
        let full = self.stages.len() >= MAX_STAGES_LISTED;
        let name = if full { &Arc::from(OTHERS) } else { name };
        let last = self.stages.last().is_some_and(|stage| stage.name == *name);
        if !(full && last) {
            self.stages.push(StageReport {
                name: Arc::clone(name),
                mapped,
                total: None,
                running: 0,
                ended: BTreeMap::new(),
                completed: 0,
                reused: 0,
            });
        }
        self.stages.len() - 1
    }

    pub(crate) fn ended(&mut self, stage: usize, run: RunId, name: &str, state: State) {
        let stage = &mut self.stages[stage];
        *stage.ended.entry(state.name.clone()).or_default() += 1;
        if state.kind == StateType::Completed {
            stage.completed += 1;
        } else if self.failed.len() < MAX_FAILED_LISTED {
            self.failed.push(FailedRun { run, name: name.into(), state });
        } else {
            self.failed_unlisted += 1;
        }
    }

    /// How many runs have ended, over all tasks.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.stages.iter().map(StageReport::done).sum()
    }

    /// How many runs have ended and did not complete, over all tasks.
    #[must_use]
    pub fn failed_count(&self) -> u64 {
        self.stages.iter().map(StageReport::failed).sum()
    }
}
