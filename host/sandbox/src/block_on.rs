//! Waiting for a future on the calling thread, until a deadline or a cancellation. No tokio here:
//! a slot is a plain thread, and it may be one of another runtime.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::stop::{Stop, StopRule};

/// Wakes one thread. Not `thread::park`, whose one token others on this thread may use too.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.rung.lock() = true;
        self.wake.notify_one();
    }
}

impl Bell {
    /// Waits until the bell is rung, or until then.
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

thread_local! {
    // One a thread: a cancel token keeps one waker of it, however often it is asked. Taken while
    // in use, so that a wait inside of a wait gets its own.
    static BELL: RefCell<Option<(Arc<Bell>, Waker)>> = const { RefCell::new(None) };
}

/// Polls `future` on this thread until it is ready or `rule` says to stop. Ends without having
/// armed anything when the future never waits.
pub(crate) fn block_on<F: Future>(
    mut future: Pin<&mut F>,
    rule: &StopRule,
) -> Result<F::Output, Stop> {
    let (bell, waker) = BELL.take().unwrap_or_else(|| {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        (bell, waker)
    });
    let mut context = Context::from_waker(&waker);
    let result = loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            break Ok(output);
        }
        let cancelled = rule.cancel.poll_cancelled(&mut context).is_ready();
        match rule.check(cancelled) {
            Ok(until) => bell.wait(until),
            Err(stop) => break Err(stop),
        }
    };
    BELL.set(Some((bell, waker)));
    result
}
