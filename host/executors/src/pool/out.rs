//! Runs that are taken out of the queue to be made elsewhere than in slots of this process, as many
//! at a time as whoever makes them wants; and where among its runs a thread of an executor is.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sandmill_core::CancelToken;

use super::queue::{Inner, Queue};
use crate::attempt::Job;

/// For whom a run is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// A slot.
    Slot(usize),
    /// Whoever makes runs elsewhere.
    Out,
}

/// What a thread that belongs to an executor is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The run in this slot.
    Slot(usize),
    /// The run that is out under this number.
    Out(u64),
}

/// A run that was taken.
pub(crate) struct Taken {
    /// By which it is known while it is out.
    pub(crate) number: u64,
    pub(crate) job: Job,
    /// Until when it may wait to be started.
    pub(crate) expires: Option<Instant>,
}

thread_local! {
    /// In what of which queue this thread is.
    static SELF: Cell<Option<(*const Queue, Place)>> = const { Cell::new(None) };
}

/// Where in `queue` this thread is, if it belongs to it.
pub(crate) fn this_place(queue: &Queue) -> Option<Place> {
    SELF.get().and_then(|(of, place)| std::ptr::eq(of, queue).then_some(place))
}

/// Has this thread known as being there. Gives back where it was in this queue.
pub(crate) fn become_place(queue: &Queue, place: Option<Place>) -> Option<Place> {
    let before = this_place(queue);
    SELF.set(place.map(|place| (std::ptr::from_ref(queue), place)));
    before
}

impl Inner {
    pub(super) fn wants_more(&self) -> bool {
        self.out.len() < self.window
    }

    pub(super) fn take_out(&mut self, token: &CancelToken) -> u64 {
        let number = self.next_out;
        self.next_out += 1;
        self.out.insert(number, token.clone());
        number
    }
}

impl Queue {
    /// Takes the next run out; blocks until there is one and less are out than wanted. Threads that
    /// do so at the same time may take one more each. `None` when the queue closes and nothing is
    /// out that could come back.
    pub(crate) fn take_out(&self) -> Option<Taken> {
        self.take_for(Seat::Out)
    }

    /// How many runs may be out at a time. At first, none.
    pub(crate) fn set_window(&self, most: usize) {
        let mut inner = self.inner.lock();
        let wanted_more = inner.wants_more();
        inner.window = most;
        self.wanted.store(most, Ordering::Relaxed);
        if inner.wants_more() && !wanted_more {
            self.changed(inner);
        }
    }

    /// How many that is.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// A run that was out has ended, or waits in the queue again.
    pub(crate) fn out_ended(&self, number: u64) {
        self.out_ended_among(number);
        self.refill(1);
    }

    /// The same for one of many, after which [`Queue::refill`] is called.
    pub(crate) fn out_ended_among(&self, number: u64) {
        let mut inner = self.inner.lock();
        inner.out.remove(&number);
        if inner.stopping {
            // Whoever takes runs may have nothing to wait for any more.
            inner.changes += 1;
            self.work.notify_all();
            self.closing_in(inner);
        }
    }

    /// Has as many taken out as are wanted, now that so many were done with.
    pub(crate) fn refill(&self, ended: usize) {
        let inner = self.inner.lock();
        if inner.wants_more() {
            drop(inner);
            // Each time, and not only when it comes to be so, and not one for many: who is woken may
            // be waiting for the source of its map.
            if ended > 1 {
                self.work.notify_all();
            } else {
                self.work.notify_one();
            }
        }
    }

    /// Whether nothing waits and nothing runs, but in the place `but`.
    pub(crate) fn is_idle(&self, but: Option<Place>) -> bool {
        self.inner.lock().is_idle(but)
    }

    /// Waits for an end of a run, but not long.
    pub(crate) fn wait_a_little(&self) {
        const LITTLE: Duration = Duration::from_millis(1);
        let mut inner = self.inner.lock();
        self.ended.wait_for(&mut inner, LITTLE);
    }
}
