//! [`FutureList`]: the runs of a map, behind one handle.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::as_completed::{AsCompleted, as_completed};
use super::callbacks;
use super::error::{RunError, WaitError};
use super::future::{FlowResult, TaskFuture};
use super::host;

/// The runs of a map, whose results are `T`s. One handle, however many there are; cheap to clone.
///
/// When it is dropped, runs that have not ended are cancelled, unless the call said
/// [`detach`](super::Options::detach), or a handle of their own is kept.
pub struct FutureList<T> {
    shared: Rc<Shared>,
    returns: PhantomData<fn() -> T>,
}

struct Shared {
    handle: host::FutureList,
    /// How many there are, once that was asked: it never changes.
    len: Cell<Option<u64>>,
}

impl<T> FutureList<T> {
    pub(super) fn new(handle: host::FutureList) -> Self {
        let shared = Rc::new(Shared { handle, len: Cell::new(None) });
        Self { shared, returns: PhantomData }
    }

    pub(super) fn handle(&self) -> &host::FutureList {
        &self.shared.handle
    }

    /// How many runs there are. Known at once, but for a map over the array that a run returns: then
    /// this waits for that run.
    ///
    /// # Errors
    /// There is no map: its lists are of different lengths, or the run that it goes over gave no
    /// array.
    #[expect(clippy::len_without_is_empty, reason = "`len` waits and may fail")]
    pub fn len(&self) -> Result<u64, RunError> {
        if let Some(len) = self.shared.len.get() {
            return Ok(len);
        }
        let len = self.handle().length();
        callbacks::run_due();
        let len = len.map_err(|error| RunError::of(error, || "the map".to_owned()))?;
        self.shared.len.set(Some(len));
        Ok(len)
    }

    /// The run at a position, from 0; `None` beyond the end. Waits as [`FutureList::len`] does.
    ///
    /// # Errors
    /// As [`FutureList::len`].
    pub fn get(&self, index: u64) -> Result<Option<TaskFuture<T>>, RunError> {
        let is_there = index < self.len()?;
        Ok(is_there.then(|| TaskFuture::new(self.handle().get(index))))
    }

    /// The runs in the order of the map, each behind a handle that is made when it is its turn.
    ///
    /// # Errors
    /// As [`FutureList::len`].
    pub fn iter(&self) -> Result<impl ExactSizeIterator<Item = TaskFuture<T>> + '_, RunError> {
        let len = usize::try_from(self.len()?).unwrap_or(usize::MAX);
        Ok((0..len).map(|index| TaskFuture::new(self.handle().get(index as u64))))
    }

    /// The runs as they end: [`as_completed`] over this list.
    pub fn into_as_completed(self, timeout: impl Into<Option<Duration>>) -> AsCompleted<T> {
        as_completed(&self, timeout)
    }

    /// Asks all of them to stop. Does not wait for them.
    pub fn cancel(&self) {
        self.handle().cancel();
    }

    /// Waits until all have ended, or `timeout` is over. Failures are no errors here.
    ///
    /// # Errors
    /// The time was over first, or there is no map.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<(), WaitError> {
        as_completed(self, timeout).try_for_each(|run| run.map(drop))
    }

    /// Waits for the results of all, in the order of the map. They are all in the flow's memory
    /// then: [`as_completed`] has one at a time, and a task that takes the list as an argument has
    /// them without the flow.
    ///
    /// # Errors
    /// As soon as one has ended without a result, that; the others go on. Or not all had ended when
    /// `timeout` was over, or there is no map, or a result is no `T`.
    pub fn results(&self, timeout: impl Into<Option<Duration>>) -> Result<Vec<T>, WaitError>
    where
        T: FlowResult,
    {
        let len = usize::try_from(self.len()?).unwrap_or(usize::MAX);
        let mut results: Vec<Option<T>> = Vec::new();
        results.resize_with(len, || None);
        for run in as_completed(self, timeout) {
            let run = run?;
            let place = run.map_index().and_then(|index| usize::try_from(index).ok());
            if let Some(place) = place.and_then(|place| results.get_mut(place)) {
                *place = Some(run.result(None)?);
            }
        }
        let all: Option<Vec<T>> = results.into_iter().collect();
        Ok(all.expect("each run of a map comes once"))
    }
}

impl<T> Clone for FutureList<T> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), returns: PhantomData }
    }
}

impl<T> fmt::Debug for FutureList<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FutureList").field("len", &self.shared.len.get()).finish()
    }
}
