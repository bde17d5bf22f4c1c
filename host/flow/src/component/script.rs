//! The runner's side of a flow component's run: starts the instance, tells the runner what to
//! call, and takes in how calls ended.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use sandmill_core::{
    CallOptions, CancelToken, Component, Events, FlowInstance, FlowInvoker, FutureKey, Report,
    TaskFuture,
};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use super::calls::ComponentCalls;
use super::ids::run_id;
use super::shared::Shared;
use crate::schedule::Ended;
use crate::script::{Act, Done, Script, StageId, StageSpec};

/// What the instance of a flow is made of.
pub(super) struct Instance {
    pub(super) run: RunId,
    pub(super) component: Component,
    pub(super) flow: Arc<str>,
    pub(super) arguments: Value,
    pub(super) options: Arc<CallOptions>,
    pub(super) events: Events,
    pub(super) invoker: Arc<dyn FlowInvoker>,
    pub(super) calls: ComponentCalls,
}

/// What a flow component does next, by the word of its instance.
pub(crate) struct ComponentScript {
    flow: RunId,
    shared: Arc<Shared>,
    /// Until the first question.
    instance: Option<Box<Instance>>,
    thread: Option<JoinHandle<()>>,
    /// Why the flow was stopped.
    stopped: Option<Outcome>,
    /// Whether the instance had ended by itself before that.
    had_ended: bool,
    /// The stage of the last act: the book may have forgotten it.
    last: Option<(StageId, StageSpec)>,
}

/// Says that the instance has ended, also when its thread panics.
struct Ending {
    shared: Arc<Shared>,
    report: Option<Report>,
}

impl Ending {
    fn say(&mut self, report: Report) {
        self.report = Some(report);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let report = self.report.take().unwrap_or_else(|| {
            Report::unstarted(End::new(
                EndKind::HostError,
                "a panic of the host while running the flow",
            ))
        });
        let mut inner = self.shared.lock();
        inner.report = Some(report);
        // When the flow is stopped, its runs are the runner's to stop: they may be interrupted.
        if inner.stopped.is_none() {
            inner.book.let_all_go();
        }
        inner.wake_runner();
    }
}

impl ComponentScript {
    pub(super) fn new(instance: Instance, shared: Arc<Shared>) -> Self {
        Self {
            flow: instance.run,
            shared,
            instance: Some(Box::new(instance)),
            thread: None,
            stopped: None,
            had_ended: false,
            last: None,
        }
    }

    /// Starts the instance on a thread of its own.
    fn start(&mut self) {
        let Some(instance) = self.instance.take() else { return };
        let mut ending = Ending { shared: Arc::clone(&self.shared), report: None };
        let cancel: CancelToken = self.shared.cancel.clone();
        let run = move || {
            let Instance { run, component, flow, arguments, options, events, invoker, calls } =
                *instance;
            let flow = FlowInstance {
                run,
                component: &component,
                flow: &flow,
                arguments: &arguments,
                options: &options,
                cancel: &cancel,
                events: &events,
            };
            ending.say(invoker.run_flow(flow, Box::new(calls)));
        };
        // When no thread can be had, the closure goes, and says that it has ended.
        let name = "sandmill-flow-guest".to_owned();
        match std::thread::Builder::new().name(name).spawn(run) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                let what = format!("no thread for the flow could be started: {error}");
                self.shared.fail(End::new(EndKind::HostError, what).into());
            }
        }
    }

    fn end(&self, stage: StageId, index: Option<u64>, done: &Done<'_>) {
        let key = FutureKey { command: stage, index };
        let mut inner = self.shared.lock();
        inner.book.end(key, done.outcome.clone(), Some(done.state));
        drop(inner);
        self.shared.ring();
    }
}

