//! When a run has to stop: its own time limit, the deadline that it shares with its other attempts
//! (and with the flow it is part of), or a cancellation and the grace after it. How it is
//! stopped is in `block_on` (while it waits) and `host` (while it computes).

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sandmill_core::CancelToken;

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    /// The attempt has used up its own time.
    #[error("the time limit has passed")]
    Timeout,
    /// The run has, over all its attempts.
    #[error("the run's deadline has passed")]
    Deadline,
    #[error("the run was cancelled")]
    Cancelled,
}

/// Says when a run has to stop.
#[derive(Debug, Clone)]
pub(crate) struct StopRule {
    /// When the attempt has used up its own time. None when it is further away than the clock goes.
    own: Option<Instant>,
    /// When the run has to have ended, over all its attempts.
    of_run: Option<Instant>,
    pub(crate) cancel: CancelToken,
    pub(crate) grace: Duration,
    /// When the cancellation was first seen.
    seen: Cell<Option<Instant>>,
    /// Nanoseconds that do not count against the attempt's own time, shared by all clones; none for
    /// runs whose time all counts.
    allowance: Option<Arc<AtomicU64>>,
}

impl StopRule {
    pub(crate) fn new(
        start: Instant,
        timeout: Duration,
        cancel: CancelToken,
        grace: Duration,
    ) -> Self {
        let own = start.checked_add(timeout);
        Self { own, of_run: None, cancel, grace, seen: Cell::new(None), allowance: None }
    }

    /// The same for a run that has to have ended by `run_deadline`, if there is one.
    pub(crate) const fn within(mut self, run_deadline: Option<Instant>) -> Self {
        self.of_run = run_deadline;
        self
    }

    /// The same for a run part of whose time does not count (see [`StopRule::allow`]).
    pub(crate) fn with_allowance(mut self) -> Self {
        self.allowance = Some(Arc::default());
        self
    }

    /// Time that has passed and does not count.
    pub(crate) fn allow(&self, time: Duration) {
        if let Some(allowance) = &self.allowance {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            allowance.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// When the attempt has used up its own time, not counting what does not count.
    fn own(&self) -> Option<Instant> {
        let allowed = self.allowance.as_ref().map_or(0, |nanos| nanos.load(Ordering::Relaxed));
        self.own?.checked_add(Duration::from_nanos(allowed))
    }

    /// When the run has to stop, if nobody cancels it: the sooner of the attempt's and the run's.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match (self.own(), self.of_run) {
            (Some(own), Some(of_run)) => Some(own.min(of_run)),
            (own, of_run) => own.or(of_run),
        }
    }

    /// Looks whether to stop now; if not, answers by when to look again.
    pub(crate) fn check(&self, cancelled: bool) -> Result<Option<Instant>, Stop> {
        let (now, deadline) = (Instant::now(), self.deadline());
        if deadline.is_some_and(|deadline| now >= deadline) {
            let own_is_over = self.own().is_some_and(|own| deadline == Some(own));
            return Err(if own_is_over { Stop::Timeout } else { Stop::Deadline });
        }
        if !cancelled {
            return Ok(deadline);
        }
        let seen = self.seen.get().unwrap_or(now);
        self.seen.set(Some(seen));
        let end = seen.checked_add(self.grace);
        if end.is_some_and(|end| now >= end) {
            return Err(Stop::Cancelled);
        }
        Ok(match (end, deadline) {
            (Some(end), Some(deadline)) => Some(end.min(deadline)),
            (end, deadline) => end.or(deadline),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_deadline_counts_and_says_which_it_was() {
        let start = Instant::now();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(3_600));
        let rule = |timeout, deadline: Option<Duration>| {
            StopRule::new(start, timeout, CancelToken::new(), Duration::ZERO)
                .within(deadline.map(|after| start + after))
        };
        std::thread::sleep(short);
        assert_eq!(rule(short, None).check(false), Err(Stop::Timeout));
        assert_eq!(rule(short, Some(long)).check(false), Err(Stop::Timeout));
        assert_eq!(rule(long, Some(short)).check(false), Err(Stop::Deadline));
        assert_eq!(rule(Duration::MAX, Some(short)).check(false), Err(Stop::Deadline));
        assert_eq!(rule(Duration::MAX, Some(long)).check(false), Ok(Some(start + long)));
        assert_eq!(rule(long, None).check(false), Ok(Some(start + long)));
    }

    #[test]
    fn time_that_does_not_count_moves_the_attempts_end_and_never_the_runs() {
        let start = Instant::now();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(3_600));
        let rule = StopRule::new(start, short, CancelToken::new(), Duration::ZERO).with_allowance();
        rule.allow(long);
        assert_eq!(rule.check(false), Ok(Some(start + short + long)));
        let half = start + long / 2;
        assert_eq!(rule.clone().within(Some(half)).check(false), Ok(Some(half)));
        std::thread::sleep(short);
        assert_eq!(rule.within(Some(start + short)).check(false), Err(Stop::Deadline));
    }

    #[test]
    fn time_that_does_not_count_moves_the_deadline_of_all_clones() {
        let limit = Duration::from_millis(1);
        let rule = StopRule::new(Instant::now(), limit, CancelToken::new(), Duration::ZERO);
        let (plain, clone) = (rule.clone(), rule.with_allowance());
        let allowing = clone.clone();
        std::thread::sleep(2 * limit);
        for rule in [&plain, &clone] {
            assert_eq!(rule.check(false), Err(Stop::Timeout));
            rule.allow(Duration::from_secs(3_600));
        }
        assert_eq!(plain.check(false), Err(Stop::Timeout));
        assert!(clone.check(false).is_ok() && allowing.check(false).is_ok());
    }
}
