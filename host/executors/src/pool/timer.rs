//! The thread of a pool that waits for moments: it queues the runs that are due to be tried again,
//! ends those that waited for a slot for too long, and lets go of those that were cancelled
//! meanwhile. However busy the slots are, these things happen in time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::out::{Place, become_place};
use super::queue::Queue;

/// Wakes the timer before its time. As a waker it says that a run which awaits its retry was
/// cancelled: it may be called under the lock of that run, so it takes none of the queue's.
#[derive(Default)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    wake: Condvar,
    cancelled: AtomicBool,
}

impl Alarm {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.wake.notify_one();
    }

    /// Whether a run was cancelled since it was last asked.
    pub(super) fn take_cancelled(&self) -> bool {
        self.cancelled.swap(false, Ordering::SeqCst)
    }

    /// Whether a run was cancelled since it was last taken.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn wait(&self, until: Option<Instant>) {
        let mut rung = self.rung.lock();
        while !*rung {
            match until {
                Some(until) if self.wake.wait_until(&mut rung, until).timed_out() => break,
                Some(_) => {}
                None => self.wake.wait(&mut rung),
            }
        }
        *rung = false;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.ring();
    }
}

/// What the timer does next.
pub(super) enum Next {
    /// Waits until then, or until it is rung.
    Wait(Option<Instant>),
    /// Ends, because the pool has.
    End,
}

/// Starts the timer of a queue.
pub(crate) fn spawn(queue: &Arc<Queue>) -> std::io::Result<JoinHandle<()>> {
    let queue = Arc::clone(queue);
    std::thread::Builder::new().name("sandmill-timer".to_owned()).spawn(move || {
        become_place(&queue, Some(Place::Slot(queue.timer_slot())));
        loop {
            // The end of a run may run what users bring along (a waker, the drop of an iterator):
            // one that panics must not cost the pool its timer.
            match catch_unwind(AssertUnwindSafe(|| queue.tick())) {
                Ok(Next::End) => return,
                Ok(Next::Wait(until)) => queue.alarm().wait(until),
                Err(_) => queue.ended(queue.timer_slot()),
            }
        }
    })
}
