//! How many refusals a server tells its host of: a few each second, the others as a number. Whoever
//! is refused may come again at once, as often as a network lets it, and must not fill a log by that.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::serve::REFUSALS_A_SECOND;

/// The time within which refusals are counted together.
const TOGETHER: Duration = Duration::from_secs(1);

/// The refusals of late.
#[derive(Debug)]
pub(super) struct Tally {
    late: Mutex<Late>,
    /// Rung when one was not told of.
    untold: Notify,
}

#[derive(Debug)]
struct Late {
    since: Instant,
    told: u32,
    untold: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let late = Late { since: Instant::now(), told: 0, untold: 0 };
        Self { late: Mutex::new(late), untold: Notify::new() }
    }

    /// Whether a refusal at this moment is told of by itself; one that is not is counted.
    pub(super) fn tells(&self, now: Instant) -> bool {
        let mut late = self.late.lock();
        if now.saturating_duration_since(late.since) >= TOGETHER {
            (late.since, late.told) = (now, 0);
        }
        if late.told < REFUSALS_A_SECOND {
            late.told += 1;
            return true;
        }
        late.untold += 1;
        drop(late);
        self.untold.notify_one();
        false
    }

    /// How many were not told of, which are now.
    pub(super) fn take(&self) -> u64 {
        std::mem::take(&mut self.late.lock().untold)
    }

    /// Resolves when there are some that were not told of, and a moment for others has passed.
    pub(super) async fn due(&self) {
        self.untold.notified().await;
        sleep(TOGETHER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_each_second_are_told_and_the_others_counted() {
        let (tally, now) = (Tally::new(), Instant::now());
        let told = |at: Instant| (0..1_000).filter(|_| tally.tells(at)).count();
        assert_eq!(told(now), REFUSALS_A_SECOND as usize);
        assert_eq!(told(now + TOGETHER / 2), 0);
        assert_eq!(tally.take(), 2_000 - u64::from(REFUSALS_A_SECOND));
        assert_eq!(tally.take(), 0);
        assert_eq!(told(now + TOGETHER * 2), REFUSALS_A_SECOND as usize);
    }
}
