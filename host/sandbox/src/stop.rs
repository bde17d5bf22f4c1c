//! When a run has to stop: its deadline, or a cancellation and the grace after it. How it is
//! stopped is in `block_on` (while it waits) and `host` (while it computes).

use std::cell::Cell;
use std::time::{Duration, Instant};

use sandmill_core::CancelToken;

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the deadline has passed")]
    Deadline,
    #[error("the run was cancelled")]
    Cancelled,
}

/// Says when a run has to stop.
#[derive(Debug, Clone)]
pub(crate) struct StopRule {
    /// None when it is further away than the clock goes.
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: CancelToken,
    pub(crate) grace: Duration,
    /// When the cancellation was first seen.
    seen: Cell<Option<Instant>>,
}

impl StopRule {
    pub(crate) fn new(
        start: Instant,
        timeout: Duration,
        cancel: CancelToken,
        grace: Duration,
    ) -> Self {
        Self { deadline: start.checked_add(timeout), cancel, grace, seen: Cell::new(None) }
    }

    /// Looks whether to stop now; if not, answers by when to look again.
    pub(crate) fn check(&self, cancelled: bool) -> Result<Option<Instant>, Stop> {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(Stop::Deadline);
        }
        if !cancelled {
            return Ok(self.deadline);
        }
        let seen = self.seen.get().unwrap_or(now);
        self.seen.set(Some(seen));
        let end = seen.checked_add(self.grace);
        if end.is_some_and(|end| now >= end) {
            return Err(Stop::Cancelled);
        }
        Ok(match (end, self.deadline) {
            (Some(end), Some(deadline)) => Some(end.min(deadline)),
            (end, deadline) => end.or(deadline),
        })
    }
}
