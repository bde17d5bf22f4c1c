//! Runs a plan on an executor. What comes next is the schedule's word; here calls are submitted,
//! their ends waited for, and events sent.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::future::{AsCompleted, Promise, as_completed};
use sandmill_core::{
    Call, CallOptions, EventKind, Events, Executor, Mapped, Report, TaskFuture, Usage,
};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use crate::flow_future::FlowRunFuture;
use crate::plan::{NodeId, Plan};
use crate::schedule::{Blame, Cause, Conclusion, Ended, Schedule, Step};
use crate::summary::FlowReport;

/// Calls that a flow has submitted beyond the executor's slots, for each slot: enough that no slot
/// waits for the runner, and few, because a call that waits in the executor's queue is not
/// overtaken by one of a deeper task.
pub const QUEUED_PER_SLOT: usize = 1;
/// The same, for the executor as a whole.
pub const QUEUED_AT_LEAST: usize = 4;

/// Runs plans on an executor.
#[derive(Clone)]
pub struct FlowRunner {
    executor: Arc<dyn Executor>,
    events: Events,
}

impl FlowRunner {
    /// A runner on an executor that is started; `events` should be those that it was started with.
    #[must_use]
    pub fn new(executor: Arc<dyn Executor>, events: Events) -> Self {
        Self { executor, events }
    }

    /// Starts a run of the plan, on a thread of its own.
    #[must_use]
    pub fn start(&self, plan: Arc<Plan>) -> FlowRunFuture {
        self.start_as(RunId::new(), plan)
    }

    /// As [`FlowRunner::start`], for a run that has its id already.
    #[must_use]
    pub fn start_as(&self, id: RunId, plan: Arc<Plan>) -> FlowRunFuture {
        let (promise, future) = Promise::of_flow(id, plan.name(), &self.events);
        let report = Arc::new(Mutex::new(FlowReport::new(&plan, id)));
        let drive = Drive {
            options: plan
                .nodes()
                .iter()
                .map(|node| {
                    let cancel = Some(promise.cancel_token().clone());
                    Arc::new(CallOptions { parent: Some(id), cancel, ..node.options().clone() })
                })
                .collect(),
            schedule: Schedule::new(Arc::clone(&plan)),
            window: self
                .executor
                .slots()
                .saturating_mul(1 + QUEUED_PER_SLOT)
                .saturating_add(QUEUED_AT_LEAST),
            executor: Arc::clone(&self.executor),
            events: self.events.clone(),
            report: Arc::clone(&report),
            group: as_completed([], None),
            flying: HashMap::new(),
            cancelled: false,
            plan,
            promise,
        };
        // When no thread can be had, the promise goes with the closure, and the run ends with it.
        let name = "sandmill-flow".to_owned();
        let _unjoined = std::thread::Builder::new().name(name).spawn(move || drive.run());
        FlowRunFuture { future, report }
    }
}

/// One run of a plan, on its thread.
struct Drive {
    plan: Arc<Plan>,
    schedule: Schedule,
    executor: Arc<dyn Executor>,
    events: Events,
    promise: Promise,
    /// What the calls of each task have in common.
    options: Vec<Arc<CallOptions>>,
    report: Arc<Mutex<FlowReport>>,
    /// The calls under way.
    group: AsCompleted,
    /// Which of the flow's runs they are.
    flying: HashMap<RunId, (NodeId, Option<u64>, TaskFuture)>,
    window: usize,
    cancelled: bool,
}

/// What a wait brought.
enum Woken {
    Ended(TaskFuture),
    Room,
    Cancelled,
}

impl Drive {
    fn run(mut self) {
        if !self.promise.start() {
            return;
        }
        loop {
            let blocked = self.submit_what_is_ready();
            if self.flying.is_empty() && !blocked {
                break;
            }
            match self.wait(blocked) {
                Woken::Ended(future) => self.settle(&future),
                Woken::Room => {}
                Woken::Cancelled => self.cancel(),
            }
        }
        let outcome = self.outcome();
        self.promise.finish(Report::new(outcome, Usage::default()));
    }

