//! [`Failure`]: what a task returns instead of a result. Traps, timeouts and limits are the host's
//! word and never take this form.

use std::error::Error;
use std::fmt::{self, Write as _};

use serde::de::DeserializeOwned;
use serde::ser::Serialize;

use crate::codec;

/// The longest kind the contract allows, in bytes.
const KIND_BYTES_MAX: usize = 128;

/// How many causes of an error are put into a message. Chains end; this is for one that loops.
const CAUSES_MAX: usize = 32;

/// Why a task gives no result, as its author puts it.
///
/// Every [`std::error::Error`] converts into one, so `?` works in a task that returns
/// `Result<_, Failure>`. For that reason `Failure` itself does not implement `Error`. For an error
/// type that does not implement it either, such as `anyhow::Error`, write
/// `Failure::new("error", format!("{error:#}"))`.
///
/// ```
/// use sandmill_guest::Failure;
///
/// fn parse(text: &str) -> Result<u32, Failure> {
///     if text.is_empty() {
///         return Err(Failure::new("empty", "there is nothing to parse").with_details(&["text"]));
///     }
///     Ok(text.parse::<u32>()?)
/// }
///
/// assert_eq!(parse("").unwrap_err().kind(), "empty");
/// assert_eq!(parse("x").unwrap_err().to_string(), "error: invalid digit found in string");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    kind: String,
    message: String,
    retriable: bool,
    details: Option<Vec<u8>>,
}

impl Failure {
    /// The kind of a failure that came from an error of another type.
    pub const ERROR: &'static str = "error";
    /// The kind of a failure of arguments that do not fit the parameters.
    pub const INVALID_ARGUMENTS: &'static str = "invalid-arguments";
    /// The kind of a failure of a result that has no MessagePack form.
    pub const INVALID_RESULT: &'static str = "invalid-result";
    /// The kind of the failure that a flow returns when a run that it needs gave no result.
    pub const RUN_FAILED: &'static str = "run-failed";
    /// The kind of a failure that says there is nothing to do: the run ends as `Skipped`, which is
    /// a kind of success.
    pub const SKIPPED: &'static str = "skipped";
    /// The kind of a failure of a task name that the component does not have.
    pub const UNKNOWN_TASK: &'static str = "unknown-task";
    /// The kind of the failure that a flow returns when a time to wait was over.
    pub const WAIT_TIMEOUT: &'static str = "wait-timeout";
    /// The kind of the failure that a flow returns when a run's result is not of the type that it
    /// expects.
    pub const WRONG_RESULT: &'static str = "wrong-result";

    /// A failure that trying again will not cure.
    ///
    /// `kind` is a short name that retry rules may refer to: `[a-z0-9][a-z0-9._-]{0,127}`.
    /// Anything else is bent to that: upper case is lowered, other characters become `-`, what is
    /// too long is cut, and an empty kind is `error`. `message` is for a person; the host keeps at
    /// least its first 64 KiB.
    pub fn new(kind: impl AsRef<str>, message: impl Into<String>) -> Self {
        Self {
            kind: valid_kind(kind.as_ref()),
            message: message.into(),
            retriable: false,
            details: None,
        }
    }

    /// Says that trying again, with the same arguments, may succeed.
    #[must_use]
    pub fn retriable(mut self) -> Self {
        self.retriable = true;
        self
    }

    /// Adds one value for programs to read. If it has no MessagePack form, the message says so
    /// instead: a failure must not fail.
    #[must_use]
    pub fn with_details<T: Serialize + ?Sized>(mut self, details: &T) -> Self {
        match codec::encode(details) {
            Ok(bytes) => self.details = Some(bytes),
            Err(error) => {
                self.message.push_str(" (details left out: ");
                self.message.push_str(&error.to_string());
                self.message.push(')');
            }
        }
        self
    }

    /// The short name of what went wrong.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What went wrong, for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether trying again may succeed.
    pub fn is_retriable(&self) -> bool {
        self.retriable
    }

    /// The details as a `T`; `None` when there are none.
    ///
    /// # Errors
    /// The details are no `T`.
    pub fn details<T: DeserializeOwned>(&self) -> Option<Result<T, Failure>> {
        let bytes = self.details.as_deref()?;
        Some(codec::decode(bytes).map_err(|fault| Self::new(Self::ERROR, fault.to_string())))
    }

    /// A failure in the contract's words.
    #[cfg(target_family = "wasm")]
    pub(crate) fn from_contract(failure: crate::bindings::sandmill::task::types::Failure) -> Self {
        let crate::bindings::sandmill::task::types::Failure { kind, message, retriable, details } =
            failure;
        Self { kind, message, retriable, details }
    }

    /// A failure in the contract's words, which are the same where there is no host.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn from_contract(failure: Self) -> Self {
        failure
    }

    /// Takes the failure apart for the bindings.
    #[cfg(target_family = "wasm")]
    pub(crate) fn into_parts(self) -> (String, String, bool, Option<Vec<u8>>) {
        (self.kind, self.message, self.retriable, self.details)
    }
}

impl<E: Error> From<E> for Failure {
    /// Kind [`Failure::ERROR`]; the message is the error and its causes, separated by colons.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        for _ in 0..CAUSES_MAX {
            let Some(error) = cause else { break };
            let text = error.to_string();
            // Many errors already end with their cause.
            if !message.ends_with(&text) {
                // Writing to a `String` cannot fail.
                let _ = write!(message, ": {text}");
            }
            cause = error.source();
        }
        Self::new(Self::ERROR, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Failure")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("retriable", &self.retriable)
            .field("details", &self.details.as_ref().map(|bytes| bytes.escape_ascii().to_string()))
            .finish()
    }
}

/// What the `E` of a task's `Result<T, E>` must be. Sealed by its blanket implementation; it exists
/// for its error message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a task",
    label = "this task's error type does not convert into `sandmill_guest::Failure`",
    note = "return `Result<_, sandmill_guest::Failure>`, or an error type that implements `std::error::Error`"
)]
pub trait TaskError {
    /// The failure that the host sees.
    fn into_failure(self) -> Failure;
}

#[diagnostic::do_not_recommend]
impl<E: Into<Failure>> TaskError for E {
    fn into_failure(self) -> Failure {
        self.into()
    }
}

fn valid_kind(kind: &str) -> String {
    let bent: String = kind
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            allowed @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => allowed,
            _ => '-',
        })
        .skip_while(|character| !character.is_ascii_alphanumeric())
        .take(KIND_BYTES_MAX)
        .collect();
    if bent.is_empty() { Failure::ERROR.to_owned() } else { bent }
}
