//! Where a run stands. How it ended, in full, is its outcome.
//!
//! Types and names are those of Prefect 3 (`prefect.client.schemas.objects.StateType` and
//! `prefect.states`).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sandmill_wire::{EndKind, Outcome};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The kinds of state that a run goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateType {
    /// It will run at some time.
    Scheduled,
    /// It waits for a slot.
    Pending,
    /// It is running.
    Running,
    /// It returned a value.
    Completed,
    /// It failed: by its own word, by a trap, or by a limit.
    Failed,
    /// What ran it failed.
    Crashed,
    /// It was cancelled.
    Cancelled,
    /// It was asked to stop and has not yet.
    Cancelling,
    /// It waits for somebody to let it go on.
    Paused,
}

impl StateType {
    /// The name by which users see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Cancelled => "cancelled",
            Self::Cancelling => "cancelling",
            Self::Paused => "paused",
        }
    }

    /// Whether a run in such a state stays in it for good.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Crashed | Self::Cancelled)
    }
}

impl fmt::Display for StateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a run stands, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The kind.
    #[serde(rename = "type")]
    pub kind: StateType,
    /// A finer name: `TimedOut` for a `failed` run that ran out of time, for example.
    pub name: Cow<'static, str>,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Arc<str>>,
    /// Since when.
    pub at: Timestamp,
}

impl State {
    const fn plain(kind: StateType, name: &'static str, at: Timestamp) -> Self {
        Self { kind, name: Cow::Borrowed(name), message: None, at }
    }

    /// Waits for a slot.
    #[must_use]
    pub const fn pending(at: Timestamp) -> Self {
        Self::plain(StateType::Pending, "Pending", at)
    }

    /// Waits for a slot, for this reason.
    #[must_use]
    pub fn pending_for(at: Timestamp, why: impl Into<Arc<str>>) -> Self {
        let message = Some(why.into());
        Self { message, ..Self::pending(at) }
    }

    /// Runs.
    #[must_use]
    pub const fn running(at: Timestamp) -> Self {
        Self::plain(StateType::Running, "Running", at)
    }

    /// Was asked to stop.
    #[must_use]
    pub const fn cancelling(at: Timestamp) -> Self {
        Self::plain(StateType::Cancelling, "Cancelling", at)
    }

    /// Waits until it is tried again, because of `cause` (Prefect 3, `AwaitingRetry`).
    #[must_use]
    pub fn awaiting_retry(at: Timestamp, cause: impl Into<Arc<str>>) -> Self {
        let message = Some(cause.into());
        Self { message, ..Self::plain(StateType::Scheduled, "AwaitingRetry", at) }
    }

    /// Runs, and not for the first time (Prefect 3, `Retrying`).
    #[must_use]
    pub const fn retrying(at: Timestamp) -> Self {
        Self::plain(StateType::Running, "Retrying", at)
    }

    /// Did not end because what ran it stopped; it can be taken up again.
    #[must_use]
    pub fn interrupted(at: Timestamp, why: impl Into<Arc<str>>) -> Self {
        let message = Some(why.into());
        Self { message, ..Self::plain(StateType::Paused, "Interrupted", at) }
    }

    /// The final state of a run whose value the run `from` made (Prefect 3, `Cached`).
    #[must_use]
    pub fn cached(at: Timestamp, from: sandmill_wire::RunId) -> Self {
        let message = Some(format!("the result is that of run {from}").into());
        Self { message, ..Self::plain(StateType::Completed, "Cached", at) }
    }

    /// The final state that follows from an outcome.
    #[must_use]
    pub fn from_outcome(outcome: &Outcome, at: Timestamp) -> Self {
        let (kind, name) = match outcome {
            Outcome::Value(_) => (StateType::Completed, "Completed"),
            Outcome::Failure(failure) if failure.is_skip() => (StateType::Completed, "Skipped"),
            Outcome::Failure(_) => (StateType::Failed, "Failed"),
            Outcome::Ended(end) => match end.kind {
                EndKind::Trapped(_) => (StateType::Failed, "Trapped"),
                EndKind::TimedOut => (StateType::Failed, "TimedOut"),
                EndKind::OutOfMemory => (StateType::Failed, "OutOfMemory"),
                EndKind::OutOfFuel => (StateType::Failed, "OutOfFuel"),
                EndKind::OutputTooLarge => (StateType::Failed, "OutputTooLarge"),
                EndKind::InvalidResult => (StateType::Failed, "InvalidResult"),
                EndKind::Refused => (StateType::Failed, "Refused"),
                // The name is that of Prefect 0.x (`prefect.engine.state.TriggerFailed`).
                EndKind::UpstreamFailed => (StateType::Failed, "TriggerFailed"),
                // As in Prefect 0.x, where `Skipped` is a kind of success.
                EndKind::Skipped => (StateType::Completed, "Skipped"),
                EndKind::Cancelled => (StateType::Cancelled, "Cancelled"),
                EndKind::HostLost => (StateType::Crashed, "HostLost"),
                // `HostError` and any kind that a later version adds.
                _ => (StateType::Crashed, "Crashed"),
            },
        };
        let message = match outcome {
            Outcome::Value(_) => None,
            Outcome::Failure(failure) => Some(failure.to_string().into()),
            Outcome::Ended(end) => Some(end.message.as_str().into()),
        };
        Self { message, ..Self::plain(kind, name, at) }
    }

    /// Whether the run stays in this state for good.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.kind.is_final()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.name),
            None => f.write_str(&self.name),
        }
    }
}
