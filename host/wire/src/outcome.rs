//! How a run ended: a value, the author's failure, or an end that only the host can speak of.
//! Where a run stands before it has ended is a state, in the core crate.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Failure, Value};

/// How a run ended. Every run has exactly one outcome, and it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The task returned this value.
    Value(Value),
    /// The task returned a failure.
    Failure(Failure),
    /// The host ended the run, or the run never started.
    Ended(End),
}

impl Outcome {
    /// The value, where there is one.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Failure(_) | Self::Ended(_) => None,
        }
    }

    /// Whether the task returned a value.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Value(_))
    }

    /// Whether the run was skipped: by the host, or by its own word.
    #[must_use]
    pub fn is_skip(&self) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Failure(failure) => failure.is_skip(),
            Self::Ended(end) => end.kind == EndKind::Skipped,
        }
    }

    /// One word for what this is: `value`, `failure`, or the name of the end's kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Value(_) => "value",
            Self::Failure(_) => "failure",
            Self::Ended(end) => end.kind.name(),
        }
    }

    /// Whether another try of the same call may end otherwise.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Failure(failure) => failure.retriable,
            Self::Ended(end) => end.kind.is_retriable(),
        }
    }
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

/// An end by the host's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What kind of end.
    pub kind: EndKind,
    /// What happened, for a person: the limit and its value, the guest's panic message, the
    /// reason of a refusal. A fragment in lower case.
    pub message: String,
    /// Where the guest was, innermost frame first, with demangled names. Empty unless it trapped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

impl End {
    /// An end without a backtrace.
    #[must_use]
    pub fn new(kind: EndKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), backtrace: Vec::new() }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

/// The kinds of end that only the host can speak of. The same on every executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndKind {
    /// The guest trapped.
    Trapped(TrapKind),
    /// The run was not done by its deadline.
    TimedOut,
    /// The guest asked for more memory or table elements than its limit.
    OutOfMemory,
    /// The guest used up its fuel.
    OutOfFuel,
    /// The result is larger than the limit.
    OutputTooLarge,
    /// The result is not one well-formed MessagePack value within bounds.
    InvalidResult,
    /// Somebody cancelled the run.
    Cancelled,
    /// The host that held the run went away.
    HostLost,
    /// The run was not started: the component, the task, the arguments or the grants do not fit.
    Refused,
    /// The run was not started: a run that it depends on did not complete.
    UpstreamFailed,
    /// The run was not started: it is to be skipped, because a run that it depends on was, or
    /// because its trigger leaves it out.
    Skipped,
    /// The host itself failed in the middle of the run. A fault of Sandmill or of the machine.
    HostError,
}

impl EndKind {
    /// The name by which users see it: `timed-out`, `out-of-memory`, `trapped`, ….
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trapped(_) => "trapped",
            Self::TimedOut => "timed-out",
            Self::OutOfMemory => "out-of-memory",
            Self::OutOfFuel => "out-of-fuel",
            Self::OutputTooLarge => "output-too-large",
            Self::InvalidResult => "invalid-result",
            Self::Cancelled => "cancelled",
            Self::HostLost => "host-lost",
            Self::Refused => "refused",
            Self::UpstreamFailed => "upstream-failed",
            Self::Skipped => "skipped",
            Self::HostError => "host-error",
        }
    }

    /// Whether another try of the same call may end otherwise: a run that hit a trap or a limit
    /// would hit it again, one that lost its host or its time may not.
    #[must_use]
    pub const fn is_retriable(self) -> bool {
        match self {
            Self::TimedOut | Self::HostLost | Self::HostError => true,
            Self::Trapped(_)
            | Self::OutOfMemory
            | Self::OutOfFuel
            | Self::OutputTooLarge
            | Self::InvalidResult
            | Self::Cancelled
            | Self::Refused
            | Self::UpstreamFailed
            | Self::Skipped => false,
        }
    }
}

impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trapped(kind) => write!(f, "trapped ({})", kind.name()),
            other => f.write_str(other.name()),
        }
    }
}

/// What made a guest trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TrapKind {
    /// It panicked: its own message is in the end's message.
    Panic,
    /// It executed `unreachable` without a panic message.
    Unreachable,
    /// It read or wrote outside its memory or table.
    OutOfBounds,
    /// It divided by zero, or a number did not fit.
    Arithmetic,
    /// It called too deep.
    StackOverflow,
    /// It called through a table entry that is null or of another type.
    BadCall,
    /// It ended itself with this exit code instead of returning.
    Exit(i32),
    /// It held more handles (files, sockets, streams, pollables) than its limit.
    Handles,
    /// It broke the rules of the component model: a malformed string, a bad handle, a double use.
    Contract,
    /// Any other trap; the message says which.
    Other,
}

impl TrapKind {
    /// The name by which users see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Unreachable => "unreachable",
            Self::OutOfBounds => "out-of-bounds",
            Self::Arithmetic => "arithmetic",
            Self::StackOverflow => "stack-overflow",
            Self::BadCall => "bad-call",
            Self::Exit(_) => "exit",
            Self::Handles => "too-many-handles",
            Self::Contract => "contract",
            Self::Other => "other",
        }
    }
}
