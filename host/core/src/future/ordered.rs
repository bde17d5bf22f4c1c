//! A map's futures one by one, in the order of its calls, each let go of once it was given.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{Stream, poll_fn};

use super::completions::Completions;
use super::list::FutureList;
use super::task_future::TaskFuture;

/// Gives a map's futures in the order of its calls: an iterator for threads;
/// [`Ordered::into_stream`] for async code. A future given need not have ended.
pub struct Ordered {
    list: FutureList,
    grown: Arc<Completions>,
}

impl Ordered {
    pub(super) fn new(list: FutureList) -> Self {
        let grown = Arc::new(Completions::default());
        list.feed.list.lock().listen(&grown);
        Self { list, grown }
    }

    /// Takes no more calls, and cancels every run under way that was not given yet.
    pub fn cancel(&self) {
        self.list.cancel();
    }

    /// The next future, if there is one now. `Err` when there will be none any more.
    fn try_take(&self) -> Result<Option<TaskFuture>, ()> {
        let mut list = self.list.feed.list.lock();
        if let Some(future) = list.futures.pop_front() {
            drop(list);
            self.list.feed.took();
            return Ok(Some(future));
        }
        if list.sealed { Err(()) } else { Ok(None) }
    }
}

impl Iterator for Ordered {
    type Item = TaskFuture;

    fn next(&mut self) -> Option<TaskFuture> {
        loop {
            match self.try_take() {
                Ok(Some(future)) => return Some(future),
                Err(()) => return None,
                Ok(None) => {
                    if !self.list.drive() {
                        self.grown.next(None);
                    }
                }
            }
        }
    }
}

impl Ordered {
    /// The same for async code.
    pub fn into_stream(mut self) -> impl Stream<Item = TaskFuture> + Unpin + Send {
        poll_fn(move |context| self.poll_item(context))
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<TaskFuture>> {
        loop {
            match self.try_take() {
                Ok(Some(future)) => return Poll::Ready(Some(future)),
                Err(()) => return Poll::Ready(None),
                Ok(None) => {
                    if !self.list.drive() && self.grown.poll_next(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}
