//! What is called before a flow's tasks and after them. A hook is a run of the flow like others,
//! with a stage number of its own, so that a flow which is taken up knows whether it was called.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::executor::block_on;
use futures_timer::Delay;
use sandmill_core::future::Promise;
use sandmill_core::units::format_duration;
use sandmill_core::{
    Call, CallOptions, CancelToken, Component, Report, State, Submitted, TaskFuture, Usage,
};
use sandmill_store::{Recorded, RunKey, StageRecord};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use super::drive::Drive;
use super::stop::Stop;
use crate::hook::{Facts, run_command};
use crate::policy::{Hook, HookAction};
use crate::script::StageId;
use crate::summary::HookReport;

/// The stage of the hook before a flow's tasks.
pub const HOOK_START: StageId = u32::MAX - 1;
/// The stage of the hook after them.
pub const HOOK_EXIT: StageId = u32::MAX;
/// The kind of failure of a flow whose hook before its tasks did not complete.
pub const HOOK_FAILED: &str = "hook-failed";

/// Which hook.
#[derive(Clone, Copy)]
struct Which {
    stage: StageId,
    name: &'static str,
}

const ON_START: Which = Which { stage: HOOK_START, name: "on_start" };
const ON_EXIT: Which = Which { stage: HOOK_EXIT, name: "on_exit" };

impl Drive {
    /// Calls the hook before the tasks, unless it was called before and completed. When it does not
    /// complete, no task is called, and the flow fails; the hook on exit is called all the same.
    /// (In Prefect 0.10, `on_start` comes before the `try` whose `finally` calls `on_exit`, so a
    /// failed `on_start` leaves `on_exit` out.)
    pub(super) fn call_on_start(&mut self) {
        let Some(hook) = self.on_start.take() else { return };
        self.notice();
        if self.stop.is_some() {
            return;
        }
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(hook.timeout, |left| left.min(hook.timeout));
        let state = State::running(self.events.clock().now());
        let stop = self.signals.calls.clone();
        match self.call_hook(ON_START, &hook, state, timeout, &stop) {
            Ok(outcome) if outcome.is_success() || outcome.is_skip() => {}
            Ok(outcome) => {
                let state = State::from_outcome(&outcome, self.events.clock().now());
                let what = format!("`on_start` did not complete ({state}), so no task was called");
                self.stop_with(Stop::failed(HOOK_FAILED, what));
            }
            Err(stop) => self.stop_with(stop),
        }
    }

    /// Calls the hook after everything, unless it was called before and has ended; gives the
    /// flow's outcome. What becomes of the hook changes nothing about that. Only when the flow is
    /// interrupted meanwhile, it has not ended: the hook is called again when it is taken up.
    pub(super) fn call_on_exit(&mut self, outcome: Outcome) -> Outcome {
        let Some(hook) = self.on_exit.take() else { return outcome };
        let state = State::from_outcome(&outcome, self.events.clock().now());
        if self.stop.is_some() {
            self.history.decide(&outcome);
        }
        let hurry = self.signals.hurry.clone();
        if let Err(stop) = self.call_hook(ON_EXIT, &hook, state, hook.timeout, &hurry) {
            let outcome = stop.outcome().clone();
            self.stop = Some(stop);
            return outcome;
        }
        outcome
    }

