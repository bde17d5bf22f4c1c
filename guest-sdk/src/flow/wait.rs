//! [`wait`]: until some or all of several runs have ended; and [`sleep`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::callbacks;
use super::future::AnyFuture;
use super::host;

/// When a [`wait`] is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// All have ended.
    #[default]
    All,
    /// One has ended.
    First,
    /// One has ended without a result, or all have ended.
    FirstError,
}

/// What [`wait`] came to: each future once, in the order in which they were given.
#[derive(Clone, Debug)]
pub struct DoneAndNotDone<F> {
    /// Those that have ended, with a result or without.
    pub done: Vec<F>,
    /// Those that have not.
    pub not_done: Vec<F>,
}

/// Waits for several runs, or until `timeout` is over. Never fails: runs that ended without a result
/// are done.
///
/// ```
/// use std::time::Duration;
///
/// use sandmill_guest::flow::{ReturnWhen, wait};
/// use sandmill_guest::task;
///
/// #[task]
/// fn look(place: String) -> bool {
///     place == "here"
/// }
///
/// let looks = [look::submit("here"), look::submit("there")];
/// let seen = wait(&looks, Duration::from_secs(5), ReturnWhen::First);
/// assert!(!seen.done.is_empty());
/// ```
///
/// For runs of different types: `wait([a.untyped(), b.untyped()], …)`. For a map,
/// [`FutureList::wait`](super::FutureList::wait) needs no list of handles.
pub fn wait<F: AsRef<AnyFuture>>(
    futures: impl IntoIterator<Item = F>,
    timeout: impl Into<Option<Duration>>,
    until: ReturnWhen,
) -> DoneAndNotDone<F> {
    let mut seen = BTreeSet::new();
    let futures: Vec<F> =
        futures.into_iter().filter(|future| seen.insert(future.as_ref().id())).collect();
    let handles: Vec<_> = futures.iter().map(|future| future.as_ref().handle()).collect();
    let until = match until {
        ReturnWhen::All => host::ReturnWhen::All,
        ReturnWhen::First => host::ReturnWhen::First,
        ReturnWhen::FirstError => host::ReturnWhen::FirstError,
    };
    let have_ended = host::wait(&handles, timeout.into().map(host::nanoseconds), until);
    callbacks::run_due();
    let mut waited = DoneAndNotDone { done: Vec::new(), not_done: Vec::new() };
    for (future, has_ended) in futures.into_iter().zip(have_ended) {
        let place = if has_ended { &mut waited.done } else { &mut waited.not_done };
        place.push(future);
    }
    waited
}

/// Does nothing for so long. The time is over only once, however often the flow is taken up again.
/// Runs go on meanwhile.
pub fn sleep(time: Duration) {
    host::sleep(host::nanoseconds(time));
    callbacks::run_due();
}
