//! A handle on one run. Groups of them, and waiting for several, live beside it.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use sandmill_wire::{Outcome, RunId, Value};

use super::callbacks;
use super::error::{RunError, RunErrorKind};
use super::shared::Shared;
use super::typed::TypedFuture;
use crate::{State, Usage};

/// A handle on one run: cheap to clone, usable from async code (`.await`) and from plain threads
/// (`wait`, `result`). Two handles are equal when they are on the same run.
///
/// When the last handle on a run goes, the run is cancelled, unless the call said `detach` or
/// somebody called [`TaskFuture::detach`].
pub struct TaskFuture {
    pub(super) shared: Arc<Shared>,
}

impl TaskFuture {
    /// A further handle, made inside this crate.
    pub(super) fn observing(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::AcqRel);
        Self { shared }
    }

    /// The id of the run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.shared.id
    }

    /// The run's name for people: the task's or the node's, with the map index.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The position in a map.
    #[must_use]
    pub fn map_index(&self) -> Option<u64> {
        self.shared.map_index
    }

    /// Where the run stands. Does no I/O and never blocks.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Whether the run has ended, however.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.is_done()
    }

    /// Blocks until the run has ended, or `timeout` is over (`None`: for as long as it takes).
    /// Never raises: the answer is where the run stands then.
    pub fn wait(&self, timeout: Option<Duration>) -> State {
        self.shared.wait(timeout);
        self.state()
    }

    /// Blocks until the run has ended, and gives its value.
    ///
    /// # Errors
    /// The run's failure or end, or [`RunErrorKind::WaitTimeout`] when `timeout` is over first; the
    /// run goes on then.
    pub fn result(&self, timeout: Option<Duration>) -> Result<Value, RunError> {
        match self.shared.wait(timeout) {
            Some(report) => RunError::from_outcome(self.id(), &self.shared.name, report.outcome),
            None => Err(RunError {
                run: self.id(),
                name: Arc::clone(&self.shared.name),
                kind: RunErrorKind::WaitTimeout(timeout.unwrap_or_default()),
            }),
        }
    }

    /// How the run ended; `None` while it has not. Never blocks and never raises.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.shared.report().map(|report| report.outcome)
    }

    /// How many attempts were started so far, with those that earlier processes made: 0 while the
    /// run waits for its first, and for a run whose value was taken from the cache.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.shared.attempts()
    }

    /// What the run's last attempt used; `None` while the run has not ended.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.shared.report().map(|report| report.usage)
    }

    /// The earlier run that made the value, where it was taken from the cache; `None` also while
    /// the run has not ended.
    #[must_use]
    pub fn cached_from(&self) -> Option<RunId> {
        self.shared.report().and_then(|report| report.cached_from)
    }

    /// Asks the run to stop: one that waits for a slot or for its next attempt ends at once, one
    /// that runs is stopped by its host. Does nothing to a run that has ended.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// Ends the run as cancelled if it has not started: it waits for its slot, and was never tried.
    /// Whether that was so; any other run goes on.
    pub fn cancel_unstarted(&self) -> bool {
        self.shared.cancel_unstarted()
    }

    /// Lets the run go on when nobody holds a handle on it any more.
    pub fn detach(&self) {
        self.shared.detached.store(true, Ordering::Release);
    }

    /// Calls `callback` once the run has ended: at once and on this thread when it has already,
    /// else on a thread that does nothing but this. A panic of the callback becomes a line in the
    /// run's log. Callbacks registered before the end are called in their order.
    pub fn on_done(&self, callback: impl FnOnce(Self) + Send + 'static) {
        if let Some(callback) = self.shared.on_done(Box::new(callback)) {
            callbacks::call_one(self.clone(), callback);
        }
    }

    /// The same handle, for a result of type `T`.
    #[must_use]
    pub fn typed<T>(self) -> TypedFuture<T> {
        TypedFuture::new(self)
    }
}

impl Clone for TaskFuture {
    fn clone(&self) -> Self {
        Self::observing(Arc::clone(&self.shared))
    }
}

impl Drop for TaskFuture {
    fn drop(&mut self) {
        self.shared.drop_handle();
    }
}

impl Future for TaskFuture {
    type Output = Result<Value, RunError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared
            .poll(context)
            .map(|report| RunError::from_outcome(self.shared.id, &self.shared.name, report.outcome))
    }
}

impl PartialEq for TaskFuture {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for TaskFuture {}

impl Hash for TaskFuture {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for TaskFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskFuture({} {} {})", self.name(), self.id(), self.state().name)
    }
}
