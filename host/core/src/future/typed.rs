//! The typed face of a handle: the same run, its result decoded.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sandmill_wire::Value;
use serde::de::DeserializeOwned;

use super::error::{RunError, RunErrorKind};
use super::task_future::TaskFuture;

/// A handle on a run whose result is a `T`. Everything else is on the untyped handle inside.
#[derive(Debug)]
pub struct TypedFuture<T> {
    untyped: TaskFuture,
    result: PhantomData<fn() -> T>,
}

impl<T> TypedFuture<T> {
    pub(super) const fn new(untyped: TaskFuture) -> Self {
        Self { untyped, result: PhantomData }
    }

    /// The untyped handle.
    #[must_use]
    pub fn into_inner(self) -> TaskFuture {
        self.untyped
    }
}

impl<T> std::ops::Deref for TypedFuture<T> {
    type Target = TaskFuture;

    fn deref(&self) -> &TaskFuture {
        &self.untyped
    }
}

impl<T> Clone for TypedFuture<T> {
    fn clone(&self) -> Self {
        Self::new(self.untyped.clone())
    }
}

impl<T: DeserializeOwned> TypedFuture<T> {
    /// Blocks until the run has ended, and gives its result.
    ///
    /// # Errors
    /// As [`TaskFuture::result`], and [`RunErrorKind::Decode`] when the value is not a `T`.
    pub fn result(&self, timeout: Option<Duration>) -> Result<T, RunError> {
        let value = self.untyped.result(timeout)?;
        self.decode(&value)
    }

    fn decode(&self, value: &Value) -> Result<T, RunError> {
        value.decode().map_err(|error| RunError {
            run: self.untyped.id(),
            name: Arc::clone(&self.untyped.shared.name),
            kind: RunErrorKind::Decode(error.to_string()),
        })
    }
}

impl<T: DeserializeOwned> Future for TypedFuture<T> {
    type Output = Result<T, RunError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.untyped)
            .poll(context)
            .map(|value| value.and_then(|value| self.decode(&value)))
    }
}