    /// Submits calls up to the window; whether the executor had no room for more.
    fn submit_what_is_ready(&mut self) -> bool {
        while self.flying.len() < self.window {
            // What has ended comes first: what follows from it may be deeper than what is next, and
            // an executor that runs calls right here has ended its own already.
            self.settle_what_ended();
            if !self.cancelled && self.promise.cancel_token().is_cancelled() {
                self.cancel();
            }
            if self.cancelled {
                return false;
            }
            if self.executor.room().now_or_never().is_none() {
                return true;
            }
            match self.schedule.next_step() {
                None => return false,
                Some(Step::Mapped { node, total }) => self.tell_size(node, total),
                Some(Step::End { node, index, cause }) => self.end_unstarted(node, index, cause),
                Some(Step::Cancel { node, index }) => {
                    let meant = |(of, at, _): &&(NodeId, Option<u64>, TaskFuture)| {
                        *of == node && (index.is_none() || *at == index)
                    };
                    self.flying.values().filter(meant).for_each(|(.., future)| future.cancel());
                }
                Some(Step::Run { node, index, arguments }) => {
                    let call = self.call(node, index, arguments);
                    self.report.lock().stages[node].running += 1;
                    let future = self.executor.submit(call);
                    self.flying.insert(future.id(), (node, index, future.clone()));
                    self.group.add_new(future);
                }
            }
        }
        false
    }

    /// Takes in the calls that have ended so far, without waiting.
    fn settle_what_ended(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(future))) = self.group.poll_completed(&mut context) {
            self.settle(&future);
        }
    }

    /// Waits until a call ends, or there is something else to do.
    fn wait(&mut self, for_room: bool) -> Woken {
        let Self { group, promise, executor, cancelled, .. } = self;
        let token = promise.cancel_token();
        let mut room = for_room.then(|| executor.room());
        block_on(poll_fn(|context| {
            if !*cancelled && token.poll_cancelled(context).is_ready() {
                return Poll::Ready(Woken::Cancelled);
            }
            if let Poll::Ready(Some(Ok(future))) = group.poll_completed(context) {
                return Poll::Ready(Woken::Ended(future));
            }
            match &mut room {
                Some(room) => room.as_mut().poll(context).map(|()| Woken::Room),
                None => Poll::Pending,
            }
        }))
    }

    fn cancel(&mut self) {
        self.cancelled = true;
        self.schedule.stop();
        self.group.cancel();
    }

    fn call(&self, node: NodeId, index: Option<u64>, arguments: Value) -> Call {
        let planned = &self.plan.nodes()[node];
        let call = Call::new(planned.component(), Arc::clone(planned.task()), arguments)
            .with_options(Arc::clone(&self.options[node]));
        match index {
            Some(index) => call.at_index(index),
            None => call,
        }
    }

    /// Takes notice that a call has ended.
    fn settle(&mut self, future: &TaskFuture) {
        let (Some((node, index, _)), Some(outcome)) =
            (self.flying.remove(&future.id()), future.outcome())
        else {
            return;
        };
        let state = future.state();
        let ended = match outcome {
            Outcome::Value(value) => Ended::Value(value),
            outcome if outcome.is_skip() => Ended::Skipped,
            Outcome::Failure(_) | Outcome::Ended(_) => {
                Ended::Failed(Blame::new(future.name(), Some(future.id()), &state))
            }
        };
        {
            let mut report = self.report.lock();
            report.stages[node].running -= 1;
            report.ended(node, future.id(), future.name(), state);
        }
        self.schedule.on_done(node, index, future.id(), ended);
    }

    /// Makes a run that never starts visible: it is submitted and has ended.
    fn end_unstarted(&mut self, node: NodeId, index: Option<u64>, cause: Cause) {
        let call = self.call(node, index, Value::nil());
        let (promise, future) = Promise::new(&call, &self.events);
        let outcome = cause.outcome();
        promise.finish(Report::new(outcome, Usage::default()));
        let mut report = self.report.lock();
        if index.is_none() {
            report.stages[node].total = Some(1);
        }
        report.ended(node, future.id(), future.name(), future.state());
    }

    fn tell_size(&self, node: NodeId, total: u64) {
        self.report.lock().stages[node].total = Some(total);
        let stage = Arc::clone(self.plan.nodes()[node].name());
        self.events.emit(self.promise.run(), || EventKind::Mapped(Mapped { stage, total }));
    }

    fn outcome(&self) -> Outcome {
        if !self.schedule.is_finished() {
            let end = if self.cancelled {
                End::new(EndKind::Cancelled, "the flow was cancelled")
            } else {
                End::new(EndKind::HostError, "the flow has runs left, and none of them can start")
            };
            return end.into();
        }
        match self.schedule.conclusion() {
            Conclusion::Value(value) => Outcome::Value(value),
            Conclusion::Failed(failure) => Outcome::Failure(failure),
        }
    }
}
