//! Flows that cancel what they called, by word or by letting go.

use std::time::Duration;

use sandmill_guest::flow::{Options, each, sleep};
use sandmill_guest::{Failure, flow};

use crate::tasks::{patience, slow, square};

/// Cancels a run that would not end: the kind of its state.
#[flow]
pub(crate) fn cancel_one() -> String {
    let run = patience::submit();
    run.cancel();
    run.wait(None).kind.to_string()
}

/// Cancels a whole map: how many of its runs were cancelled.
#[flow]
pub(crate) fn cancel_list(count: u64) -> Result<u64, Failure> {
    let times = vec![3_600_000_u64; usize::try_from(count)?];
    let runs = slow::map(each(&times), Some(1));
    runs.cancel();
    let mut cancelled = 0;
    for run in runs.iter()? {
        cancelled += u64::from(run.wait(None).kind.to_string() == "cancelled");
    }
    Ok(cancelled)
}

/// Lets go of a run that would not end, which cancels it, and goes on: the run's id.
#[flow]
pub(crate) fn dropped() -> Result<String, Failure> {
    let id = patience::submit().id();
    square::submit(1).result(None)?;
    Ok(id)
}

/// Lets go of a run that goes on all the same: its id.
#[flow]
pub(crate) fn detached(millis: u64) -> String {
    slow::with(Options::new().detach()).submit(millis, Some(1)).id()
}

/// Returns while a run that would not end is under way, which cancels it: its id.
#[flow]
pub(crate) fn left_behind() -> String {
    let run = patience::submit();
    sleep(Duration::from_millis(1));
    run.id()
}

/// Fails while a run with a callback is under way: it is cancelled, and the callback told.
#[flow]
pub(crate) fn fails_with_callback() -> Result<(), Failure> {
    patience::submit().on_done(|run| println!("told: {}", run.state().kind));
    Err(Failure::new("on-purpose", "this flow fails"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sandmill_guest::testing::{self, Stub, Tasks, with_tasks};

    use super::*;

    #[test]
    fn what_is_cancelled_ends() {
        let endless = Tasks::new()
            .own_stub("patience", |_| Stub::never())
            .own_stub("slow", |_| Stub::never());
        with_tasks(endless, || {
            assert_eq!(cancel_one(), "cancelled");
            assert_eq!(cancel_list(3).unwrap(), 3);
            assert!(dropped().unwrap() < left_behind());
            assert!(!detached(1).is_empty());
            // As a host calls it, so that what comes after the flow happens.
            let nothing = BTreeMap::<String, u64>::new();
            let failure = testing::call::<fails_with_callback, ()>(&nothing).unwrap_err();
            assert_eq!(failure.kind(), "on-purpose");
        });
    }
}
