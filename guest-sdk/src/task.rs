//! [`Task`]: what `#[task]` implements, and what the types of a signature must be able to do.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::export::Entry;
use crate::failure::Failure;

/// A function under `#[task]`, as a type of the function's name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "this function is not a task",
    note = "put `#[sandmill_guest::task]` above the function"
)]
pub trait Task {
    /// All there is to it. One constant, so that the compiler sees the code for `describe` and for
    /// `run` as one body and complains once about a type that will not do.
    const ENTRY: Entry;
}

/// A function under `#[flow]`, as a type of the function's name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a flow",
    label = "this function is not a flow",
    note = "put `#[sandmill_guest::flow]` above the function, or leave the word `flow` out for a task"
)]
pub trait Flow: Task {
    /// All there is to it, as of a flow.
    const FLOW_ENTRY: Entry = Self::ENTRY;
}

/// What a parameter's type must be able to do. Sealed by its blanket implementation; it exists for
/// its error message, as do its neighbours.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a task",
    label = "this type lacks `serde::Deserialize` or `schemars::JsonSchema`",
    note = "a parameter's type implements `serde::Deserialize` and `schemars::JsonSchema`, and borrows nothing; for your own type derive both"
)]
pub trait TaskParameter: DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + JsonSchema> TaskParameter for T {}

/// What the type of a parameter with a default must be able to do besides.
#[diagnostic::on_unimplemented(
    message = "a parameter of type `{Self}` cannot have a default",
    label = "this type lacks `serde::Serialize`",
    note = "the task's schema shows the default, so its type implements `serde::Serialize`: derive it"
)]
pub trait TaskDefault: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize> TaskDefault for T {}

/// What a result's type must be able to do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a task",
    label = "this type lacks `serde::Serialize` or `schemars::JsonSchema`",
    note = "a result's type implements `serde::Serialize` and `schemars::JsonSchema`; for your own type derive both"
)]
pub trait TaskResult: Serialize + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + JsonSchema> TaskResult for T {}

/// What a task function returned.
///
/// `Result<T, E>` implements `Serialize` itself, so no trait can tell the two kinds of task apart.
/// Method lookup can: the inherent methods of `Returned<Result<T, E>>` win over those of
/// [`PlainOutput`], and this sees through type aliases, which a look at the tokens would not.
pub struct Returned<T>(pub T);

impl<T, E> Returned<Result<T, E>> {
    /// The result or the error, in the author's types.
    pub fn split(self) -> Result<T, E> {
        self.0
    }
}

/// The type that a task function returns, without a value of it.
pub struct ReturnType<T>(PhantomData<T>);

impl<T> ReturnType<T> {
    /// The type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for ReturnType<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> ReturnType<Result<T, E>> {
    /// The type of the result.
    pub fn of_result(self) -> ReturnType<T> {
        ReturnType::new()
    }
}

/// [`Returned`] by a function that returns no `Result`.
pub trait PlainOutput {
    /// The plain result.
    type Value;

    /// The result; there is no error.
    fn split(self) -> Result<Self::Value, Failure>;
}

impl<T> PlainOutput for Returned<T> {
    type Value = T;

    fn split(self) -> Result<T, Failure> {
        Ok(self.0)
    }
}

/// The [`ReturnType`] of a function that returns no `Result`.
pub trait PlainType: Sized {
    /// The type of the result.
    fn of_result(self) -> Self {
        self
    }
}

impl<T> PlainType for ReturnType<T> {}

/// Turns a result into the bytes for the host.
///
/// # Errors
/// The value has no MessagePack form: kind [`Failure::INVALID_RESULT`].
pub fn encode_result<T: TaskResult>(result: &T) -> Result<Vec<u8>, Failure> {
    codec::encode(result).map_err(|fault| Failure::new(Failure::INVALID_RESULT, fault.to_string()))
}
