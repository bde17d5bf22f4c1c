//! Why a flow's run stops before its script is done.

use std::time::Duration;

use sandmill_core::units::format_duration;
use sandmill_wire::{End, EndKind, Failure, Outcome};

/// Why a flow's run stops before its script is done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// It ends for good: cancelled, out of time, or something went wrong with it.
    Ends(Outcome),
    /// It is left for later.
    Interrupted(Outcome),
}

impl Stop {
    pub(super) fn cancelled() -> Self {
        Self::Ends(End::new(EndKind::Cancelled, "the flow was cancelled").into())
    }

    /// It was left, and is not to go on.
    pub(super) fn cancelled_for(why: &str) -> Self {
        Self::Ends(End::new(EndKind::Cancelled, why).into())
    }

    /// Its own timeout is over, or the deadline of what it is part of.
    pub(super) fn timed_out(timeout: Option<Duration>) -> Self {
        let what = match timeout {
            Some(timeout) => format!("the flow was not done within {}", format_duration(timeout)),
            None => "the flow was not done by the deadline of what it is part of".to_owned(),
        };
        Self::Ends(End::new(EndKind::TimedOut, what).into())
    }

    pub(super) fn interrupted(why: &str) -> Self {
        Self::Interrupted(End::new(EndKind::Cancelled, format!("interrupted; {why}")).into())
    }

    /// The host failed, and the flow can be taken up once it does not any more.
    pub(super) fn crashed(what: impl Into<String>) -> Self {
        Self::Interrupted(End::new(EndKind::HostError, what).into())
    }

    pub(super) fn unreadable(error: &dyn std::fmt::Display) -> Self {
        Self::crashed(format!("the journal of the flow cannot be read: {error}"))
    }

    pub(super) fn failed(kind: &str, what: impl Into<String>) -> Self {
        Self::Ends(Outcome::Failure(Failure::new(kind, what)))
    }

    pub(super) const fn outcome(&self) -> &Outcome {
        match self {
            Self::Ends(outcome) | Self::Interrupted(outcome) => outcome,
        }
    }

    pub(super) const fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }

    /// For people.
    pub(super) fn message(&self) -> String {
        match self.outcome() {
            Outcome::Value(_) => String::new(),
            Outcome::Failure(failure) => failure.message.clone(),
            Outcome::Ended(end) => end.message.clone(),
        }
    }
}
