//! What a task's author returns instead of a result. What the host says of a run that ended
//! otherwise is in `outcome`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Value;

/// A failure by the word of the task's author (`sandmill:task/types.failure`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short machine-readable name, such as `invalid-arguments`. Retry rules may name it.
    pub kind: String,
    /// What went wrong, for a person.
    pub message: String,
    /// Whether the same call may succeed when it is tried again.
    pub retriable: bool,
    /// Anything more, as one MessagePack value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Failure {
    /// The kind of a failure that says the arguments do not fit the task's parameters.
    pub const INVALID_ARGUMENTS: &'static str = "invalid-arguments";
    /// The kind of a failure that says the component has no task of that name.
    pub const UNKNOWN_TASK: &'static str = "unknown-task";

    /// The kind of a failure by which a task says that there is nothing to do: its run ends as
    /// `Skipped`, which is a kind of success (Prefect 0.x, `prefect.engine.signals.SKIP`).
    pub const SKIPPED: &'static str = "skipped";

    /// Whether this says that the run is to be skipped.
    #[must_use]
    pub fn is_skip(&self) -> bool {
        self.kind == Self::SKIPPED
    }

    /// Whether this is one of the contract's own kinds, which no further try can change.
    #[must_use]
    pub fn is_final(&self) -> bool {
        [Self::INVALID_ARGUMENTS, Self::UNKNOWN_TASK, Self::SKIPPED].contains(&self.kind.as_str())
    }

    /// A failure that is not worth another try, without details.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), retriable: false, details: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Failure {}