    /// Calls a hook and writes down what became of it. An error when the flow is interrupted.
    fn call_hook(
        &mut self,
        which: Which,
        hook: &Hook,
        state: State,
        timeout: Duration,
        stop: &CancelToken,
    ) -> Result<Outcome, Stop> {
        let key = RunKey { stage: which.stage, index: None };
        let (run, again) = match self.history.recorded(key) {
            Ok(None | Some(Recorded::Corrupt { .. })) => (RunId::new(), None),
            Ok(Some(Recorded::Unfinished { run, .. })) => {
                (run, Some(self.history.past(key).map_err(|error| Stop::unreadable(&error))?))
            }
            Ok(Some(Recorded::Ended { run, outcome, .. })) => {
                self.listed(which, run, &outcome);
                return Ok(outcome);
            }
            Err(error) => return Err(Stop::unreadable(&error)),
        };
        self.history.stage_record(&record(which, hook));
        self.history.begins(key, run, &which.name.into(), Default::default(), again);
        let facts = Facts { flow: Arc::clone(&self.name), run: self.promise.run(), state };
        let (future, outcome) = match &hook.action {
            HookAction::Command { argv, directory } => {
                let submitted = self.submitted_hook(which);
                let (promise, future) =
                    Promise::of_part(run, submitted, stop.child(), &self.events);
                let outcome = if promise.start() {
                    run_command(argv, directory, &facts, timeout, stop, &self.events)
                } else {
                    End::new(EndKind::Cancelled, "the flow stopped before it was called").into()
                };
                promise.finish(Report::new(outcome.clone(), Usage::default()));
                (future, outcome)
            }
            HookAction::Task { component, task, arguments, takes_flow, options } => {
                let arguments = arguments_of(arguments, *takes_flow, &facts);
                let name = Some(which.name.into());
                let parent = Some(self.promise.run());
                let (deadline, cancel) = (Instant::now().checked_add(timeout), Some(stop.clone()));
                let options = CallOptions { name, parent, deadline, cancel, ..(**options).clone() };
                let mut call = Call::new(component, Arc::clone(task), Value::nil())
                    .with_options(options)
                    .taken_up(run, again.unwrap_or_default());
                match arguments {
                    Ok(arguments) => call.arguments = arguments,
                    Err(why) => call = call.refused(why),
                }
                let future = self.executor.submit(call);
                let outcome = wait(&future, timeout, stop);
                (future, outcome)
            }
        };
        let was_stopped = matches!(&outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled);
        if was_stopped && self.signals.interrupt.is_cancelled() {
            let why = self.signals.why();
            self.history.interrupted(key, run, &why);
            return Err(Stop::interrupted(&why));
        }
        self.history.ended(key, &future, &outcome);
        if !outcome.is_success() && !outcome.is_skip() {
            let state = State::from_outcome(&outcome, self.events.clock().now());
            self.history.note("hook", &format!("`{}` did not complete: {state}", which.name));
        }
        self.listed(which, run, &outcome);
        Ok(outcome)
    }

    fn submitted_hook(&self, which: Which) -> Submitted {
        Submitted {
            name: which.name.into(),
            stage: which.name.into(),
            map_index: None,
            parent: Some(self.promise.run()),
            component: None,
        }
    }

    fn listed(&self, which: Which, run: RunId, outcome: &Outcome) {
        let state = State::from_outcome(outcome, self.events.clock().now());
        self.report.lock().hooks.push(HookReport { hook: which.name, run, state });
    }
}

/// What the journal knows of a hook as a stage.
fn record(which: Which, hook: &Hook) -> StageRecord {
    let (component, task) = match &hook.action {
        HookAction::Command { argv, .. } => {
            (None, argv.first().map_or_else(|| "".into(), |program| program.as_str().into()))
        }
        HookAction::Task { component, task, .. } => {
            (Some(Component::digest(component)), Arc::clone(task))
        }
    };
    let (stage, name) = (which.stage, which.name.into());
    StageRecord { stage, name, component, task, mapped: false, total: Some(1) }
}

/// The argument map of a hook's task.
fn arguments_of(
    known: &[(String, Value)],
    takes_flow: bool,
    facts: &Facts,
) -> Result<Value, String> {
    let unfit = |error| format!("the arguments of the hook cannot be made: {error}");
    let flow = takes_flow.then(|| facts.value()).transpose().map_err(unfit)?;
    let known = known.iter().map(|(name, value)| (name.as_str(), value));
    let all: Vec<(&str, &Value)> = known.chain(flow.as_ref().map(|flow| ("flow", flow))).collect();
    Value::map_from(all).map_err(unfit)
}

/// Waits for a hook's task; it is cancelled when its time is over or `stop` is set.
fn wait(future: &TaskFuture, timeout: Duration, stop: &CancelToken) -> Outcome {
    let mut ended = future.clone();
    let mut timer = Delay::new(timeout);
    let mut late = false;
    block_on(poll_fn(|context| {
        if ended.poll_unpin(context).is_ready() {
            return Poll::Ready(());
        }
        if stop.poll_cancelled(context).is_ready() {
            future.cancel();
        } else if !late && timer.poll_unpin(context).is_ready() {
            late = true;
            future.cancel();
        }
        // Cancelling may have ended it here and now.
        ended.poll_unpin(context).map(|_| ())
    }));
    match future.outcome() {
        Some(Outcome::Ended(end)) if late && end.kind == EndKind::Cancelled => {
            let what = format!("the hook was not done within {}", format_duration(timeout));
            End::new(EndKind::TimedOut, what).into()
        }
        Some(outcome) => outcome,
        None => End::new(EndKind::HostError, "the hook's run has no outcome").into(),
    }
}
