//! A queue that tells which of several runs have ended, in the order in which they did.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Collects the tags of runs that have ended. One consumer, which may block or be polled.
#[derive(Default)]
pub(super) struct Completions {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    tags: VecDeque<usize>,
    /// Something else changed that the consumer should look at: a list grew.
    nudged: bool,
    waker: Option<Waker>,
}

/// What a wait on [`Completions`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The run with this tag has ended.
    Completed(usize),
    /// Nothing ended, but there may be more to look at.
    Nudged,
    /// Time is over.
    TimedOut,
}

impl Completions {
    pub(super) fn sink(self: &Arc<Self>, tag: usize) -> Sink {
        Sink { completions: Arc::downgrade(self), tag }
    }

    pub(super) fn try_next(&self) -> Option<usize> {
        self.queue.lock().tags.pop_front()
    }

    pub(super) fn next(&self, deadline: Option<Instant>) -> Woken {
        let mut queue = self.queue.lock();
        loop {
            if let Some(woken) = queue.take() {
                return woken;
            }
            match deadline {
                None => self.changed.wait(&mut queue),
                Some(deadline) => {
                    if self.changed.wait_until(&mut queue, deadline).timed_out() {
                        return queue.take().unwrap_or(Woken::TimedOut);
                    }
                }
            }
        }
    }

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Woken> {
        let mut queue = self.queue.lock();
        if let Some(woken) = queue.take() {
            return Poll::Ready(woken);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn nudge(&self) {
        self.change(|queue| queue.nudged = true);
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        change(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        self.changed.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    fn take(&mut self) -> Option<Woken> {
        if let Some(tag) = self.tags.pop_front() {
            return Some(Woken::Completed(tag));
        }
        std::mem::take(&mut self.nudged).then_some(Woken::Nudged)
    }
}

/// Where one run reports that it has ended.
pub(super) struct Sink {
    completions: Weak<Completions>,
    tag: usize,
}

impl Sink {
    pub(super) fn complete(&self) {
        if let Some(completions) = self.completions.upgrade() {
            completions.change(|queue| queue.tags.push_back(self.tag));
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.completions.strong_count() > 0
    }
}
