//! What waits for a slot: runs that are tried again, submitted calls, and maps whose calls are taken
//! one by one. This is what the threads of a pool share; the runs themselves are in `waiting`.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sandmill_core::future::{MapFeed, Promise, Pull};
use sandmill_core::{Call, CancelToken, Events};
use smallvec::SmallVec;

use super::out::{Place, Seat, Taken};
use super::timer::{Alarm, Next};
use super::waiting::{Queued, Waiting};
use crate::attempt::{Delayed, Job};

/// How long a slot sleeps when another is taking a call from a slow source, before it looks again.
const BUSY_SLEEP: Duration = Duration::from_millis(5);

/// Least time between two looks for runs that were cancelled while they await their retry, for
/// each look goes through all of them. Their futures have ended by then.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

const CLOSING: &str = "the pool is shutting down";

/// The queue of one open pool. What is to be tried again goes before calls that were submitted,
/// and these before the calls of maps; maps take turns.
pub(crate) struct Queue {
    pub(crate) events: Events,
    capacity: usize,
    slots: usize,
    pub(super) inner: Mutex<Inner>,
    /// There is something to look at for a slot.
    pub(super) work: Condvar,
    /// A run has ended.
    pub(super) ended: Condvar,
    /// How many runs may be out, for those who only look.
    pub(super) wanted: AtomicUsize,
    /// There is something to look at for the timer.
    alarm: Arc<Alarm>,
    /// The alarm as a waker for cancel tokens.
    on_cancel: Waker,
}

pub(super) struct Inner {
    waiting: Waiting,
    feeds: VecDeque<Arc<MapFeed>>,
    /// Counts the changes that may let a slot find work in a feed that had none: a slot that
    /// looked in vain sleeps only if nothing changed since.
    pub(super) changes: u64,
    pub(super) stopping: bool,
    /// What each slot runs. One more than there are slots: the last is the timer's, while it ends
    /// runs.
    running: Vec<Option<CancelToken>>,
    /// What is made elsewhere than in slots, by number.
    pub(super) out: BTreeMap<u64, CancelToken>,
    pub(super) next_out: u64,
    /// How many runs may be out.
    pub(super) window: usize,
    room_wakers: Vec<Waker>,
    drain_wakers: Vec<Waker>,
    /// Until when the timer sleeps; none when for ever.
    timer_wakes: Option<Instant>,
    /// When the timer last looked for runs that were cancelled.
    swept: Option<Instant>,
}

impl Inner {
    /// Whether nothing waits, and nothing runs but in this place.
    pub(super) fn is_idle(&self, but: Option<Place>) -> bool {
        let mut running = self.running.iter().enumerate();
        self.waiting.is_empty()
            && running.all(|(slot, run)| run.is_none() || Some(Place::Slot(slot)) == but)
            && self.out.keys().all(|number| Some(Place::Out(*number)) == but)
    }

    /// Whether whoever takes runs has nothing to wait for any more. What is out may come back, and
    /// what is in a slot is that slot's to take again.
    fn is_over_for(&self, seat: Seat) -> bool {
        self.stopping && self.waiting.is_empty() && (seat != Seat::Out || self.out.is_empty())
    }

    /// Counts a run as under way; the number is only of use where it is out.
    fn seat(&mut self, seat: Seat, token: &CancelToken) -> u64 {
        match seat {
            Seat::Slot(slot) => {
                self.running[slot] = Some(token.clone());
                0
            }
            Seat::Out => self.take_out(token),
        }
    }
}

