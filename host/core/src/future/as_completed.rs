//! Futures in the order in which their runs end.
//!
//! Prefect's `as_completed` starts its clock with the first wait and never stops it, so a slow
//! loop body can make it time out (`prefect.futures.as_completed`). Here only waiting counts.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::stream::{Stream, StreamExt as _, poll_fn};
use futures_timer::Delay;
use sandmill_wire::{RunId, Value};

use super::completions::{Completions, Woken};
use super::error::{RunError, WaitTimeout};
use super::list::FutureList;
use super::task_future::TaskFuture;

/// Gives each future once when its run has ended: those that have already first, in the order
/// given, then the others as they end. Two handles on one run count once.
///
/// `timeout` bounds the time spent waiting, all in all; what the caller does between two futures
/// does not count. When it is over and runs are unfinished, the last item is a [`WaitTimeout`].
pub fn as_completed(
    futures: impl IntoIterator<Item = TaskFuture>,
    timeout: Option<Duration>,
) -> AsCompleted {
    let mut group = AsCompleted::new(None, timeout);
    for future in futures {
        group.add(future);
    }
    group
}

/// See [`as_completed`]: an iterator for threads; [`AsCompleted::into_stream`] for async code.
pub struct AsCompleted {
    completions: Arc<Completions>,
    /// By tag; and whether it came off the list of a map, which wants to know that it was taken.
    waiting: HashMap<usize, (TaskFuture, bool)>,
    seen: HashSet<RunId>,
    added: usize,
    list: Option<FutureList>,
    timeout: Option<Duration>,
    waited: Duration,
    /// The timer of an async wait, with the moment it was started.
    timer: Option<(Instant, Delay)>,
    over: bool,
}

impl AsCompleted {
    fn new(list: Option<FutureList>, timeout: Option<Duration>) -> Self {
        Self {
            completions: Arc::default(),
            waiting: HashMap::new(),
            seen: HashSet::new(),
            added: 0,
            list,
            timeout,
            waited: Duration::ZERO,
            timer: None,
            over: false,
        }
    }

    pub(super) fn of_list(list: FutureList, timeout: Option<Duration>) -> Self {
        let group = Self::new(None, timeout);
        list.feed.list.lock().listen(&group.completions);
        Self { list: Some(list), ..group }
    }

    /// Adds a future to the group, unless its run is or was in it. (The runs of a map's own list
    /// are not remembered: do not add those again.)
    pub fn add(&mut self, future: TaskFuture) {
        if self.seen.insert(future.id()) {
            self.add_new(future);
        }
    }

    /// The same with each run's result beside its future.
    #[must_use]
    pub const fn with_results(self) -> AsCompletedResults {
        AsCompletedResults(self)
    }

    /// Cancels every run of the group that has not ended, and takes no more calls of a map.
    pub fn cancel(&self) {
        if let Some(list) = &self.list {
            list.cancel();
        }
        self.waiting.values().for_each(|(future, _)| future.cancel());
    }

    /// Adds a future whose run is known not to be in the group, without remembering its id: for
    /// groups that many runs go through.
    pub fn add_new(&mut self, future: TaskFuture) {
        self.insert(future, false);
    }

    fn insert(&mut self, future: TaskFuture, of_list: bool) {
        let tag = self.added;
        self.added += 1;
        future.shared.subscribe(self.completions.sink(tag));
        self.waiting.insert(tag, (future, of_list));
    }

    /// Takes over what a growing list has made since the last look; whether it may grow still.
    fn take_over(&mut self) -> bool {
        let Some(list) = &self.list else { return false };
        let (new, open) = {
            let mut state = list.feed.list.lock();
            (std::mem::take(&mut state.futures), !state.sealed)
        };
        // A map makes every run once, so there is nothing to tell apart, and a million ids need
        // not be remembered.
        new.into_iter().for_each(|future| self.insert(future, true));
        open
    }

