//! Handles on runs, and every way to wait for them.
//!
//! The semantics are those of Prefect 3's `prefect.futures`, with the differences that
//! `docs/parity.md` lists: waiting never raises, the clock counts waiting only, and a callback
//! that panics harms nobody.

mod as_completed;
mod callbacks;
mod completions;
mod error;
mod feed;
mod kept;
mod list;
mod nested;
mod ordered;
mod promise;
mod shared;
mod task_future;
mod typed;
mod wait;

#[cfg(test)]
mod tests;

pub use as_completed::{AsCompleted, AsCompletedResults, as_completed};
pub use error::{RunError, RunErrorKind, WaitTimeout};
pub use feed::{MapFeed, Pull};
pub use list::{FutureList, ListError, OnError};
pub use nested::{
    Errors, Nested, resolve_futures_to_results, resolve_futures_to_states, resolve_to_value,
};
pub use ordered::Ordered;
pub use promise::Promise;
pub use task_future::TaskFuture;
pub use typed::TypedFuture;
pub use wait::{DoneAndNotDone, ReturnWhen, wait, wait_async};
