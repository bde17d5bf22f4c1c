//! Asking a run to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Asks a run to stop, once and for good. Cheap to clone; all clones are the same request.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    /// Most tokens are never waited for and have no children, and each run has one.
    listeners: Mutex<Option<Box<Listeners>>>,
}

/// Whoever hears of a cancel.
#[derive(Default)]
struct Listeners {
    wakers: Vec<Waker>,
    children: Children,
}

/// Tokens that are cancelled with this one.
#[derive(Default)]
struct Children {
    tokens: Vec<Weak<Inner>>,
    /// How many there may be before those that are gone are taken out.
    sweep_at: usize,
}

/// Least number of children at which those that are gone are looked for.
const SWEEP_AT_LEAST: usize = 64;

impl CancelToken {
    /// A token that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop. Whether this was the first time.
    pub fn cancel(&self) -> bool {
        let first = !self.0.cancelled.swap(true, Ordering::SeqCst);
        let listeners = self.0.listeners.lock().take();
        if let Some(listeners) = listeners {
            listeners.wakers.into_iter().for_each(Waker::wake);
            for child in listeners.children.tokens.iter().filter_map(Weak::upgrade) {
                Self(child).cancel();
            }
        }
        first
    }

    /// A token that is cancelled with this one, and that can be cancelled alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        {
            let mut listeners = self.0.listeners.lock();
            let children = &mut listeners.get_or_insert_default().children;
            // The calls of a long map come and go; only those that live still are remembered.
            if children.tokens.len() >= children.sweep_at {
                children.tokens.retain(|token| token.strong_count() > 0);
                children.sweep_at = SWEEP_AT_LEAST.max(2 * children.tokens.len());
            }
            children.tokens.push(Arc::downgrade(&child.0));
        }
        // A cancel that came before the push has not seen the child.
        if self.is_cancelled() {
            child.cancel();
        }
        child
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Ready once the run was asked to stop; until then the task in `context` is woken then.
    pub fn poll_cancelled(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_cancelled() {
            return Poll::Ready(());
        }
        let mut listeners = self.0.listeners.lock();
        let wakers = &mut listeners.get_or_insert_default().wakers;
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        drop(listeners);
        // A cancel between the first look and the lock found no waker to wake: look again.
        if self.is_cancelled() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Blocks until the run is asked to stop, or until then. Whether it was asked.
    #[must_use]
    pub fn wait_until(&self, until: Instant) -> bool {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        if self.poll_cancelled(&mut Context::from_waker(&waker)).is_ready() {
            return true;
        }
        let mut rung = bell.rung.lock();
        while !*rung && !bell.wake.wait_until(&mut rung, until).timed_out() {}
        drop(rung);
        // One that waits often must not leave a waker behind each time.
        if let Some(listeners) = &mut *self.0.listeners.lock() {
            listeners.wakers.retain(|other| !other.will_wake(&waker));
        }
        self.is_cancelled()
    }
}

/// Wakes one thread.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.wake.notify_one();
    }
}

/// Two tokens are equal when they are the same request.
impl PartialEq for CancelToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CancelToken {}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelToken({})", self.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn children_are_cancelled_with_their_parent_and_alone() {
        let parent = CancelToken::new();
        let (alone, with) = (parent.child(), parent.child());
        assert!(alone.cancel());
        assert!(alone.is_cancelled() && !parent.is_cancelled() && !with.is_cancelled());
        assert!(parent.cancel());
        assert!(with.is_cancelled() && parent.child().is_cancelled());
    }

    #[test]
    fn a_wait_ends_with_the_cancel_or_in_its_time_and_leaves_nothing_behind() {
        let token = CancelToken::new();
        for _ in 0..10 {
            assert!(!token.wait_until(Instant::now() + Duration::from_millis(1)));
        }
        assert!(token.0.listeners.lock().as_ref().unwrap().wakers.is_empty());
        let other = token.child();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            token.cancel()
        });
        assert!(other.wait_until(Instant::now() + Duration::from_secs(60)));
        assert!(thread.join().unwrap());
        assert!(other.wait_until(Instant::now()));
    }

    #[test]
    fn children_that_are_gone_are_forgotten() {
        let parent = CancelToken::new();
        let kept: Vec<CancelToken> = (0..10).map(|_| parent.child()).collect();
        (0..100_000).for_each(|_| drop(parent.child()));
        let remembered = parent.0.listeners.lock().as_ref().unwrap().children.tokens.len();
        assert!(remembered <= 2 * SWEEP_AT_LEAST);
        parent.cancel();
        assert!(kept.iter().all(CancelToken::is_cancelled));
    }
}
