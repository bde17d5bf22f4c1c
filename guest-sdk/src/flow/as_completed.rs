//! [`as_completed`]: several runs in the order in which they end.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::time::Duration;

use super::callbacks;
use super::error::{WaitError, WaitTimeout};
use super::future::TaskFuture;
use super::host;
use super::list::FutureList;

/// What [`as_completed`] can watch: `&FutureList<T>`, or anything that gives `TaskFuture<T>`s or
/// references to them, such as `&Vec<TaskFuture<T>>`.
#[diagnostic::on_unimplemented(
    message = "`as_completed` cannot watch `{Self}`",
    label = "futures go here",
    note = "give a `&FutureList<_>`, or a list of `TaskFuture<_>`s of one type by reference"
)]
pub trait Watch<T> {
    /// Adds what there is to the set; the lists among it are kept.
    #[doc(hidden)]
    fn watch(self, set: &mut AsCompleted<T>);
}

/// Iterates over runs in the order in which they end: those that have ended already first, in the
/// order in which they are given. Each run comes once, even if it is given twice.
///
/// ```
/// use sandmill_guest::flow::{as_completed, each};
/// use sandmill_guest::task;
///
/// #[task]
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// # fn flow() -> Result<(), sandmill_guest::Failure> {
/// let mut sum = 0;
/// for run in as_completed(&square::map(each(1..=3)), None) {
///     sum += run?.result(None)?;
/// }
/// assert_eq!(sum, 14);
/// # Ok(())
/// # }
/// # flow().unwrap();
/// ```
///
/// Only one handle is held at a time, so this is how a flow goes through 100,000 results. When
/// `timeout` is over before all have ended, the iterator gives a [`WaitTimeout`] and ends; only time
/// spent waiting for the next run counts. A list that came to no map at all is an error at the end.
pub fn as_completed<T>(
    futures: impl Watch<T>,
    timeout: impl Into<Option<Duration>>,
) -> AsCompleted<T> {
    let mut set = AsCompleted {
        set: host::Completions::new(),
        timeout: timeout.into(),
        lists: Vec::new(),
        is_over: false,
        returns: PhantomData,
    };
    futures.watch(&mut set);
    set
}

/// The iterator of [`as_completed`].
pub struct AsCompleted<T> {
    set: host::Completions,
    timeout: Option<Duration>,
    /// Kept because runs of a list that is let go of are cancelled, and because only a list knows
    /// that it came to nothing.
    lists: Vec<FutureList<T>>,
    is_over: bool,
    returns: PhantomData<fn() -> T>,
}

impl<T> AsCompleted<T> {
    /// Watches more, also while the iteration is under way.
    pub fn add(&mut self, futures: impl Watch<T>) {
        self.is_over = false;
        futures.watch(self);
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Result<TaskFuture<T>, WaitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.set.next(self.timeout.map(host::nanoseconds));
        callbacks::run_due();
        match next {
            Ok(Some(completed)) => return Some(Ok(TaskFuture::new(completed.future))),
            Ok(None) => self.is_over = true,
            Err((unfinished, total)) => {
                self.is_over = true;
                return Some(Err(WaitTimeout { unfinished, total }.into()));
            }
        }
        let fault = self.lists.drain(..).find_map(|list| list.len().err())?;
        Some(Err(fault.into()))
    }
}

impl<T> FusedIterator for AsCompleted<T> {}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AsCompleted")
            .field("timeout", &self.timeout)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl<T> Watch<T> for &FutureList<T> {
    fn watch(self, set: &mut AsCompleted<T>) {
        set.set.add_list(self.handle());
        set.lists.push(self.clone());
    }
}

#[diagnostic::do_not_recommend]
impl<T, I> Watch<T> for I
where
    I: IntoIterator,
    I::Item: AsTaskFuture<T>,
{
    fn watch(self, set: &mut AsCompleted<T>) {
        for future in self {
            set.set.add(future.as_task_future().handle());
        }
    }
}

/// A future, or a reference to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `TaskFuture`",
    label = "these elements are no futures"
)]
pub trait AsTaskFuture<T> {
    /// The future.
    #[doc(hidden)]
    fn as_task_future(&self) -> &TaskFuture<T>;
}

impl<T> AsTaskFuture<T> for TaskFuture<T> {
    fn as_task_future(&self) -> &TaskFuture<T> {
        self
    }
}

impl<T> AsTaskFuture<T> for &TaskFuture<T> {
    fn as_task_future(&self) -> &TaskFuture<T> {
        self
    }
}
