//! The calls of a map, pulled one by one as room frees. The futures that come of them are in the
//! list; this is the side that an executor sees.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sandmill_wire::{End, EndKind};

use super::completions::Completions;
use super::promise::Promise;
use super::task_future::TaskFuture;
use crate::{Call, Calls, Events, MapOptions};

/// How long a slot waits for another that is just taking a call, before it looks elsewhere.
const PULL_PATIENCE: Duration = Duration::from_micros(50);

/// The calls of one map. An executor asks it for the next call when it has room for one, so calls
/// that do not fit yet are not even made.
pub struct MapFeed {
    source: Mutex<Option<Calls>>,
    pub(super) list: Mutex<ListState>,
    pub(super) changed: Condvar,
    options: MapOptions,
    events: Events,
    on_room: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

/// What both sides know of the futures made so far.
#[derive(Default)]
pub(super) struct ListState {
    /// Made, and not yet taken off the list.
    pub(super) futures: std::collections::VecDeque<TaskFuture>,
    /// How many were made.
    pub(super) made: usize,
    /// How many the consumer of a windowed map has taken.
    pub(super) taken: usize,
    /// Whether no more will be made.
    pub(super) sealed: bool,
    /// Whether the window no longer counts.
    unbounded: bool,
    /// Whether a slot found no room in the window, and wants to be told of some.
    starved: bool,
    /// Whoever waits for the list to grow.
    pub(super) listener: Option<Arc<Completions>>,
}

/// What an executor gets when it asks for the next call.
pub enum Pull {
    /// A call to run.
    Run(Call, Promise),
    /// No room in the window: ask again when the feed says so ([`MapFeed::on_room`]).
    Full,
    /// Somebody else is taking a call right now, and the source is slow.
    Busy,
    /// There are no more calls.
    Finished,
}

impl MapFeed {
    pub(super) fn new(calls: Calls, options: MapOptions, events: Events) -> Arc<Self> {
        Arc::new(Self {
            source: Mutex::new(Some(calls)),
            list: Mutex::default(),
            changed: Condvar::new(),
            options,
            events,
            on_room: Mutex::new(None),
        })
    }

    /// Has `hook` called when there is room again after a [`Pull::Full`].
    pub fn on_room(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.on_room.lock() = Some(Box::new(hook));
    }

    /// Takes the next call, if there is room for it.
    #[must_use]
    pub fn pull(self: &Arc<Self>) -> Pull {
        // The source has a lock of its own: it may be slow (lines of a pipe), and whoever takes
        // finished futures off the list should not wait for it.
        let Some(mut source) = self.source.try_lock_for(PULL_PATIENCE) else {
            return Pull::Busy;
        };
        {
            let mut list = self.list.lock();
            if list.sealed {
                source.take();
                return Pull::Finished;
            }
            let waiting = list.made - list.taken;
            let window = self.options.window.filter(|_| !list.unbounded);
            if window.is_some_and(|window| waiting >= window.max(1)) {
                list.starved = true;
                return Pull::Full;
            }
        }
        let Some(calls) = source.as_mut() else { return Pull::Finished };
        match catch_unwind(AssertUnwindSafe(|| calls.next())) {
            Ok(Some(call)) => {
                let (promise, future) = Promise::new(&call, &self.events);
                self.push(future);
                Pull::Run(call, promise.of_feed(Arc::clone(self)))
            }
            Ok(None) => {
                source.take();
                self.seal();
                Pull::Finished
            }
            Err(_) => {
                source.take();
                self.break_off(End::new(EndKind::HostError, "the iterator of calls panicked"));
                Pull::Finished
            }
        }
    }

    /// Takes none of the calls: the list gets one run in their place that says why.
    pub fn refuse(&self, why: &str) {
        self.break_off(End::new(EndKind::Refused, why));
    }

    /// Makes no more calls. Those under way go on.
    pub fn close(&self) {
        self.seal();
    }

    /// Makes no more calls, and cancels those under way.
    pub fn cancel(&self) {
        let futures: Vec<TaskFuture> = self.list.lock().futures.iter().cloned().collect();
        self.seal();
        futures.iter().for_each(TaskFuture::cancel);
    }

    fn break_off(&self, end: End) {
        self.push(Promise::broken("map", end, &self.events));
        self.seal();
    }

    pub(super) fn run_failed(&self) {
        if self.options.fail_fast {
            self.cancel();
        }
    }

    /// The consumer took a future off the list.
    pub(super) fn took(&self) {
        self.make_room(|list| list.taken += 1);
    }

    /// The consumer wants all futures at once.
    pub(super) fn lift_window(&self) {
        self.make_room(|list| list.unbounded = true);
    }

    fn make_room(&self, change: impl FnOnce(&mut ListState)) {
        let starved = {
            let mut list = self.list.lock();
            change(&mut list);
            std::mem::take(&mut list.starved)
        };
        if starved && let Some(hook) = &*self.on_room.lock() {
            hook();
        }
    }

    fn push(&self, future: TaskFuture) {
        let mut list = self.list.lock();
        list.futures.push_back(future);
        list.made += 1;
        self.tell(&list);
    }

    pub(super) fn seal(&self) {
        let mut list = self.list.lock();
        list.sealed = true;
        self.tell(&list);
    }

    fn tell(&self, list: &ListState) {
        self.changed.notify_all();
        if let Some(listener) = &list.listener {
            listener.nudge();
        }
    }
}
