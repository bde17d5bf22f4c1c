//! The instance of a flow: like an attempt at a task, with calls of its own. It is made outside of
//! the pool, because it may wait for days, and what it computes has to be the same whenever it is
//! told the same, so nothing but environment variables can be granted to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{CallOptions, FlowCalls, FlowInstance, Grants, Report};
use sandmill_wire::{End, EndKind};

use crate::engine::Kind;
use crate::host::{RunIdentity, State};
use crate::invoke;
use crate::sandbox::Shared;
use crate::stop::StopRule;

/// Handles that a flow may hold, unless its limit is higher: one for each run that it looks at,
/// and the host keeps a few words for each.
pub const FLOW_HANDLES: u32 = 200_000;

/// Runs a flow on this thread.
pub(crate) fn run(
    shared: &Arc<Shared>,
    flow: &FlowInstance<'_>,
    calls: Box<dyn FlowCalls>,
) -> Report {
    perform(shared, flow, calls).unwrap_or_else(Report::unstarted)
}

/// An error is a flow that never started.
fn perform(
    shared: &Arc<Shared>,
    flow: &FlowInstance<'_>,
    calls: Box<dyn FlowCalls>,
) -> Result<Report, End> {
    let input = flow.arguments.len_bytes();
    let mut limits = flow.options.limits.clone();
    invoke::check_limits(&limits, input, shared.config.max_memory)?;
    check_grants(&flow.options.grants)?;
    limits.handles = limits.handles.max(FLOW_HANDLES);
    // A flow never sees that it is cancelled, so there is nothing for it to do meanwhile.
    limits.cancel_grace = Duration::ZERO;
    if flow.cancel.is_cancelled() {
        return Err(End::new(EndKind::Cancelled, "the flow was cancelled before it started"));
    }
    let prepared = shared.prepared.get(shared, flow.component)?;
    if !prepared.info.is_flow(flow.flow) {
        return Err(not_a_flow(flow, prepared.info.task(flow.flow).is_some()));
    }
    let kind = Kind { metered: limits.fuel.is_some(), pooled: false };
    let linked = prepared.linked(shared, flow.component, kind)?;
    let options = CallOptions { limits: limits.clone(), ..CallOptions::clone(flow.options) };
    let identity = RunIdentity {
        run: flow.run,
        // Not how often the flow was taken up: it must not see the difference.
        attempt: 1,
        map_index: None,
        component: flow.component.digest(),
        task: Arc::clone(flow.flow),
        arguments: flow.arguments.clone(),
        options: Arc::new(options),
        events: flow.events.clone(),
    };
    let stop =
        StopRule::new(Instant::now(), limits.timeout, flow.cancel.clone(), limits.cancel_grace)
            .with_allowance();
    let state = State::new(identity, stop).of_flow(calls);
    let finished = invoke::in_store(shared, &linked, state, async |store, task| {
        let arguments = flow.arguments.as_bytes();
        task.sandmill_task_runner().call_run(store, flow.flow, arguments).await
    });
    Ok(invoke::report(finished, input, &limits))
}

fn not_a_flow(flow: &FlowInstance<'_>, is_task: bool) -> End {
    let name = flow.flow.escape_debug().to_string();
    let name = crate::context::cut(&name, 200);
    let what = if is_task { "is a task and no flow" } else { "is not there" };
    End::new(EndKind::Refused, format!("`{name}` {what}: {}", flow.component.origin()))
}

fn check_grants(grants: &Grants) -> Result<(), End> {
    let mut granted = grants.names();
    // What the environment is, is a matter of the flow's run, which keeps it.
    granted.retain(|name| *name != "env");
    if granted.is_empty() {
        return Ok(());
    }
    let message = format!(
        "a flow is granted {}: it has to do the same whenever it is taken up again, so nothing can \
         be granted to it; the tasks that it calls can have grants",
        granted.join(", ")
    );
    Err(End::new(EndKind::Refused, message))
}
