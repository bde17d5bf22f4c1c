//! What is counted of one stage.

use std::sync::Arc;
use std::time::Instant;

/// One stage of a flow, or a map: the runs that have a name in common.
#[derive(Debug, Clone)]
pub(crate) struct StageView {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Whether it is a hook's, and so none of the flow's own.
    pub(crate) is_hook: bool,
    /// How many runs it will have, where that is known.
    pub(crate) total: Option<u64>,
    /// How its runs stand.
    pub(crate) counts: Counts,
    /// When its first run came to be.
    pub(crate) started: Option<Instant>,
    /// When its latest run ended.
    pub(crate) ended: Option<Instant>,
    /// The time of its runs together, in microseconds.
    pub(crate) busy_micros: u64,
    /// The longest of its runs, in microseconds.
    pub(crate) slowest_micros: u64,
    /// The most memory that one of its runs used, in bytes.
    pub(crate) peak_memory: u64,
}

/// How the runs of a stage stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Runs that came to be.
    pub(crate) submitted: u64,
    /// Runs that are running.
    pub(crate) running: u64,
    /// Runs that wait until they are tried again.
    pub(crate) waiting: u64,
    /// Attempts beyond the first of each run.
    pub(crate) retries: u64,
    /// Runs that returned a value, or were skipped.
    pub(crate) completed: u64,
    /// Of the completed ones, those whose value came from the cache.
    pub(crate) cached: u64,
    /// Of the completed ones, those whose value an earlier run of the flow made.
    pub(crate) reused: u64,
    /// Of the completed ones, those that were skipped.
    pub(crate) skipped: u64,
    /// Runs that failed.
    pub(crate) failed: u64,
    /// Of the failed ones, those that ran out of time.
    pub(crate) timed_out: u64,
    /// Of the failed ones, those that never started because what they depend on failed.
    pub(crate) upstream: u64,
    /// Runs that crashed.
    pub(crate) crashed: u64,
    /// Runs that were cancelled.
    pub(crate) cancelled: u64,
}

impl Counts {
    /// Runs that have ended.
    pub(crate) const fn done(&self) -> u64 {
        self.completed + self.failed + self.crashed + self.cancelled
    }

    /// Runs that failed or crashed.
    pub(crate) const fn bad(&self) -> u64 {
        self.failed + self.crashed
    }

    /// These and those together.
    pub(super) const fn and(self, other: &Self) -> Self {
        Self {
            submitted: self.submitted + other.submitted,
            running: self.running + other.running,
            waiting: self.waiting + other.waiting,
            retries: self.retries + other.retries,
            completed: self.completed + other.completed,
            cached: self.cached + other.cached,
            reused: self.reused + other.reused,
            skipped: self.skipped + other.skipped,
            failed: self.failed + other.failed,
            timed_out: self.timed_out + other.timed_out,
            upstream: self.upstream + other.upstream,
            crashed: self.crashed + other.crashed,
            cancelled: self.cancelled + other.cancelled,
        }
    }
}

impl StageView {
    /// A stage that nothing has happened in.
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            is_hook: false,
            total: None,
            counts: Counts::default(),
            started: None,
            ended: None,
            busy_micros: 0,
            slowest_micros: 0,
            peak_memory: 0,
        }
    }
}
