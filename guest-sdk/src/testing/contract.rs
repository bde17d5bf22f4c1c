//! The types of the contract's `futures`, as its bindings have them, for targets without bindings.

use super::futures::{FutureList, TaskFuture};
use crate::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "nothing is under way here: a run has ended, or never ends")]
pub(crate) enum StateType {
    Scheduled,
    Pending,
    Running,
    Completed,
    Failed,
    Crashed,
    Cancelled,
    Cancelling,
    Paused,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) kind: StateType,
    pub(crate) name: String,
    pub(crate) message: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct RunError {
    pub(crate) run: String,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Debug)]
pub(crate) enum ResultError {
    Timeout,
    Run(RunError),
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) component: Option<String>,
    pub(crate) task: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Argument<'a> {
    Value(Vec<u8>),
    Result(&'a TaskFuture),
    Results(&'a FutureList),
}

#[derive(Clone, Debug)]
pub(crate) enum Elements<'a> {
    Values(Vec<u8>),
    Result(&'a TaskFuture),
    Results(&'a FutureList),
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "nobody waits for a retry here")]
pub(crate) enum RetryDelay {
    Fixed(Vec<u64>),
    Exponential((u64, f64)),
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "delays and memory are the host's")]
pub(crate) struct RetryPolicy {
    pub(crate) retries: u32,
    pub(crate) delay: RetryDelay,
    pub(crate) jitter: f64,
    pub(crate) on: Option<Vec<String>>,
    pub(crate) memory_factor: Option<f64>,
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "nothing is kept here")]
pub(crate) struct CachePolicy {
    pub(crate) expires: Option<u64>,
    pub(crate) key: Option<String>,
    pub(crate) refresh: bool,
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "limits and placing are the host's")]
pub(crate) struct CallOptions {
    pub(crate) name: Option<String>,
    pub(crate) retries: Option<RetryPolicy>,
    pub(crate) timeout: Option<u64>,
    pub(crate) queue_timeout: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) cache: Option<CachePolicy>,
    pub(crate) tags: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) resources: Vec<(String, f64)>,
    pub(crate) detach: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ReturnWhen {
    All,
    First,
    FirstError,
}

pub(crate) struct Completed {
    pub(crate) future: TaskFuture,
}
