//! For how long the slots have enough to do with what waits for them, and so how long a report may wait
//! for others to be said with it. Plain state.

use std::time::Duration;

use super::config::{BACKLOG_LEAST, REPORT_DELAY_MOST};

/// How long runs of a coordinator take, of late.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backlog {
    /// Eight times as many, so that no part of a short run is lost in the division.
    eighths: u64,
}

impl Backlog {
    /// Notes how long a run was in its slot.
    pub(super) const fn took(&mut self, micros: u64) {
        // An eighth of each: the typical time follows within some ten runs.
        self.eighths = (self.eighths - self.eighths / 8).saturating_add(micros);
    }

    /// How long a report may wait, where so many runs wait for so many slots: not at all where they
    /// might run dry before the next orders are there, and else for a quarter of what they have to do.
    pub(super) fn patience(&self, waiting: usize, slots: usize) -> Option<Duration> {
        // Each slot has one more than the one that it takes next.
        if waiting < 2 * slots {
            return None;
        }
        let micros = (waiting as u64).saturating_mul(self.eighths / 8) / slots.max(1) as u64;
        let busy = Duration::from_micros(micros);
        (busy >= BACKLOG_LEAST).then(|| (busy / 4).min(REPORT_DELAY_MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(micros: u64) -> Backlog {
        let mut backlog = Backlog::default();
        (0..100).for_each(|_| backlog.took(micros));
        backlog
    }

    #[test]
    fn reports_wait_while_slots_have_enough_to_do() {
        assert_eq!(Backlog::default().patience(1_000, 2), None, "nothing is known");
        assert!(after(7).patience(1_000, 2).is_some(), "shorter than eight microseconds");
        let short = after(16);
        assert_eq!(short.patience(200, 2), None);
        let waits = short.patience(400, 2).expect("that is over two milliseconds");
        assert!(waits >= BACKLOG_LEAST / 4 && waits < Duration::from_millis(1), "{waits:?}");
        let long = after(1_000_000);
        assert_eq!(long.patience(3, 2), None, "a slot may have none after this one");
        assert_eq!(long.patience(4, 2), Some(REPORT_DELAY_MOST));
    }
}
