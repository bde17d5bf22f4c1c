//! The calls of a map, pulled one by one as room frees. The futures that come of them are in the
//! list; this is the side that an executor sees.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use sandmill_wire::{End, EndKind, RunId};

use super::completions::Completions;
use super::promise::Promise;
use super::shared::Shared;
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
    /// Runs that were taken and have not ended: at most as many as there are slots, and those that
    /// await a retry.
    under_way: HashMap<RunId, Arc<Shared>>,
    /// Whoever waits for the list to grow.
    listeners: Vec<Weak<Completions>>,
}

impl ListState {
    /// Has `listener` told when the list grows or is sealed.
    pub(super) fn listen(&mut self, listener: &Arc<Completions>) {
        self.listeners.retain(|other| other.strong_count() > 0);
        self.listeners.push(Arc::downgrade(listener));
    }
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
        match self.has_room() {
            Room::Yes => {}
            Room::No => return Pull::Full,
            Room::Sealed => return finished(source),
        }
        let Some(calls) = source.as_mut() else { return Pull::Finished };
        match catch_unwind(AssertUnwindSafe(|| calls.next())) {
            Ok(Some(call)) => {
                // The map may have been given up while the source took its time.
                if self.list.lock().sealed {
                    return finished(source);
                }
                let (promise, future) = Promise::new(&call, &self.events);
                if !self.push(future) {
                    promise.cancel();
                    return finished(source);
                }
                Pull::Run(call, promise.of_feed(Arc::clone(self)))
            }
            Ok(None) => {
                self.seal();
                finished(source)
            }
            Err(_) => {
                self.break_off(End::new(EndKind::HostError, "the iterator of calls panicked"));
                finished(source)
            }
        }
    }

    fn has_room(&self) -> Room {
        let mut list = self.list.lock();
        if list.sealed {
            return Room::Sealed;
        }
        let waiting = list.made.saturating_sub(list.taken);
        let window = self.options.window.filter(|_| !list.unbounded);
        if window.is_some_and(|window| waiting >= window.max(1)) {
            list.starved = true;
            return Room::No;
        }
        Room::Yes
    }

    /// Takes none of the calls: the list gets one run in their place that says why.
    pub fn refuse(&self, why: &str) {
        self.break_off(End::new(EndKind::Refused, why));
    }

    /// Makes no more calls. Those under way go on.
    pub fn close(&self) {
        self.seal();
        // The source may hold what its other end waits for; a slot that is in it lets go of it.
        if let Some(mut source) = self.source.try_lock() {
            let source_itself = source.take();
            drop(source);
            drop(source_itself);
        }
        // Slots that found no room look again, and forget the map.
        self.call_hook();
    }

    /// Makes no more calls, and cancels those under way.
    pub fn cancel(&self) {
        self.close();
        let under_way: Vec<Arc<Shared>> = self.list.lock().under_way.values().cloned().collect();
        under_way.iter().for_each(Shared::cancel);
    }

    /// Nobody goes through the list any more: makes no more calls, and lets go of the handles that
    /// were not taken off it.
    pub(super) fn abandon(&self) {
        self.close();
        // Outside of the lock: the last handle on a run cancels it.
        let handles = std::mem::take(&mut self.list.lock().futures);
        drop(handles);
    }

    fn break_off(&self, end: End) {
        let marker = Promise::broken("map", end, &self.events);
        self.change(|list| {
            list.futures.push_back(marker);
            list.made += 1;
            list.sealed = true;
        });
    }

    /// A run of this map has ended.
    pub(super) fn run_ended(&self, shared: &Arc<Shared>) {
        self.list.lock().under_way.remove(&shared.id);
        if self.options.fail_fast && !shared.has_succeeded() {
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
        if starved {
            self.call_hook();
        }
    }

    fn call_hook(&self) {
        if let Some(hook) = &*self.on_room.lock() {
            hook();
        }
    }

    /// Adds a run to the list; false when the list is sealed.
    fn push(&self, future: TaskFuture) -> bool {
        self.change(|list| {
            if list.sealed {
                return false;
            }
            list.under_way.insert(future.id(), Arc::clone(&future.shared));
            list.futures.push_back(future);
            list.made += 1;
            true
        })
    }

    fn seal(&self) {
        self.change(|list| list.sealed = true);
    }

    fn change<T>(&self, change: impl FnOnce(&mut ListState) -> T) -> T {
        let (changed, listeners) = {
            let mut list = self.list.lock();
            let changed = change(&mut list);
            let listeners: Vec<_> = list.listeners.iter().filter_map(Weak::upgrade).collect();
            (changed, listeners)
        };
        self.changed.notify_all();
        // Outside of the lock: whoever is woken may look at the list at once.
        listeners.iter().for_each(|listener| listener.nudge());
        changed
    }
}

/// Whether a map may take another call.
enum Room {
    Yes,
    No,
    Sealed,
}

/// Lets go of the source, outside of its lock: it is the user's, and so is what its drop does.
fn finished(mut source: MutexGuard<'_, Option<Calls>>) -> Pull {
    let source_itself = source.take();
    drop(source);
    drop(source_itself);
    Pull::Finished
}
