//! The seam to whatever runs the instance of a flow component: the sandbox, or a script in tests.
//! What the flow asks for meanwhile is in `flow_calls`.

use std::sync::Arc;

use sandmill_wire::{RunId, Value};

use crate::{CallOptions, CancelToken, Component, Events, FlowCalls, Invoker, Report};

/// One instance of a flow: its run, from the beginning.
#[derive(Debug, Clone, Copy)]
pub struct FlowInstance<'a> {
    /// The flow's run. The same whenever it is taken up again.
    pub run: RunId,
    /// The component that holds the flow.
    pub component: &'a Component,
    /// The flow's name in it.
    pub flow: &'a Arc<str>,
    /// One MessagePack map by parameter name.
    pub arguments: &'a Value,
    /// Limits and grants of the instance itself. `limits.timeout` is the time that it may compute:
    /// time that it waits for its calls does not count.
    pub options: &'a Arc<CallOptions>,
    /// Tells the instance to stop.
    pub cancel: &'a CancelToken,
    /// Where its log lines and its progress go.
    pub events: &'a Events,
}

/// Runs the instances of flows besides performing attempts.
pub trait FlowInvoker: Invoker {
    /// Runs a flow on the calling thread, and returns when no guest instruction can run any more.
    /// What the flow calls goes to `calls`, which are dropped before this returns. Never panics;
    /// whatever goes wrong is in the report.
    ///
    /// A flow has to do the same whenever it is told the same: it gets a clock and randomness that
    /// follow from its component, name and arguments, and one that is granted more than environment
    /// variables is `refused`. So is a task that is no flow. Of its circumstances
    /// (`sandmill:task/context`) it sees the id of its run, which stays the same; that it is the
    /// first attempt, has no deadline and is not cancelled is what it sees each time.
    fn run_flow(&self, flow: FlowInstance<'_>, calls: Box<dyn FlowCalls>) -> Report;
}