impl Queue {
    pub(crate) fn new(capacity: usize, slots: usize, max_delayed: usize, events: Events) -> Self {
        let alarm = Arc::new(Alarm::default());
        Self {
            events,
            capacity: capacity.max(1),
            slots,
            inner: Mutex::new(Inner {
                waiting: Waiting::new(max_delayed),
                feeds: VecDeque::new(),
                changes: 0,
                stopping: false,
                running: vec![None; slots + 1],
                out: BTreeMap::new(),
                next_out: 0,
                window: 0,
                room_wakers: Vec::new(),
                drain_wakers: Vec::new(),
                timer_wakes: None,
                swept: None,
            }),
            wanted: AtomicUsize::new(0),
            work: Condvar::new(),
            ended: Condvar::new(),
            on_cancel: Waker::from(Arc::clone(&alarm)),
            alarm,
        }
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// The number by which the timer is known among the slots.
    pub(super) const fn timer_slot(&self) -> usize {
        self.slots
    }

    /// Puts a call at the end; gives it back when there is no room or the pool is closing.
    pub(crate) fn push(&self, call: Call, promise: Promise) -> Result<(), Rejected> {
        let mut inner = self.inner.lock();
        if inner.stopping {
            return Err(Rejected { promise, why: CLOSING.to_owned() });
        }
        if inner.waiting.calls() >= self.capacity {
            let why = format!(
                "the queue is full: {} calls wait; use `map`, wait for room, or raise `queue`",
                self.capacity
            );
            return Err(Rejected { promise, why });
        }
        let job = Job::new(call, promise);
        match job.due() {
            // Beyond that, it waits as others do, and a slot finds out.
            Some(due) if !inner.waiting.holds_back() => {
                self.delay_in(inner, Delayed { job, due });
                return Ok(());
            }
            _ => inner.waiting.submit(job),
        }
        self.set_timer(&mut inner);
        drop(inner);
        self.work.notify_one();
        Ok(())
    }

    /// Has a run wait until it is tried again.
    pub(crate) fn delay(&self, delayed: Delayed) {
        self.delay_in(self.inner.lock(), delayed);
    }

    fn delay_in(&self, mut inner: MutexGuard<'_, Inner>, delayed: Delayed) {
        // Under the lock: an abort either finds the run among those that wait, or is seen here.
        let mut context = Context::from_waker(&self.on_cancel);
        if delayed.job.token().poll_cancelled(&mut context).is_ready() {
            drop(inner);
            delayed.job.cancel();
            return;
        }
        inner.waiting.delay(delayed);
        self.set_timer(&mut inner);
    }

    /// Has the timer wake sooner, where something happens sooner.
    fn set_timer(&self, inner: &mut Inner) {
        if let Some(next) = inner.waiting.next_moment()
            && inner.timer_wakes.is_none_or(|wakes| next < wakes)
        {
            inner.timer_wakes = Some(next);
            self.alarm.ring();
        }
    }

    /// What the timer does when its time has come: what is due is queued, what has waited for too
    /// long or was cancelled is ended.
    pub(super) fn tick(&self) -> Next {
        let mut inner = self.inner.lock();
        let timer = self.timer_slot();
        if inner.stopping && inner.is_idle(Some(Place::Slot(timer))) {
            // Slots that slept while the last run awaited its retry have nothing to wait for.
            self.changed(inner);
            return Next::End;
        }
        let now = Instant::now();
        let sweep = inner.swept.map_or(now, |swept| swept + SWEEP_PAUSE);
        let mut cancelled = Vec::new();
        if sweep <= now && self.alarm.take_cancelled() {
            inner.swept = Some(now);
            cancelled = inner.waiting.take_cancelled();
        }
        let ticked = inner.waiting.tick(now);
        let next = inner.waiting.next_moment();
        let swept_next = self.alarm.is_cancelled().then_some(sweep.max(now));
        let next = next.into_iter().chain(swept_next).min();
        inner.timer_wakes = next;
        if cancelled.is_empty() && ticked.expired.is_empty() {
            drop(inner);
            for _ in 0..ticked.due.min(self.slots) {
                self.work.notify_one();
            }
            return Next::Wait(next);
        }
        // Counted as running until they have ended, so that the pool does not close before.
        inner.running[timer] = Some(CancelToken::new());
        let wakers = std::mem::take(&mut inner.room_wakers);
        self.changed(inner);
        // The end of a run may run what users bring along: one that panics harms no other.
        let guarded = |end: &mut dyn FnMut()| drop(catch_unwind(AssertUnwindSafe(end)));
        for job in cancelled {
            let mut job = Some(job);
            guarded(&mut || job.take().into_iter().for_each(Job::cancel));
        }
        for job in ticked.expired {
            let mut job = Some(job);
            guarded(&mut || job.take().into_iter().for_each(Job::expire));
        }
        for waker in wakers {
            let mut waker = Some(waker);
            guarded(&mut || waker.take().into_iter().for_each(Waker::wake));
        }
        self.ended(timer);
        Next::Wait(next)
    }

    /// Adds a map.
    pub(crate) fn push_feed(&self, feed: Arc<MapFeed>) {
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
    pub(crate) fn nudge(&self) {
        self.changed(self.inner.lock());
    }

    pub(super) fn changed(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.changes += 1;
        drop(inner);
        self.work.notify_all();
    }

    /// The next run for a slot; blocks until there is one. `None` when the pool closes.
    pub(super) fn take(&self, slot: usize) -> Option<Job> {
        self.take_for(Seat::Slot(slot)).map(|taken| taken.job)
    }

    pub(super) fn take_for(&self, seat: Seat) -> Option<Taken> {
        let mut inner = self.inner.lock();
        loop {
            if seat == Seat::Out && !inner.wants_more() {
                if inner.is_over_for(seat) {
                    return None;
                }
                self.work.wait(&mut inner);
                continue;
            }
            let held_back = inner.waiting.holds_back();
            if let Some(Queued { job, expires }) = inner.waiting.next_queued() {
                let number = inner.seat(seat, job.token());
                // All of them: whoever was woken may not want the room any more.
                let wakers = std::mem::take(&mut inner.room_wakers);
                if held_back && !inner.waiting.holds_back() {
                    self.changed(inner);
                } else {
                    drop(inner);
                }
                wakers.into_iter().for_each(Waker::wake);
                return Some(Taken { number, job, expires });
            }
            if inner.is_over_for(seat) {
                return None;
            }
            let changes = inner.changes;
            let mut busy = false;
            // A snapshot: other slots turn the feeds too, and each should be looked at once.
            let feeds: SmallVec<[Arc<MapFeed>; 4]> =
                inner.feeds.iter().filter(|_| !held_back).cloned().collect();
            if !feeds.is_empty() {
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
                        inner = self.inner.lock();
                    }
                    Pull::Run(call, promise) => {
                        let number = inner.seat(seat, promise.cancel_token());
                        drop(inner);
                        let job = Job::new(call, promise);
                        let expires = job.expires(Instant::now);
                        return Some(Taken { number, job, expires });
                    }
                    Pull::Finished => inner.feeds.retain(|other| !Arc::ptr_eq(other, &feed)),
                    Pull::Full => {}
                    Pull::Busy => busy = true,
                }
                if inner.waiting.has_next() || inner.stopping {
                    break;
                }
            }
            if inner.changes == changes && !inner.waiting.has_next() && !inner.is_over_for(seat) {
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
        self.closing_in(inner);
    }

    /// Tells those who wait for the end of all runs, where somebody does, that one has ended.
    pub(super) fn closing_in(&self, mut inner: MutexGuard<'_, Inner>) {
        if inner.stopping {
            let wakers = std::mem::take(&mut inner.drain_wakers);
            drop(inner);
            self.ended.notify_all();
            self.alarm.ring();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes no more calls, and none of the maps. What was accepted goes on.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopping = true;
        let feeds = std::mem::take(&mut inner.feeds);
        let wakers = std::mem::take(&mut inner.room_wakers);
        self.changed(inner);
        self.alarm.ring();
        feeds.iter().for_each(|feed| feed.close());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Cancels what waits and what runs.
    pub(crate) fn cancel_all(&self) {
        let mut inner = self.inner.lock();
        let waiting = inner.waiting.take_all();
        let slots = inner.running.iter().flatten();
        let running: Vec<CancelToken> = slots.chain(inner.out.values()).cloned().collect();
        self.changed(inner);
        // Without the lock: a cancel wakes whoever waits for it, and they may come here.
        for token in running {
            token.cancel();
        }
        waiting.into_iter().for_each(Job::cancel);
        self.alarm.ring();
    }

    /// Blocks until nothing waits and nothing runs, but in the place `but`, which asks.
    pub(crate) fn wait_until_idle(&self, but: Option<Place>) {
        let mut inner = self.inner.lock();
        while !inner.is_idle(but) {
            self.ended.wait(&mut inner);
        }
    }

    /// Ready when nothing waits and nothing runs. Only of use once the queue was stopped.
    pub(crate) fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.is_idle(None) {
            return Poll::Ready(());
        }
        push_once(&mut inner.drain_wakers, context.waker());
        Poll::Pending
    }

    /// Ready when a call that is pushed now finds room, or would be turned away for good.
    pub(crate) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.stopping || inner.waiting.calls() < self.capacity {
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
pub(crate) struct Rejected {
    pub(crate) promise: Promise,
    pub(crate) why: String,
}
