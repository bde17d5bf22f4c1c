//! Why a flow has no result to go on with. What a task's author returns is a [`Failure`], which all
//! of these become by `?`; none of them implements [`std::error::Error`], so that they do so with a
//! kind and details of their own.

use std::fmt;

use serde::Serialize;

use super::host;
use super::state::State;
use crate::Failure;

/// A run that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRun {
    /// The run's id.
    pub run: String,
    /// Its name, such as `count[3]`.
    pub name: String,
    /// Its final state.
    pub state: State,
    /// What the task's author returned, where that is why.
    pub failure: Option<Failure>,
}

impl fmt::Display for FailedRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} gave no result: {}", self.name, self.state)
    }
}

impl From<host::RunError> for FailedRun {
    fn from(error: host::RunError) -> Self {
        Self {
            run: error.run,
            name: error.name,
            state: error.state.into(),
            failure: error.failure.map(Failure::from_contract),
        }
    }
}

/// The details of a failure of kind [`Failure::RUN_FAILED`].
#[derive(Serialize)]
#[serde(crate = "crate::serde")]
struct Details<'a> {
    run: &'a str,
    name: &'a str,
    state: StateDetails<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureDetails<'a>>,
}

#[derive(Serialize)]
#[serde(crate = "crate::serde")]
struct StateDetails<'a> {
    r#type: &'static str,
    name: &'a str,
    message: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(crate = "crate::serde")]
struct FailureDetails<'a> {
    kind: &'a str,
    message: &'a str,
    retriable: bool,
}

impl From<FailedRun> for Failure {
    /// Kind [`Failure::RUN_FAILED`]; the details are a map of `run`, `name`, `state` (`type`,
    /// `name`, `message`) and, where the task's author returned one, `failure` (`kind`, `message`,
    /// `retriable`).
    fn from(error: FailedRun) -> Self {
        let details = Details {
            run: &error.run,
            name: &error.name,
            state: StateDetails {
                r#type: error.state.kind.name(),
                name: &error.state.name,
                message: error.state.message.as_deref(),
            },
            failure: error.failure.as_ref().map(|failure| FailureDetails {
                kind: failure.kind(),
                message: failure.message(),
                retriable: failure.is_retriable(),
            }),
        };
        Self::new(Self::RUN_FAILED, error.to_string()).with_details(&details)
    }
}

/// Why there is no result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The time to wait was over before the run had ended. The run goes on.
    Timeout {
        /// The run's name.
        name: String,
    },
    /// The run ended without a result.
    Failed(Box<FailedRun>),
    /// There is a result, and it is not of the type that was asked for.
    WrongType {
        /// The run's name.
        name: String,
        /// What does not fit.
        message: String,
    },
}

impl RunError {
    /// The run that ended without a result, where that is why.
    pub fn failed_run(&self) -> Option<&FailedRun> {
        match self {
            Self::Failed(run) => Some(run),
            _ => None,
        }
    }

    /// What the task's author returned, where that is why.
    pub fn failure(&self) -> Option<&Failure> {
        self.failed_run()?.failure.as_ref()
    }

    /// The final state of the run that ended without a result, where that is why.
    pub fn state(&self) -> Option<&State> {
        self.failed_run().map(|run| &run.state)
    }

    /// Whether the time to wait was over.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// What the host said; `name` is asked for only if it has to be.
    pub(super) fn of(error: host::ResultError, name: impl FnOnce() -> String) -> Self {
        match error {
            host::ResultError::Timeout => Self::Timeout { name: name() },
            host::ResultError::Run(error) => Self::Failed(Box::new(error.into())),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { name } => {
                write!(formatter, "{name} has not ended in the time to wait for it")
            }
            Self::Failed(run) => run.fmt(formatter),
            Self::WrongType { name, message } => {
                write!(formatter, "the result of {name} is not what this flow expects: {message}")
            }
        }
    }
}

impl From<RunError> for Failure {
    /// Kind [`Failure::WAIT_TIMEOUT`], [`Failure::RUN_FAILED`] (with the details that
    /// [`FailedRun`] gives) or [`Failure::WRONG_RESULT`].
    fn from(error: RunError) -> Self {
        match error {
            RunError::Failed(run) => (*run).into(),
            RunError::Timeout { .. } => Self::new(Self::WAIT_TIMEOUT, error.to_string()),
            RunError::WrongType { .. } => Self::new(Self::WRONG_RESULT, error.to_string()),
        }
    }
}

/// The time was over before all of several runs had ended. They go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeout {
    /// How many had not ended.
    pub unfinished: u64,
    /// Of how many.
    pub total: u64,
}

impl fmt::Display for WaitTimeout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The words of Python's `concurrent.futures`, and so of Prefect.
        write!(formatter, "{} (of {}) futures unfinished", self.unfinished, self.total)
    }
}

impl From<WaitTimeout> for Failure {
    /// Kind [`Failure::WAIT_TIMEOUT`].
    fn from(error: WaitTimeout) -> Self {
        Self::new(Self::WAIT_TIMEOUT, error.to_string())
    }
}

/// Why several runs do not all come, or not all have results.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was over first.
    Timeout(WaitTimeout),
    /// A run of them has no result, or a map of them has no runs: its lists are of different
    /// lengths, or the run whose result it goes over gave none.
    Run(RunError),
}

impl WaitError {
    /// Whether the time was over.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::Run(error) => error.is_timeout(),
        }
    }

    /// The run that ended without a result, where that is why.
    pub fn failed_run(&self) -> Option<&FailedRun> {
        match self {
            Self::Timeout(_) => None,
            Self::Run(error) => error.failed_run(),
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(error) => error.fmt(formatter),
            Self::Run(error) => error.fmt(formatter),
        }
    }
}

impl From<WaitTimeout> for WaitError {
    fn from(error: WaitTimeout) -> Self {
        Self::Timeout(error)
    }
}

impl From<RunError> for WaitError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<WaitError> for Failure {
    /// As the error inside.
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Timeout(error) => error.into(),
            WaitError::Run(error) => error.into(),
        }
    }
}