    fn give(&mut self, tag: usize) -> Option<TaskFuture> {
        let (future, of_list) = self.waiting.remove(&tag)?;
        if of_list && let Some(list) = &self.list {
            list.feed.took();
        }
        Some(future)
    }

    /// What can be given without waiting. `Err` when nothing will come any more.
    fn ready(&mut self) -> Result<Option<TaskFuture>, ()> {
        loop {
            let open = self.take_over();
            if let Some(tag) = self.completions.try_next() {
                if let Some(future) = self.give(tag) {
                    return Ok(Some(future));
                }
            } else if self.list.as_ref().is_some_and(FutureList::drive) {
                // One more call was taken on this thread: look again.
            } else {
                return if self.waiting.is_empty() && !open { Err(()) } else { Ok(None) };
            }
        }
    }

    fn timed_out(&mut self) -> WaitTimeout {
        self.over = true;
        WaitTimeout { unfinished: self.waiting.len(), total: self.added }
    }

    fn left(&self) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.saturating_sub(self.waited))
    }
}

impl Iterator for AsCompleted {
    type Item = Result<TaskFuture, WaitTimeout>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.over {
                return None;
            }
            match self.ready() {
                Ok(Some(future)) => return Some(Ok(future)),
                Err(()) => return None,
                Ok(None) => {}
            }
            let started = Instant::now();
            let deadline = self.left().and_then(|left| started.checked_add(left));
            let woken = self.completions.next(deadline);
            self.waited += started.elapsed();
            match woken {
                Woken::Completed(tag) => {
                    if let Some(future) = self.give(tag) {
                        return Some(Ok(future));
                    }
                }
                Woken::Nudged => {}
                Woken::TimedOut => return Some(Err(self.timed_out())),
            }
        }
    }
}

impl AsCompleted {
    /// The same for async code.
    pub fn into_stream(
        mut self,
    ) -> impl Stream<Item = Result<TaskFuture, WaitTimeout>> + Unpin + Send {
        poll_fn(move |context| self.poll_completed(context))
    }

    /// One step of async code that adds to the group between two waits.
    pub fn poll_completed(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<TaskFuture, WaitTimeout>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            let ready = self.ready();
            if !matches!(ready, Ok(None))
                && let Some((started, _)) = self.timer.take()
            {
                self.waited += started.elapsed();
            }
            match ready {
                Ok(Some(future)) => return Poll::Ready(Some(Ok(future))),
                Err(()) => return Poll::Ready(None),
                Ok(None) => {}
            }
            match self.completions.poll_next(context) {
                Poll::Ready(Woken::Completed(tag)) => {
                    if let Some((started, _)) = self.timer.take() {
                        self.waited += started.elapsed();
                    }
                    if let Some(future) = self.give(tag) {
                        return Poll::Ready(Some(Ok(future)));
                    }
                }
                Poll::Ready(Woken::Nudged | Woken::TimedOut) => {}
                Poll::Pending => {
                    if let Some(left) = self.left() {
                        let (_, timer) =
                            self.timer.get_or_insert_with(|| (Instant::now(), Delay::new(left)));
                        if Pin::new(timer).poll(context).is_ready() {
                            return Poll::Ready(Some(Err(self.timed_out())));
                        }
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// See [`AsCompleted::with_results`].
pub struct AsCompletedResults(AsCompleted);

/// A future whose run has ended, and its result.
type WithResult = (TaskFuture, Result<Value, RunError>);

impl Iterator for AsCompletedResults {
    type Item = Result<WithResult, WaitTimeout>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(with_result))
    }
}

impl AsCompletedResults {
    /// The same for async code.
    pub fn into_stream(self) -> impl Stream<Item = Result<WithResult, WaitTimeout>> + Unpin + Send {
        self.0.into_stream().map(|item| item.map(with_result))
    }
}

fn with_result(future: TaskFuture) -> WithResult {
    let result = future.result(Some(Duration::ZERO));
    (future, result)
}
