//! What a host needs to know to start a flow that is written down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{Component, Executor, Limits};
use sandmill_flow::{FlowRunFuture, Plan};
use sandmill_wire::{RunId, Value};

/// A flow file that was read and checked.
#[derive(Debug, Clone)]
pub struct PlannedFlow {
    /// What is run.
    pub plan: Arc<Plan>,
    /// The text of the file: what the plan is made of again.
    pub text: String,
    /// Where the file is: relative paths in it start from its folder.
    pub path: PathBuf,
}

/// A flow that is code in a component, with what it is called with.
#[derive(Debug, Clone)]
pub struct CodedFlow {
    /// The component that holds it.
    pub component: Component,
    /// Its name there.
    pub flow: Arc<str>,
    /// One MessagePack map by parameter name.
    pub arguments: Value,
    /// Other components whose tasks and flows it may call, by its names for them. Its own needs no
    /// name.
    pub components: BTreeMap<String, Component>,
}

/// How a flow that is written down is started.
#[derive(Default)]
pub struct FlowStart {
    /// The run's id; a new one by default.
    pub run: Option<RunId>,
    /// No two flow runs have the same one: where one has it already, no other is made.
    pub idempotency_key: Option<String>,
    /// Words by which the run can be found, besides the flow's own.
    pub labels: Vec<String>,
    /// What the caller sets over the flow's own: only the caller reads it, when the flow is taken
    /// up again.
    pub overrides: String,
    /// How it is run.
    pub resume: ResumeOptions,
}

/// How a flow is run, each time that it is started or taken up again.
#[derive(Default)]
pub struct ResumeOptions {
    /// What its calls are made on, in place of the host's executor: one that wraps it, say. It has
    /// to tell of its runs to the host's events.
    pub executor: Option<Arc<dyn Executor>>,
    /// Whether that executor grants its runs more than the flow does: then none of them is taken
    /// for a function of its arguments alone.
    pub granted: bool,
    /// How long the flow may take this time, in place of its own timeout.
    pub timeout: Option<Duration>,
    /// When it has to have ended, besides.
    pub deadline: Option<Instant>,
    /// What every call may use unless the flow says otherwise; the host's by default. A flow file
    /// that is started has them in its plan already.
    pub limits: Option<Limits>,
}

/// How a flow run is repeated.
#[derive(Default)]
pub struct RerunOptions {
    /// Uses the results of all runs that completed, so that only the others are run; else only of
    /// those to which nothing was granted, because these would come to the same again. Either way
    /// only where component, task and arguments are the same.
    pub only_failed: bool,
    /// Uses no results at all.
    pub fresh: bool,
    /// Runs what is at the flow's path now, in place of what the store has of it. Parameters of the
    /// earlier run that it does not have any more are left out. The results of all runs that
    /// completed are used again, where component, task and arguments are still the same.
    pub updated: bool,
    /// Parameters in place of those that the flow run had.
    pub parameters: BTreeMap<String, Value>,
    /// How the new run is started. Its labels come besides those of the old one; without
    /// overrides of its own it has those of the old one.
    pub start: FlowStart,
}

/// What became of a flow that was to be started.
#[derive(Debug)]
pub enum StartedFlow {
    /// It runs.
    New(FlowRunFuture),
    /// There is a flow run with its idempotency key.
    Exists(RunId),
}

/// What became of a flow run that nobody ran and that was to be cancelled.
#[derive(Debug)]
pub enum CancelledFlow {
    /// It has ended.
    Ended {
        /// Why its hook on exit was not called, where it may have one.
        hook_lost: Option<String>,
    },
    /// Its hook on exit is called; then it ends.
    Ending(FlowRunFuture),
}
