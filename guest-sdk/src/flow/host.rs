//! The host's side of a flow's calls: the contract's bindings, or their stand-in where there is no
//! host. The rest of [`crate::flow`] does not know which.

use std::time::Duration;

#[cfg(target_family = "wasm")]
pub(crate) use crate::flow_bindings::sandmill::task::futures::{
    Argument, CachePolicy, CallOptions, Completions, Elements, FutureList, ResultError, RetryDelay,
    RetryPolicy, ReturnWhen, RunError, State, StateType, Target, TaskFuture, map, sleep, submit,
    wait,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::futures::{
    Argument, CachePolicy, CallOptions, Completions, Elements, FutureList, ResultError, RetryDelay,
    RetryPolicy, ReturnWhen, RunError, State, StateType, Target, TaskFuture, map, sleep, submit,
    wait,
};

/// A time in the contract's unit; what is too long for it is as long as it can say, 584 years.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells the stand-in of a task that is about to be called. A host knows its component.
pub(crate) fn know(entry: crate::export::Entry) {
    #[cfg(not(target_family = "wasm"))]
    crate::testing::futures::know(entry);
    #[cfg(target_family = "wasm")]
    let _ = entry;
}
