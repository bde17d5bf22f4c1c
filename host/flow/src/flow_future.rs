//! A handle on the run of a flow: a future like that of a task, with a report.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_core::{RunError, State, TaskFuture};
use sandmill_wire::{Outcome, RunId, Value};

use crate::summary::FlowReport;

/// A handle on the run of a flow (Prefect's `PrefectFlowRunFuture`): cheap to clone, usable from
/// async code and from plain threads. When the last handle goes, the flow is cancelled, unless
/// somebody called [`FlowRunFuture::detach`].
#[derive(Clone)]
pub struct FlowRunFuture {
    pub(crate) future: TaskFuture,
    pub(crate) report: Arc<Mutex<FlowReport>>,
}

impl FlowRunFuture {
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

    /// Stops the flow: no further task is started, and those under way are cancelled. The flow
    /// ends as cancelled when they have ended.
    pub fn cancel(&self) {
        self.future.cancel();
    }

    /// Lets the run go on when nobody holds a handle on it any more.
    pub fn detach(&self) {
        self.future.detach();
    }

    /// Calls `callback` once the run has ended, as [`TaskFuture::on_done`] does.
    pub fn on_done(&self, callback: impl FnOnce(Self) + Send + 'static) {
        let report = Arc::clone(&self.report);
        self.future.on_done(move |future| callback(Self { future, report }));
    }

    /// The same handle as a task's, for groups of futures.
    #[must_use]
    pub fn as_task(&self) -> &TaskFuture {
        &self.future
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
