//! What a flow's run is started with, and the seam to whatever runs the flows of components.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{CallOptions, CancelToken, Component, Submitted};
use sandmill_store::Journal;
use sandmill_wire::{RunId, Value};

use crate::flow_future::FlowRunFuture;
use crate::plan::Plan;
use crate::plan_script::PlanScript;
use crate::policy::Hook;
use crate::script::Script;

/// A flow to run: what it does next, and what goes around it.
pub struct FlowProgram {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub script: Box<dyn Script>,
    /// How long it may take from when it is started, or taken up again.
    pub timeout: Option<Duration>,
    /// What is called before anything else, once.
    pub on_start: Option<Hook>,
    /// What is called when it ends, however.
    pub on_exit: Option<Hook>,
}

impl FlowProgram {
    /// A plan's.
    #[must_use]
    pub fn of_plan(plan: Arc<Plan>) -> Self {
        Self {
            name: Arc::clone(plan.name()),
            timeout: plan.timeout(),
            on_start: plan.on_start().cloned(),
            on_exit: plan.on_exit().cloned(),
            script: Box::new(PlanScript::new(plan)),
        }
    }
}

/// How a flow's run is started.
#[derive(Default)]
pub struct StartOptions {
    /// The run's id; a new one by default. That of the journal, where there is one.
    pub id: Option<RunId>,
    /// Where it is written down. A journal that was taken up says what has ended already: that is
    /// not run again.
    pub journal: Option<Journal>,
    /// The flow run whose results are used again where they still apply. Needs a journal.
    pub rerun: Option<Rerun>,
    /// How long the flow may take this time, in place of its own timeout.
    pub timeout: Option<Duration>,
    /// When the flow has to have ended, besides its own timeout.
    pub deadline: Option<Instant>,
    /// Whether the executor grants its runs more than the flow says: then none of them is taken
    /// for a pure function of its arguments.
    pub granted: bool,
    /// The flow run that this one is part of.
    pub part: Option<Part>,
    /// Ends the flow as cancelled in place of running it, for this reason: nothing of it is called
    /// but its hook on exit. One that is taken up and was about to end otherwise ends so.
    pub cancelled: Option<Arc<str>>,
}

/// How a flow's run is part of another.
pub struct Part {
    /// How it is told of.
    pub submitted: Submitted,
    /// Cancels it for good when it is cancelled: the outer flow's.
    pub cancel: CancelToken,
}

/// Which results of an earlier run of a flow are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rerun {
    /// The earlier flow run.
    pub of: RunId,
    /// Which of its results.
    pub reuse: Reuse,
}

/// Which results of an earlier run of a flow are used again, where component, task and arguments
/// are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Those of runs to which nothing was granted: these are functions of just that.
    Pure,
    /// Those of all that completed: what failed is run again.
    Completed,
}

/// Runs the flows of components, as parts of other flows.
pub trait SubFlows: Send + Sync {
    /// Starts the run. Never fails: what goes wrong arrives through the future.
    fn start(&self, call: SubFlowCall) -> FlowRunFuture;
}

/// A flow of a component to be run as part of another flow.
#[derive(Debug, Clone)]
pub struct SubFlowCall {
    /// The component that holds it.
    pub component: Component,
    /// Its name there.
    pub flow: Arc<str>,
    /// The argument map.
    pub arguments: Value,
    /// Limits, grants, deadline and so on. Its `parent` is the outer flow's run, its `cancel` ends
    /// the run for good. When the outer flow is interrupted, the runner interrupts the future.
    pub options: Arc<CallOptions>,
    /// Position in a map.
    pub index: Option<u64>,
    /// Its id.
    pub run: RunId,
    /// Whether the outer flow is written down: then this one has to be too, below it.
    pub journaled: bool,
    /// Whether a run of this id may be in the store, to be taken up.
    pub taken_up: bool,
    /// Which results of an earlier run are used again.
    pub rerun: Option<Rerun>,
    /// See [`StartOptions::granted`].
    pub granted: bool,
}

impl SubFlowCall {
    /// How the run is told of.
    #[must_use]
    pub fn submitted(&self) -> Submitted {
        let stage = self.options.name.as_ref().unwrap_or(&self.flow);
        Submitted {
            name: match self.index {
                Some(index) => format!("{stage}[{index}]").into(),
                None => Arc::clone(stage),
            },
            stage: Arc::clone(stage),
            map_index: self.index,
            parent: self.options.parent,
            component: Some(self.component.digest()),
        }
    }
}
