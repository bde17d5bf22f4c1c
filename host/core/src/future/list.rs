//! The futures of a map, in the order of its calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_wire::Value;

use super::as_completed::AsCompleted;
use super::completions::{Completions, Woken};
use super::error::{RunError, WaitTimeout};
use super::feed::MapFeed;
use super::ordered::Ordered;
use super::task_future::TaskFuture;
use super::wait::{DoneAndNotDone, ReturnWhen, wait};
use crate::{Calls, Events, MapOptions};

/// Takes one more call of a map on the calling thread; false when there are no more.
pub(super) type Driver = Box<dyn FnMut() -> bool + Send>;

/// What to do with the other runs of a map when one gave no value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// Let them go on.
    #[default]
    Continue,
    /// Cancel them.
    Cancel,
}

/// The futures of a map, in the order of its calls. It grows while the executor takes calls, so it
/// may not hold all of them yet. When it is dropped no further calls are taken, and the handles it
/// holds go with it.
pub struct FutureList {
    pub(super) feed: Arc<MapFeed>,
    pub(super) driver: Mutex<Option<Driver>>,
}

impl FutureList {
    /// A list for the calls of a map, and the feed for the executor that will take them.
    #[must_use]
    pub fn new(calls: Calls, options: MapOptions, events: Events) -> (Self, Arc<MapFeed>) {
        let feed = MapFeed::new(calls, options, events);
        (Self { feed: Arc::clone(&feed), driver: Mutex::new(None) }, feed)
    }

    /// Has the consumer's thread take the calls, one whenever it needs one: the way of an executor
    /// that has no threads of its own. `drive` runs one more call; false when there are no more.
    #[must_use]
    pub fn driven_by(self, drive: impl FnMut() -> bool + Send + 'static) -> Self {
        *self.driver.lock() = Some(Box::new(drive));
        self
    }

    /// How many calls were taken so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.feed.list.lock().made
    }

    /// Whether no call was taken so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Blocks until every call was taken or `timeout` is over, and gives the futures made so far,
    /// in the order of the calls. They need not have ended.
    pub fn futures(&self, timeout: Option<Duration>) -> Vec<TaskFuture> {
        let deadline = deadline_of(timeout);
        self.lift_window(None);
        while in_time(deadline) && self.drive() {}
        let mut list = self.feed.list.lock();
        while !list.sealed {
            match deadline {
                None => self.feed.changed.wait(&mut list),
                Some(deadline) => {
                    if self.feed.changed.wait_until(&mut list, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        list.futures.iter().cloned().collect()
    }

    /// Blocks until every run has ended or `timeout` is over. Never raises. Calls that were not
    /// taken in time are not in the answer.
    pub fn wait(&self, timeout: Option<Duration>) -> DoneAndNotDone {
        let started = Instant::now();
        let futures = self.futures(timeout);
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        wait(&futures, left, ReturnWhen::All)
    }

    /// Blocks until every run has ended, and gives their values in the order of the calls. Raises
    /// as soon as one run gave no value, whichever it is, and then does `on_error` to the others.
    ///
    /// # Errors
    /// [`ListError::Run`] for the first run that gave no value, [`ListError::Timeout`] when
    /// `timeout` is over first.
    pub fn results(
        &self,
        timeout: Option<Duration>,
        on_error: OnError,
    ) -> Result<Vec<Value>, ListError> {
        let deadline = deadline_of(timeout);
        let completions = Arc::new(Completions::default());
        self.lift_window(Some(&completions));
        let mut futures: Vec<TaskFuture> = Vec::new();
        let (mut subscribed, mut done) = (0, 0);
        loop {
            let sealed = {
                let list = self.feed.list.lock();
                futures.extend(list.futures.range(futures.len()..).cloned());
                list.sealed
            };
            for (tag, future) in futures.iter().enumerate().skip(subscribed) {
                future.shared.subscribe(completions.sink(tag));
            }
            subscribed = futures.len();
            if sealed && done == futures.len() {
                break;
            }
            // Nothing has ended that was not looked at: take one more call here, or wait.
            let ended = match completions.try_next() {
                Some(tag) => Woken::Completed(tag),
                None if in_time(deadline) && self.drive() => continue,
                None => completions.next(deadline),
            };
            match ended {
                Woken::Completed(tag) => {
                    done += 1;
                    if let Err(error) = futures[tag].result(Some(Duration::ZERO)) {
                        if on_error == OnError::Cancel {
                            self.cancel();
                        }
                        return Err(error.into());
                    }
                }
                Woken::Nudged => {}
                Woken::TimedOut => {
                    let total = futures.len();
                    return Err(WaitTimeout { unfinished: total - done, total }.into());
                }
            }
        }
        futures
            .iter()
            .map(|future| future.result(Some(Duration::ZERO)).map_err(ListError::from))
            .collect()
    }

    /// Takes no more calls, and cancels every run under way.
    pub fn cancel(&self) {
        self.feed.cancel();
    }

    /// Gives the futures one by one in the order of the calls, and lets go of each: the way to go
    /// through a map of any length in bounded memory (see [`MapOptions::window`]).
    #[must_use]
    pub fn into_ordered(self) -> Ordered {
        Ordered::new(self)
    }

    /// Gives the futures as their runs end, and lets go of each. `timeout` bounds the time spent
    /// waiting, all in all.
    #[must_use]
    pub fn into_as_completed(self, timeout: Option<Duration>) -> AsCompleted {
        AsCompleted::of_list(self, timeout)
    }

    /// Takes one more call on this thread where the list is driven by its consumer.
    pub(super) fn drive(&self) -> bool {
        let mut driver = self.driver.lock();
        let more = driver.as_mut().is_some_and(|drive| drive());
        if !more {
            driver.take();
        }
        more
    }

    /// Whoever wants all futures at once takes none off the list, so a window would never open.
    fn lift_window(&self, listener: Option<&Arc<Completions>>) {
        if let Some(listener) = listener {
            self.feed.list.lock().listen(listener);
        }
        self.feed.lift_window();
    }
}

fn in_time(deadline: Option<Instant>) -> bool {
    deadline.is_none_or(|deadline| Instant::now() < deadline)
}

/// The moment when `timeout` is over; none when it is too far away to be a moment.
fn deadline_of(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

impl Drop for FutureList {
    fn drop(&mut self) {
        // The source may never end, and nobody will see what comes of its calls.
        self.feed.abandon();
    }
}

/// Why a list gives no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A run gave no value.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The wait was over before all runs had ended.
    #[error("timed out waiting for all futures: {0}")]
    Timeout(#[from] WaitTimeout),
}

impl std::fmt::Debug for FutureList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = self.feed.list.lock();
        write!(
            f,
            "FutureList({} taken{})",
            list.made,
            if list.sealed { "" } else { ", more to come" }
        )
    }
}
