//! [`TaskFuture`]: a handle on one run. Waiting for several is in `wait` and `as_completed`.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::callbacks;
use super::error::RunError;
use super::host;
use super::state::State;
use crate::codec;

/// What a flow reads of a run's result. Sealed by its blanket implementation; it exists for its
/// error message.
#[diagnostic::on_unimplemented(
    message = "a flow cannot read a result of type `{Self}`",
    label = "this type lacks `serde::Deserialize`, or borrows",
    note = "derive `serde::Deserialize` for it; a task whose result is an alias of `Result<T, E>` has to write `Result<T, E>` out"
)]
pub trait FlowResult: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> FlowResult for T {}

/// A handle on one run, whatever it returns. [`TaskFuture`] adds the type of its result; this is
/// for lists of different ones: [`TaskFuture::untyped`].
#[derive(Clone)]
pub struct AnyFuture(Rc<host::TaskFuture>);

impl AnyFuture {
    pub(super) fn new(handle: host::TaskFuture) -> Self {
        Self(Rc::new(handle))
    }

    pub(super) fn handle(&self) -> &host::TaskFuture {
        &self.0
    }

    /// The run's id: a UUIDv7 in its usual text form.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The run's name, such as `count[3]`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// The position among the calls of a map, from 0; `None` outside of a map.
    pub fn map_index(&self) -> Option<u64> {
        self.0.map_index()
    }

    /// Where the run stands. Does not wait.
    pub fn state(&self) -> State {
        self.0.state().into()
    }

    /// Waits until the run has ended, or `timeout` is over; where it stands then. Neither a failure
    /// nor the end of the time is an error here.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> State {
        let state = self.0.wait(timeout.into().map(host::nanoseconds));
        callbacks::run_due();
        state.into()
    }

    /// Asks the run to stop. Does not wait for it.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    fn bytes(&self, timeout: Option<Duration>) -> Result<Vec<u8>, RunError> {
        let result = self.0.result(timeout.map(host::nanoseconds));
        result.map_err(|error| RunError::of(error, || self.name()))
    }
}

impl AsRef<AnyFuture> for AnyFuture {
    fn as_ref(&self) -> &AnyFuture {
        self
    }
}

impl fmt::Debug for AnyFuture {
    /// Shows the id and the name: asking for the state would be a question to the host.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TaskFuture")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish()
    }
}

/// A handle on one run, whose result is a `T`. Cheap to clone.
///
/// When the last handle on a run is dropped, the run is cancelled, unless its call said
/// [`detach`](super::Options::detach); so is whatever has not ended when the flow returns. A run
/// whose result another run takes goes on.
///
/// Times to wait are `Option<Duration>`, `Duration` or `None`, which waits until the run has ended.
pub struct TaskFuture<T> {
    any: AnyFuture,
    returns: PhantomData<fn() -> T>,
}

impl<T> TaskFuture<T> {
    pub(super) fn new(handle: host::TaskFuture) -> Self {
        Self { any: AnyFuture::new(handle), returns: PhantomData }
    }

    pub(super) fn handle(&self) -> &host::TaskFuture {
        self.any.handle()
    }

    /// The run's id: a UUIDv7 in its usual text form.
    pub fn id(&self) -> String {
        self.any.id()
    }

    /// The run's name, such as `count[3]`.
    pub fn name(&self) -> String {
        self.any.name()
    }

    /// The position among the calls of a map, from 0; `None` outside of a map.
    pub fn map_index(&self) -> Option<u64> {
        self.any.map_index()
    }

    /// Where the run stands. Does not wait.
    pub fn state(&self) -> State {
        self.any.state()
    }

    /// Waits until the run has ended, or `timeout` is over; where it stands then. Neither a failure
    /// nor the end of the time is an error here.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> State {
        self.any.wait(timeout)
    }

    /// Asks the run to stop. Does not wait for it.
    pub fn cancel(&self) {
        self.any.cancel();
    }

    /// The same run without the type of its result.
    pub fn untyped(&self) -> &AnyFuture {
        &self.any
    }

    /// Calls `callback` when the run has ended: at once if it has, otherwise when the flow next
    /// waits for anything (and then after that wait), and at the latest when the flow returns.
    ///
    /// A flow that returns a result waits for the runs that have callbacks; one that fails cancels
    /// them first. A callback holds a handle on its run, and may make calls itself.
    pub fn on_done(&self, callback: impl FnOnce(&TaskFuture<T>) + 'static)
    where
        T: 'static,
    {
        if self.state().is_final() {
            return callback(self);
        }
        let future = self.clone();
        callbacks::add(&self.any, move || callback(&future));
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// The run ended without one, or had not ended when `timeout` was over, or its result is no `T`.
    pub fn result(&self, timeout: impl Into<Option<Duration>>) -> Result<T, RunError>
    where
        T: FlowResult,
    {
        let bytes = self.any.bytes(timeout.into());
        callbacks::run_due();
        self.decode(&bytes?)
    }

    /// What the run has come to; `None` if it has not ended. Does not wait.
    pub fn outcome(&self) -> Option<Result<T, RunError>>
    where
        T: FlowResult,
    {
        match self.any.bytes(Some(Duration::ZERO)) {
            Err(RunError::Timeout { .. }) => None,
            Err(error) => Some(Err(error)),
            Ok(bytes) => Some(self.decode(&bytes)),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, RunError>
    where
        T: FlowResult,
    {
        codec::decode(bytes)
            .map_err(|fault| RunError::WrongType { name: self.name(), message: fault.to_string() })
    }
}

impl<T> AsRef<AnyFuture> for TaskFuture<T> {
    fn as_ref(&self) -> &AnyFuture {
        &self.any
    }
}

impl<T> Clone for TaskFuture<T> {
    fn clone(&self) -> Self {
        Self { any: self.any.clone(), returns: PhantomData }
    }
}

impl<T> fmt::Debug for TaskFuture<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.any.fmt(formatter)
    }
}
