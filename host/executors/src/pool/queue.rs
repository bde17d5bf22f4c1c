//! What waits for a slot: submitted calls, and maps whose calls are taken one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sandmill_core::future::{MapFeed, Promise, Pull};
use sandmill_core::{Call, CancelToken, Events};
use smallvec::SmallVec;

/// How long a slot sleeps when another is taking a call from a slow source, before it looks again.
const BUSY_SLEEP: std::time::Duration = std::time::Duration::from_millis(5);

const CLOSING: &str = "the pool is shutting down";

/// The queue of one open pool. A call that was submitted goes before the calls of maps; maps take
/// turns.
pub(super) struct Queue {
    pub(super) events: Events,
    capacity: usize,
    inner: Mutex<Inner>,
    /// There is something to look at for a slot.
    work: Condvar,
    /// A run has ended.
    ended: Condvar,
}

struct Inner {
    calls: VecDeque<(Call, Promise)>,
    feeds: VecDeque<Arc<MapFeed>>,
    /// Counts the changes that may let a slot find work in a feed that had none: a slot that
    /// looked in vain sleeps only if nothing changed since.
    changes: u64,
    stopping: bool,
    /// What each slot runs.
    running: Vec<Option<CancelToken>>,
    room_wakers: Vec<Waker>,
    drain_wakers: Vec<Waker>,
}

impl Inner {
    /// Whether nothing waits, and nothing runs but in this slot.
    fn is_idle(&self, but: Option<usize>) -> bool {
        let mut running = self.running.iter().enumerate();
        self.calls.is_empty() && running.all(|(slot, run)| run.is_none() || Some(slot) == but)
    }
}

impl Queue {
    pub(super) fn new(capacity: usize, slots: usize, events: Events) -> Self {
        Self {
            events,
            capacity: capacity.max(1),
            inner: Mutex::new(Inner {
                calls: VecDeque::new(),
                feeds: VecDeque::new(),
                changes: 0,
                stopping: false,
                running: vec![None; slots],
                room_wakers: Vec::new(),
                drain_wakers: Vec::new(),
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Puts a call at the end; gives it back when there is no room or the pool is closing.
    pub(super) fn push(&self, call: Call, promise: Promise) -> Result<(), Rejected> {
        let mut inner = self.inner.lock();
        if inner.stopping {
            return Err(Rejected { promise, why: CLOSING.to_owned() });
        }
        if inner.calls.len() >= self.capacity {
            let why = format!(
                "the queue is full: {} calls wait; use `map`, wait for room, or raise `queue`",
                self.capacity
            );
            return Err(Rejected { promise, why });
        }
        inner.calls.push_back((call, promise));
        drop(inner);
        self.work.notify_one();
        Ok(())
    }

    /// Adds a map.
    pub(super) fn push_feed(&self, feed: Arc<MapFeed>) {
        let mut inner = self.inner.lock();
        if inner.stopping {
            drop(inner);
            feed.refuse(CLOSING);
            return;
        }
        inner.feeds.push_back(feed);
        self.changed(inner);
    }

    /// There may be room in a map that had none.
    pub(super) fn nudge(&self) {
        self.changed(self.inner.lock());
    }

    fn changed(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.changes += 1;
        drop(inner);
        self.work.notify_all();
    }

    /// The next call for a slot; blocks until there is one. `None` when the pool closes.
    pub(super) fn take(&self, slot: usize) -> Option<(Call, Promise)> {
        let mut inner = self.inner.lock();
        loop {
            if let Some((call, promise)) = inner.calls.pop_front() {
                inner.running[slot] = Some(promise.cancel_token().clone());
                // All of them: whoever was woken may not want the room any more.
                let wakers = std::mem::take(&mut inner.room_wakers);
                drop(inner);
                wakers.into_iter().for_each(Waker::wake);
                return Some((call, promise));
            }
            if inner.stopping {
                return None;
            }
            let changes = inner.changes;
            let mut busy = false;
            // A snapshot: other slots turn the feeds too, and each should be looked at once.
            let feeds: SmallVec<[Arc<MapFeed>; 4]> = inner.feeds.iter().cloned().collect();
            if !inner.feeds.is_empty() {
                inner.feeds.rotate_left(1);
            }
            for feed in feeds {
                drop(inner);
                // Outside the lock: the source of a map may take its time.
                let pulled = feed.pull();
                inner = self.inner.lock();
                match pulled {
                    Pull::Run(_, promise) if inner.stopping => {
                        // The pool closed while the source took its time.
                        drop(inner);
                        promise.cancel();
                        return None;
                    }
                    Pull::Run(call, promise) => {
                        inner.running[slot] = Some(promise.cancel_token().clone());
                        return Some((call, promise));
                    }
                    Pull::Finished => inner.feeds.retain(|other| !Arc::ptr_eq(other, &feed)),
                    Pull::Full => {}
                    Pull::Busy => busy = true,
                }
                if !inner.calls.is_empty() || inner.stopping {
                    break;
                }
            }
            if inner.changes == changes && inner.calls.is_empty() && !inner.stopping {
                if busy {
                    self.work.wait_for(&mut inner, BUSY_SLEEP);
                } else {
                    self.work.wait(&mut inner);
                }
            }
        }
    }

    /// A slot ended its run.
    pub(super) fn ended(&self, slot: usize) {
        let mut inner = self.inner.lock();
        inner.running[slot] = None;
        if inner.stopping {
            let wakers = std::mem::take(&mut inner.drain_wakers);
            drop(inner);
            self.ended.notify_all();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes no more calls, and none of the maps. What was accepted goes on.
    pub(super) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopping = true;
        let feeds = std::mem::take(&mut inner.feeds);
        let wakers = std::mem::take(&mut inner.room_wakers);
        self.changed(inner);
        feeds.iter().for_each(|feed| feed.close());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Cancels what waits and what runs.
    pub(super) fn cancel_all(&self) {
        let mut inner = self.inner.lock();
        let waiting = std::mem::take(&mut inner.calls);
        inner.running.iter().flatten().for_each(|token| {
            token.cancel();
        });
        drop(inner);
        waiting.into_iter().for_each(|(_, promise)| promise.cancel());
    }

    /// Blocks until nothing waits and nothing runs, but in the slot `but`, which asks.
    pub(super) fn wait_until_idle(&self, but: Option<usize>) {
        let mut inner = self.inner.lock();
        while !inner.is_idle(but) {
            self.ended.wait(&mut inner);
        }
    }

    /// Ready when nothing waits and nothing runs. Only of use once the queue was stopped.
    pub(super) fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.is_idle(None) {
            return Poll::Ready(());
        }
        push_once(&mut inner.drain_wakers, context.waker());
        Poll::Pending
    }

    /// Ready when a call that is pushed now finds room, or would be turned away for good.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.stopping || inner.calls.len() < self.capacity {
            return Poll::Ready(());
        }
        push_once(&mut inner.room_wakers, context.waker());
        Poll::Pending
    }
}

fn push_once(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|other| other.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// A call that the queue did not take.
pub(super) struct Rejected {
    pub(super) promise: Promise,
    pub(super) why: String,
}
