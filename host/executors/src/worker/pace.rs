//! How fast bytes have to come: a chunk within a time, in however few or many parts. Plain state.

use sandmill_transport::CHUNK;
use tokio::time::Instant;

use super::serve::CHUNK_PATIENCE;

/// The pace of one value on its way.
pub(super) struct Pace {
    due: Instant,
    /// Bytes since the last whole chunk.
    came: usize,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now + CHUNK_PATIENCE, came: 0 }
    }

    /// When the next chunk has to be whole.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Notes bytes that came then, and were taken now: the time between is not theirs.
    pub(super) fn came(&mut self, bytes: usize, then: Instant, now: Instant) {
        self.due += now.saturating_duration_since(then);
        self.came += bytes;
        if self.came >= CHUNK {
            self.came %= CHUNK;
            self.due = now + CHUNK_PATIENCE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_pieces_buy_no_time_and_chunks_do() {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        let mut now = began;
        for _ in 0..30 {
            now += CHUNK_PATIENCE / 60;
            pace.came(1, now, now);
        }
        assert_eq!(pace.due(), began + CHUNK_PATIENCE);
        // Where the worker had no room for them, they need not hurry.
        pace.came(1, now, now + CHUNK_PATIENCE);
        assert_eq!(pace.due(), began + CHUNK_PATIENCE * 2);
        now += CHUNK_PATIENCE;
        pace.came(CHUNK, now, now);
        assert_eq!(pace.due(), now + CHUNK_PATIENCE);
        // What is beyond a chunk counts for the next one.
        now += CHUNK_PATIENCE / 2;
        pace.came(CHUNK - 31, now, now);
        assert_eq!(pace.due(), now + CHUNK_PATIENCE);
    }
}
