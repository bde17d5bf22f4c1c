//! How many components are compiled at a time. Those that come meanwhile wait for their turn.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long a component waits at most until it is its turn to be compiled: 15 min.
pub const COMPILE_WAIT: Duration = Duration::from_secs(900);

/// Lets so many through at a time.
pub(crate) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One that was let through, until it is dropped.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        Self { free: Mutex::new(most), freed: Condvar::new() }
    }

    /// Waits for a turn; none when it has not come within `patience`.
    pub(crate) fn pass(&self, patience: Duration) -> Option<Pass<'_>> {
        let deadline = Instant::now() + patience;
        let mut free = self.free.lock();
        while *free == 0 {
            if self.freed.wait_until(&mut free, deadline).timed_out() && *free == 0 {
                return None;
            }
        }
        *free -= 1;
        Some(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_and_the_next_when_one_has_gone() {
        let gate = Gate::new(2);
        let (first, second) = (gate.pass(Duration::ZERO), gate.pass(Duration::ZERO));
        assert!(first.is_some() && second.is_some());
        assert!(gate.pass(Duration::from_millis(5)).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.pass(Duration::from_secs(60)).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
        assert!(gate.pass(Duration::ZERO).is_some());
    }
}