impl Script for ComponentScript {
    fn poll_act(&mut self, context: &mut Context<'_>) -> Poll<Option<Act>> {
        self.start();
        let mut inner = self.shared.lock();
        inner.set_waker(context.waker());
        let act = inner.book.next_act();
        if let Some(act) = &act {
            let (Act::Sized { stage, .. }
            | Act::Run { stage, .. }
            | Act::End { stage, .. }
            | Act::Cancel { stage, .. }) = act;
            if let Some(spec) = inner.book.spec(*stage) {
                self.last = Some((*stage, spec.clone()));
            }
        }
        let is_over = inner.report.is_some() && inner.book.is_handed_out();
        drop(inner);
        // What was told may be what the instance waits for.
        if act.is_some() {
            self.shared.ring();
        }
        match act {
            Some(act) => Poll::Ready(Some(act)),
            None if is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn poll_cancel(&mut self, context: &mut Context<'_>) -> Poll<Act> {
        let mut inner = self.shared.lock();
        inner.set_waker(context.waker());
        match inner.book.cancels.pop_front() {
            Some((stage, index)) => Poll::Ready(Act::Cancel { stage, index }),
            None => Poll::Pending,
        }
    }

    fn stage(&self, stage: StageId) -> StageSpec {
        let inner = self.shared.lock();
        let spec = inner.book.spec(stage).cloned();
        drop(inner);
        let last =
            || self.last.as_ref().filter(|(of, _)| *of == stage).map(|(_, spec)| spec.clone());
        spec.or_else(last).expect("a stage is asked for before its first act is done")
    }

    fn on_done(&mut self, stage: StageId, index: Option<u64>, run: RunId, ended: Ended) {
        // Only a runner that does not know of `on_outcome` comes here: what it does not say of a
        // failure is lost.
        let outcome = match ended {
            Ended::Value(value) => Outcome::Value(value),
            Ended::Skipped => End::new(EndKind::Skipped, "it was skipped").into(),
            Ended::Failed(blame) => End::new(EndKind::HostError, blame.to_string()).into(),
        };
        let state =
            sandmill_core::State::from_outcome(&outcome, self.shared.lock().book.clock.now());
        self.end(stage, index, &Done { run, name: "", state: &state, outcome: &outcome });
    }

    fn run_id(&self, stage: StageId, index: Option<u64>) -> Option<RunId> {
        Some(run_id(self.flow, stage, index))
    }

    fn wrote_end(&mut self, stage: StageId, index: Option<u64>) -> bool {
        self.shared.lock().book.wrote(FutureKey { command: stage, index })
    }

    fn cancel_token(
        &mut self,
        stage: StageId,
        index: Option<u64>,
        with: &CancelToken,
    ) -> Option<CancelToken> {
        let (key, token) = (FutureKey { command: stage, index }, with.child());
        self.shared.lock().book.calling(key, token.clone());
        Some(token)
    }

    fn on_submitted(&mut self, stage: StageId, index: Option<u64>, future: &TaskFuture) {
        let key = FutureKey { command: stage, index };
        self.shared.lock().book.submitted(key, future);
    }

    fn on_outcome(&mut self, stage: StageId, index: Option<u64>, done: &Done<'_>) {
        self.end(stage, index, done);
    }

    fn stop(&mut self, why: &Outcome) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(why.clone());
        let mut inner = self.shared.lock();
        self.had_ended = inner.report.is_some();
        inner.stop(why);
        drop(inner);
        self.shared.cancel.cancel();
        self.shared.ring();
    }

    fn conclusion(&mut self) -> Outcome {
        if self.instance.is_some() {
            // It was stopped before it was started.
            let never = || End::new(EndKind::HostError, "the flow was never started").into();
            return self.stopped.clone().unwrap_or_else(never);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of it was noticed where it ended.
            let _noticed = thread.join();
        }
        let mut inner = self.shared.lock();
        let outcome = match inner.book.verdict.clone() {
            Some(verdict) => verdict,
            None => match inner.report.take() {
                Some(report) => report.outcome,
                None => End::new(EndKind::HostError, "the flow did not say how it ended").into(),
            },
        };
        match &self.stopped {
            // Whether it was stopped or failed by itself cannot be told apart.
            Some(why) if !self.had_ended && matches!(outcome, Outcome::Ended(_)) => why.clone(),
            _ => outcome,
        }
    }

    fn known_stages(&self) -> Vec<StageId> {
        Vec::new()
    }
}

impl Drop for ComponentScript {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody answers the instance any more.
            let gone = End::new(EndKind::Cancelled, "nobody runs the flow any more");
            self.shared.lock().stop(&gone.into());
            self.shared.cancel.cancel();
            self.shared.ring();
            let _noticed = thread.join();
        }
    }
}
