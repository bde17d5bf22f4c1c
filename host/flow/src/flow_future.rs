//! A handle on the run of a flow: a future like that of a task, with a report.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_core::{CancelToken, RunError, State, TaskFuture};
use sandmill_wire::{Outcome, RunId, Value};

use crate::signals::Signals;
use crate::summary::FlowReport;

/// A handle on the run of a flow (Prefect's `PrefectFlowRunFuture`): cheap to clone, usable from
/// async code and from plain threads. When the last handle goes, the flow is cancelled, unless
/// somebody called [`FlowRunFuture::detach`].
#[derive(Clone)]
pub struct FlowRunFuture {
    pub(crate) future: TaskFuture,
    pub(crate) report: Arc<Mutex<FlowReport>>,
    pub(crate) signals: Arc<Signals>,
}

impl FlowRunFuture {
    /// A handle on a run of a flow that is not run.
    pub(crate) fn of_refused(future: TaskFuture, flow: &Arc<str>, cancel: &CancelToken) -> Self {
        let report = FlowReport::new(Arc::clone(flow), future.id());
        let signals = Signals::new(cancel.clone());
        Self { future, report: Arc::new(Mutex::new(report)), signals }
    }

    /// The id of the flow's run: the parent of its tasks' runs.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.future.id()
    }

    /// The flow's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.future.name()
    }

    /// Where the run stands. Never blocks.
    #[must_use]
    pub fn state(&self) -> State {
        self.future.state()
    }

    /// Whether the run has ended, however.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.future.is_done()
    }

    /// Blocks until the run has ended or `timeout` is over. Never raises.
    pub fn wait(&self, timeout: Option<Duration>) -> State {
        self.future.wait(timeout)
    }

    /// Blocks until the run has ended, and gives the flow's result.
    ///
    /// # Errors
    /// The flow's failure or end, or a timeout of the wait.
    pub fn result(&self, timeout: Option<Duration>) -> Result<Value, RunError> {
        self.future.result(timeout)
    }

    /// How the run ended; `None` while it has not.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.future.outcome()
    }

    /// What the run has come to so far, task by task.
    #[must_use]
    pub fn report(&self) -> FlowReport {
        self.report.lock().clone()
    }

    /// Stops the flow for good: no further task is started, and those under way are cancelled. The
    /// flow ends as cancelled when they have ended and its hook on exit was called. The second call
    /// stops the hook too; the third gives up waiting for the history to be written.
    pub fn cancel(&self) {
        self.signals.asked_to_end();
        self.future.cancel();
    }

    /// Stops the flow so that it can be taken up again, where it has a journal: runs under way are
    /// stopped and, like the flow, not ended but `Interrupted` in it. This future ends as cancelled,
    /// with words that begin with `interrupted`. The hook on exit is not called: it is when the
    /// flow ends. The second call gives up waiting for the history to be written. Does nothing to a
    /// flow that was cancelled before.
    pub fn interrupt(&self, why: impl Into<Arc<str>>) {
        self.signals.interrupt(why.into());
    }

    /// What stops the flow without being a handle on it: it may go unheld all the same.
    #[must_use]
    pub fn stopper(&self) -> FlowStopper {
        FlowStopper(Arc::clone(&self.signals))
    }

    /// Lets the run go on when nobody holds a handle on it any more.
    pub fn detach(&self) {
        self.future.detach();
    }

    /// Calls `callback` once the run has ended, as [`TaskFuture::on_done`] does.
    pub fn on_done(&self, callback: impl FnOnce(Self) + Send + 'static) {
        let (report, signals) = (Arc::clone(&self.report), Arc::clone(&self.signals));
        self.future.on_done(move |future| callback(Self { future, report, signals }));
    }

    /// The same handle as a task's, for groups of futures.
    #[must_use]
    pub fn as_task(&self) -> &TaskFuture {
        &self.future
    }
}

/// Stops a flow (see [`FlowRunFuture::stopper`]).
#[derive(Clone)]
pub struct FlowStopper(Arc<Signals>);

impl FlowStopper {
    /// As [`FlowRunFuture::cancel`].
    pub fn cancel(&self) {
        self.0.asked_to_end();
        self.0.flow.cancel();
    }

    /// As [`FlowRunFuture::interrupt`].
    pub fn interrupt(&self, why: impl Into<Arc<str>>) {
        self.0.interrupt(why.into());
    }

    /// Cancels one run of the flow, or of the flows that it calls, and lets the others go on. Does
    /// nothing where that run is not under way. An executor that runs calls inside of `submit` (the
    /// inline one) keeps the flow from hearing of it until that run has ended.
    pub fn cancel_run(&self, run: RunId) {
        self.0.cancel_run(run);
    }
}

impl fmt::Debug for FlowStopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlowStopper({:?})", self.0.flow)
    }
}

impl Future for FlowRunFuture {
    type Output = Result<Value, RunError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.future).poll(context)
    }
}

impl PartialEq for FlowRunFuture {
    fn eq(&self, other: &Self) -> bool {
        self.future == other.future
    }
}

impl Eq for FlowRunFuture {}

impl fmt::Debug for FlowRunFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlowRunFuture({} {} {})", self.name(), self.id(), self.state().name)
    }
}
