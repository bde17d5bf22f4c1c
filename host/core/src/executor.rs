//! The seam to whatever places runs: inline, in a pool, on other hosts, or an embedder's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sandmill_wire::{RunId, Value};

use crate::future::{Errors, FutureList, Nested, RunError, TaskFuture, resolve_futures_to_results};
use crate::{Call, Events};

/// Calls to make, one by one, as room frees.
pub type Calls = Box<dyn Iterator<Item = Call> + Send>;

/// Names one executor in events and log lines: its kind and a UUID, such as
/// `pool: 0192f0c1-…` (as `prefect.engine.executors.Executor.executor_id` did).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExecutorId(Arc<str>);

impl ExecutorId {
    /// A new id for an executor of this kind.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self(format!("{kind}: {}", RunId::new()).into())
    }

    /// The kind: `inline`, `pool`, ….
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an executor needs to know when it starts.
#[derive(Debug, Clone, Default)]
pub struct StartContext {
    /// Where the events of its runs go.
    pub events: Events,
}

/// Why an executor did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It runs already.
    #[error("the executor `{0}` has been started already; shut it down before it is started again")]
    AlreadyStarted(ExecutorId),
    /// What it needs could not be had.
    #[error("the executor could not be started: {0}")]
    Unavailable(String),
}

/// How a map takes its calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapOptions {
    /// How many futures may be made and not yet taken by whoever goes through them
    /// ([`FutureList::into_ordered`], [`FutureList::into_as_completed`]). With a window, a map of
    /// any length needs bounded memory. None: all calls are taken as slots get free.
    pub window: Option<usize>,
    /// Whether the first run that gives no value cancels the others. By default each has its own
    /// outcome, and all run.
    pub fail_fast: bool,
}

/// Places runs. Executors differ in where a run happens, and in nothing that a caller could see
/// in its outcome: one conformance table runs over all of them.
pub trait Executor: Send + Sync {
    /// The executor's name in events and log lines.
    fn id(&self) -> &ExecutorId;

    /// How many runs go on at a time at most.
    fn slots(&self) -> usize;

    /// How many runs it has use for at a time: those in its slots, and those that wait so that no slot runs
    /// dry. Where hosts are far away and runs are short that is many more than slots. Whoever submits calls
    /// one after the other keeps so many under way.
    fn wanted(&self) -> usize {
        self.slots().saturating_mul(2)
    }

    /// Opens the executor. After [`Executor::shutdown`] it may be started again.
    ///
    /// # Errors
    /// [`StartError::AlreadyStarted`] when it is open, others when it cannot be opened.
    fn start(&self, context: StartContext) -> BoxFuture<'_, Result<(), StartError>>;

    /// Accepts a call. Never fails: an executor that is not started or has no room says so through
    /// the future, as an end of kind `refused`. Never blocks on guest work, but for the inline
    /// executor, whose purpose it is.
    fn submit(&self, call: Call) -> TaskFuture;

    /// Ready when the next call that is submitted finds room.
    fn room(&self) -> BoxFuture<'_, ()>;

    /// Accepts many calls, and takes each only when a slot is free for it.
    fn map(&self, calls: Calls, options: MapOptions) -> FutureList;

    /// Stops intake, and is ready when all that was accepted has ended. Calls of a map that were
    /// not taken yet are not.
    fn shutdown(&self) -> BoxFuture<'_, ()>;

    /// Stops intake, cancels what was accepted, and returns when no guest runs any more.
    fn abort(&self);
}

/// What every executor can do besides.
pub trait ExecutorExt: Executor {
    /// Waits for every future inside `data` and puts its value in its place, keeping the shape.
    ///
    /// # Errors
    /// See [`resolve_futures_to_results`].
    fn wait(
        &self,
        data: Nested<TaskFuture>,
        timeout: Option<Duration>,
        errors: Errors,
    ) -> Result<Nested<Value>, RunError> {
        resolve_futures_to_results(data, timeout, errors)
    }
}

impl<E: Executor + ?Sized> ExecutorExt for E {}

/// An open executor. When the session goes, what is under way is cancelled; to let it finish, call
/// [`Session::close`].
pub struct Session {
    executor: Arc<dyn Executor>,
    closed: bool,
}

impl Session {
    /// Opens `executor`.
    ///
    /// # Errors
    /// See [`Executor::start`].
    pub async fn open(
        executor: Arc<dyn Executor>,
        context: StartContext,
    ) -> Result<Self, StartError> {
        executor.start(context).await?;
        Ok(Self { executor, closed: false })
    }

    /// Lets what was accepted finish, and closes the executor.
    pub async fn close(mut self) {
        self.executor.shutdown().await;
        self.closed = true;
    }
}

impl std::ops::Deref for Session {
    type Target = dyn Executor;

    fn deref(&self) -> &Self::Target {
        &*self.executor
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.closed {
            self.executor.abort();
        }
    }
}
