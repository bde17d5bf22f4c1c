//! Waiting for several futures, without raising (`prefect.futures.wait`).

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt as _;

use super::as_completed::{AsCompleted, as_completed};
use super::error::WaitTimeout;
use super::task_future::TaskFuture;

/// When a wait is over, other than by its timeout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// When every run has ended.
    #[default]
    All,
    /// When one run has ended, however.
    First,
    /// When one run gave no value, or all have ended.
    FirstError,
}

/// What has ended and what has not, each in the order given, without duplicates. A run that failed
/// or was cancelled has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneAndNotDone {
    /// The futures whose runs have ended.
    pub done: Vec<TaskFuture>,
    /// The others.
    pub not_done: Vec<TaskFuture>,
}

impl DoneAndNotDone {
    fn sort(futures: &[TaskFuture]) -> Self {
        let mut seen = HashSet::new();
        let (done, not_done) = futures
            .iter()
            .filter(|future| seen.insert(future.id()))
            .cloned()
            .partition(TaskFuture::is_done);
        Self { done, not_done }
    }
}

/// Blocks until the futures' runs have ended as `return_when` says, or `timeout` is over. Never
/// raises: neither for a timeout nor for a run that failed.
pub fn wait(
    futures: &[TaskFuture],
    timeout: Option<Duration>,
    return_when: ReturnWhen,
) -> DoneAndNotDone {
    let group: AsCompleted = as_completed(futures.iter().cloned(), timeout);
    for item in group {
        if is_enough(&item, return_when) {
            break;
        }
    }
    DoneAndNotDone::sort(futures)
}

/// As [`wait`], without blocking the thread.
pub async fn wait_async(
    futures: &[TaskFuture],
    timeout: Option<Duration>,
    return_when: ReturnWhen,
) -> DoneAndNotDone {
    let mut group = as_completed(futures.iter().cloned(), timeout).into_stream();
    while let Some(item) = group.next().await {
        if is_enough(&item, return_when) {
            break;
        }
    }
    DoneAndNotDone::sort(futures)
}

fn is_enough(item: &Result<TaskFuture, WaitTimeout>, return_when: ReturnWhen) -> bool {
    match (item, return_when) {
        (Err(_), _) | (Ok(_), ReturnWhen::First) => true,
        (Ok(_), ReturnWhen::All) => false,
        (Ok(future), ReturnWhen::FirstError) => {
            future.outcome().is_some_and(|outcome| !outcome.is_success())
        }
    }
}
