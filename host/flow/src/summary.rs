//! What a flow's run came to, task by task: numbers by state, and the runs that did not complete.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sandmill_core::{State, StateType};
use sandmill_wire::RunId;

use crate::plan::{NodeId, Plan};

/// Most runs that a report lists among those that did not complete; of the others only the number
/// is. Events tell of every one.
pub const MAX_FAILED_LISTED: usize = 1_000;

/// What a flow's run has come to so far.
#[derive(Debug, Clone)]
pub struct FlowReport {
    /// The flow's name.
    pub flow: Arc<str>,
    /// The id of its run.
    pub run: RunId,
    /// Its tasks, in the order of the file.
    pub stages: Vec<StageReport>,
    /// Runs that did not complete, in the order in which they ended: at most
    /// [`MAX_FAILED_LISTED`].
    pub failed: Vec<FailedRun>,
    /// How many more there are.
    pub failed_unlisted: u64,
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
    pub(crate) fn new(plan: &Plan, run: RunId) -> Self {
        let stage = |node: &crate::plan::Node| StageReport {
            name: Arc::clone(node.name()),
            mapped: node.is_mapped(),
            total: (!node.is_mapped()).then_some(1),
            running: 0,
            ended: BTreeMap::new(),
            completed: 0,
        };
        Self {
            flow: Arc::clone(plan.name()),
            run,
            stages: plan.nodes().iter().map(stage).collect(),
            failed: Vec::new(),
            failed_unlisted: 0,
        }
    }

    pub(crate) fn ended(&mut self, node: NodeId, run: RunId, name: &str, state: State) {
        let stage = &mut self.stages[node];
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
