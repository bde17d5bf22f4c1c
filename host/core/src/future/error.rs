//! Why a future gives no value. How the run ended, without raising, is its outcome.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sandmill_wire::{End, EndKind, Failure, Outcome, RunId, Value};

use crate::units::format_duration;

/// A run that gave no value, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// Which run.
    pub run: RunId,
    /// Its name for people, with its map index: `thumbnail[17]`.
    pub name: Arc<str>,
    /// Why.
    pub kind: RunErrorKind,
}

/// Why a run gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunErrorKind {
    /// The run has not ended yet: the wait for it did, after this long. The run goes on.
    WaitTimeout(Duration),
    /// The task returned a failure.
    Failure(Failure),
    /// The host ended the run: a trap, a limit, a cancel, a refusal.
    Ended(End),
    /// The run returned a value, but not one of the type that was asked for.
    Decode(String),
}

impl RunError {
    /// The end's kind, where the host ended the run.
    #[must_use]
    pub const fn end_kind(&self) -> Option<EndKind> {
        match &self.kind {
            RunErrorKind::Ended(end) => Some(end.kind),
            _ => None,
        }
    }

    /// Whether only the wait ended, and the run goes on.
    #[must_use]
    pub const fn is_wait_timeout(&self) -> bool {
        matches!(self.kind, RunErrorKind::WaitTimeout(_))
    }

    pub(crate) fn from_outcome(
        run: RunId,
        name: &Arc<str>,
        outcome: Outcome,
    ) -> Result<Value, Self> {
        let kind = match outcome {
            Outcome::Value(value) => return Ok(value),
            Outcome::Failure(failure) => RunErrorKind::Failure(failure),
            Outcome::Ended(end) => RunErrorKind::Ended(end),
        };
        Err(Self { run, name: Arc::clone(name), kind })
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, name, kind } = self;
        match kind {
            RunErrorKind::WaitTimeout(after) => {
                write!(f, "{name} (run {run}) did not end within {}", format_duration(*after))
            }
            RunErrorKind::Failure(failure) => write!(f, "{name} (run {run}) failed: {failure}"),
            RunErrorKind::Ended(end) => write!(f, "{name} (run {run}) ended: {end}"),
            RunErrorKind::Decode(why) => {
                write!(f, "{name} (run {run}) returned a value of another type: {why}")
            }
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            RunErrorKind::Failure(failure) => Some(failure),
            _ => None,
        }
    }
}

/// The time to wait for several futures was over before they all had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{unfinished} of {total} futures unfinished")]
pub struct WaitTimeout {
    /// How many have not ended.
    pub unfinished: usize,
    /// How many there are.
    pub total: usize,
}
