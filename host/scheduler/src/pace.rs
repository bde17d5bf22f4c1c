//! How long runs of one kind take, and how many of them a slot is given ahead for it. Plain state.

use std::time::Duration;

use crate::config::PREFETCH_HORIZON;

/// How much one more run counts: the typical duration follows within some ten runs.
const WEIGHT: f64 = 1.0 / 8.0;

/// The pace of runs of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    least: u32,
    most: u32,
    /// The typical duration, as the binary logarithm of microseconds: one that took a thousand times
    /// as long as the others, since the machine was busy, says little of them.
    typical: Option<f64>,
    ahead: u32,
}

impl Pace {
    /// Of runs that nothing is known of: each slot is given `least` of them ahead, and never more than
    /// `most`.
    pub(crate) fn new(least: u32, most: u32) -> Self {
        Self { least, most: most.max(least), typical: None, ahead: least }
    }

    /// How many each slot is given beyond the one in it.
    pub(crate) const fn ahead(&self) -> u32 {
        self.ahead
    }

    /// How long such runs take, once one has.
    pub(crate) fn typical(&self) -> Option<Duration> {
        self.typical.map(|typical| Duration::from_secs_f64(typical.exp2() / 1e6))
    }

    /// The same, where nothing is to be given for shortness alone.
    pub(crate) const fn least(&self) -> u32 {
        self.least
    }

    /// Notes that a run took so long; whether that changed how many are given ahead. It changes by
    /// powers of two, so that it does so seldom.
    pub(crate) fn took(&mut self, time: Duration) -> bool {
        let time = (time.as_secs_f64() * 1e6).max(1.0).log2();
        let typical = self.typical.map_or(time, |typical| typical + (time - typical) * WEIGHT);
        self.typical = Some(typical);
        let now = self.ahead;
        let (up, down) = (self.of(typical), self.of(typical - 0.5));
        // A first one says little of those to come, so it goes up by steps; and down only where it is
        // clearly less, not to go to and fro.
        self.ahead = if up > now { up.min(now.saturating_mul(2).max(1)) } else { down.min(now) };
        self.ahead = self.ahead.clamp(self.least, self.most);
        self.ahead != now
    }

    /// How many runs of that duration are over within the horizon, as a power of two within bounds.
    fn of(&self, typical: f64) -> u32 {
        let horizon = (PREFETCH_HORIZON.as_secs_f64() * 1e6).log2();
        let exponent = (horizon - typical).floor();
        // Within 0 and 31 before it is made a number.
        let runs = if exponent < 0.0 { 0 } else { 1_u32 << (exponent.min(31.0) as u32) };
        runs.clamp(self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pace: &mut Pace, runs: u32, micros: u64) -> u32 {
        for _ in 0..runs {
            pace.took(Duration::from_micros(micros));
        }
        pace.ahead()
    }

    #[test]
    fn short_runs_are_given_in_numbers_and_long_ones_are_not() {
        let mut pace = Pace::new(1, 64);
        assert_eq!((pace.ahead(), pace.typical()), (1, None));
        assert_eq!(after(&mut pace, 1, 10), 2);
        assert_eq!(after(&mut pace, 5, 10), 64);
        // One that was held up changes little, and many change it soon.
        assert!(after(&mut pace, 1, 10_000) >= 16);
        assert_eq!(after(&mut pace, 60, 30_000), 1);
        assert!(after(&mut pace, 40, 1_000) >= 2);
        let before = pace.ahead();
        assert!(after(&mut pace, 1, 0) <= 2 * before);
        assert_eq!(after(&mut pace, 100, 0), 64);
        assert!(pace.typical().is_some_and(|time| time < Duration::from_micros(2)));
        // At a boundary it stays where it is.
        let mut pace = Pace::new(1, 64);
        let held = after(&mut pace, 200, 600);
        for micros in [700, 560, 650, 590, 640, 600] {
            assert_eq!(after(&mut pace, 1, micros), held);
        }
        assert_eq!(after(&mut pace, 100, 3_600_000_000), 1);
    }

    #[test]
    fn the_bounds_are_kept() {
        assert_eq!(after(&mut Pace::new(0, 0), 10, 1), 0);
        assert_eq!(after(&mut Pace::new(3, 0), 10, 1), 3);
        assert_eq!(after(&mut Pace::new(0, 5), 10, 1), 5);
        assert_eq!(after(&mut Pace::new(0, 5), 10, 1_000_000), 0);
        assert_eq!(after(&mut Pace::new(0, 5), 1, 1), 1);
    }
}
