//! [`State`]: where a run stands. Why there is no result is in `error`.

use std::fmt;

use super::host;

/// The kinds of state that a run goes through (those of Prefect 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateType {
    /// It will run at some time.
    Scheduled,
    /// It waits: for a slot, or for a run whose result it takes.
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
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Crashed | Self::Cancelled)
    }
}

impl fmt::Display for StateType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<host::StateType> for StateType {
    fn from(kind: host::StateType) -> Self {
        match kind {
            host::StateType::Scheduled => Self::Scheduled,
            host::StateType::Pending => Self::Pending,
            host::StateType::Running => Self::Running,
            host::StateType::Completed => Self::Completed,
            host::StateType::Failed => Self::Failed,
            host::StateType::Crashed => Self::Crashed,
            host::StateType::Cancelled => Self::Cancelled,
            host::StateType::Cancelling => Self::Cancelling,
            host::StateType::Paused => Self::Paused,
        }
    }
}

/// Where a run stands, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The kind.
    pub kind: StateType,
    /// A finer name: `TimedOut` for a `failed` run that ran out of time, for example.
    pub name: String,
    /// Why, for a person.
    pub message: Option<String>,
}

impl State {
    /// Whether the run stays in this state for good.
    pub const fn is_final(&self) -> bool {
        self.kind.is_final()
    }

    /// Whether the run returned a value, or was skipped.
    pub const fn is_completed(&self) -> bool {
        matches!(self.kind, StateType::Completed)
    }
}

impl From<host::State> for State {
    fn from(state: host::State) -> Self {
        Self { kind: state.kind.into(), name: state.name, message: state.message }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(formatter, "{}: {message}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}
