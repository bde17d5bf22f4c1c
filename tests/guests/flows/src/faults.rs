//! Flows whose calls fail, and flows that are at fault themselves.

use std::hint::black_box;

use sandmill_guest::flow::{Options, Retries, Task, as_completed, each};
use sandmill_guest::{Failure, flow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tasks::{add, flaky, half, square, trap};

/// What some calls came to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Partial {
    halves: Vec<u64>,
    failed: Vec<String>,
}

/// Halves the numbers: the halves of the even ones, and the names of the runs of the others.
#[flow]
pub(crate) fn partial(numbers: Vec<u64>) -> Result<Partial, Failure> {
    let runs = half::map(each(&numbers));
    let mut partial = Partial { halves: Vec::new(), failed: Vec::new() };
    for run in runs.iter()? {
        match run.result(None) {
            Ok(half) => partial.halves.push(half),
            Err(error) => match error.failure() {
                Some(failure) if failure.kind() == "odd" => partial.failed.push(run.name()),
                _ => return Err(error.into()),
            },
        }
    }
    Ok(partial)
}

/// Halves the numbers; fails with the first that cannot be.
#[flow]
pub(crate) fn fail_fast(numbers: Vec<u64>) -> Result<Vec<u64>, Failure> {
    Ok(half::map(each(&numbers)).results(None)?)
}

/// A call that fails so often and is tried again so often: the attempt that came through.
#[flow]
pub(crate) fn retried(fails: u32, retries: u32, on: Option<Vec<String>>) -> Result<u32, Failure> {
    let mut retries = Retries::new(retries);
    if let Some(on) = on {
        retries = retries.on(on);
    }
    Ok(flaky::with(Options::new().retries(retries)).submit(fails).result(None)?)
}

/// Panics after a call.
#[flow]
pub(crate) fn panics(message: String) -> Result<u64, Failure> {
    let one = square::submit(1).result(None)?;
    assert_eq!(one, 0, "{message}");
    Ok(one)
}

/// Loops for ever without a call, after one.
#[flow]
pub(crate) fn loops() -> Result<u64, Failure> {
    let mut number = square::submit(1).result(None)?;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Makes calls for ever, each after the end of the one before.
#[flow]
pub(crate) fn never_ends() -> Result<u64, Failure> {
    let mut number = 0;
    loop {
        number = add::submit(number % 1000, 1).result(None)?;
    }
}

/// Makes `count` calls without waiting for any, and lets go of them at once, or keeps them all: how
/// many.
#[flow]
pub(crate) fn submits_without_wait(count: u64, keep: bool) -> u64 {
    let mut kept = Vec::new();
    for number in 0..count {
        let run = square::submit(number % 1000);
        if keep {
            kept.push(run);
        }
    }
    kept.len() as u64
}

/// Makes calls without end or wait, and keeps them all.
#[flow]
pub(crate) fn submits_without_end() {
    let mut kept = Vec::new();
    loop {
        kept.push(square::submit(1));
    }
}

/// A map over lists of different lengths.
#[flow]
pub(crate) fn unequal_lists() -> Result<u64, Failure> {
    let sums = add::map(each([1_u64, 2]), each([1_u64, 2, 3]));
    let mut seen = 0;
    for run in as_completed(&sums, None) {
        seen += run?.result(None)?;
    }
    Ok(seen)
}

/// A task that there is not.
#[flow]
pub(crate) fn unknown_task() -> Result<u64, Failure> {
    Ok(Task::<u64>::own("no-such-task").submit().result(None)?)
}

/// A component that there is not.
#[flow]
pub(crate) fn unknown_component() -> Result<u64, Failure> {
    Ok(Task::<u64>::of("no-such-component", "task").submit().result(None)?)
}

/// A result of another type than the flow takes it for.
#[flow]
pub(crate) fn wrong_type() -> Result<String, Failure> {
    Ok(Task::<String>::own("square").arg("number", 2).submit().result(None)?)
}

/// Returns so many bytes of text, after a task that panics.
#[flow]
pub(crate) fn too_long_result(bytes: usize) -> String {
    let trapped = trap::submit("on purpose").wait(None);
    trapped.name.chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sandmill_guest::testing::{self, Stub, Tasks, with_tasks};

    use super::*;

    #[test]
    fn what_fails_is_seen() {
        let seen = partial(vec![2, 3, 4]).unwrap();
        assert_eq!(seen, Partial { halves: vec![1, 2], failed: vec!["half[1]".to_owned()] });
        let failure = fail_fast(vec![2, 3, 5]).unwrap_err();
        assert_eq!(failure.kind(), Failure::RUN_FAILED);
        assert_eq!(failure.message(), "half[1] gave no result: Failed: odd: 3 is odd");
        assert_eq!(unequal_lists().unwrap_err().kind(), Failure::RUN_FAILED);
        assert!(unequal_lists().unwrap_err().message().contains("different lengths"));
        assert!(unknown_task().unwrap_err().message().contains("no-such-task"));
        assert!(unknown_component().unwrap_err().message().contains("no-such-component"));
        // Known once it was called.
        square::submit(1);
        assert_eq!(wrong_type().unwrap_err().kind(), Failure::WRONG_RESULT);
        assert_eq!(too_long_result(8), "TrappedT");
    }

    #[test]
    fn a_failed_run_is_named_in_the_details() {
        let failure = fail_fast(vec![3]).unwrap_err();
        #[derive(Deserialize)]
        struct Details {
            run: String,
            name: String,
            state: BTreeMap<String, Option<String>>,
            failure: FailureDetails,
        }
        #[derive(Deserialize)]
        struct FailureDetails {
            kind: String,
            retriable: bool,
        }
        let details: Details = failure.details().unwrap().unwrap();
        assert_eq!(details.name, "half[0]");
        assert!(!details.run.is_empty() && !details.failure.retriable);
        assert_eq!(details.state["type"].as_deref(), Some("failed"));
        assert_eq!(details.failure.kind, "odd");
    }

    #[test]
    fn retries_are_counted() {
        assert_eq!(retried(2, 2, None).unwrap(), 3);
        assert_eq!(retried(3, 2, None).unwrap_err().kind(), Failure::RUN_FAILED);
        assert_eq!(retried(1, 1, Some(vec!["flaky".to_owned()])).unwrap(), 2);
        assert_eq!(retried(1, 1, Some(vec!["retriable".to_owned()])).unwrap(), 2);
        assert!(retried(1, 1, Some(vec!["timed-out".to_owned()])).is_err());
    }

    #[test]
    fn flows_can_be_at_fault() {
        let arguments = BTreeMap::from([("message", "on purpose")]);
        let called = || testing::call::<panics, u64>(&arguments);
        assert!(std::panic::catch_unwind(called).is_err());
        assert_eq!(submits_without_wait(1000, true), 1000);
        let crashed = Tasks::new().own_stub("add", |_| {
            Stub::ended(sandmill_guest::flow::StateType::Crashed, "HostLost", "gone")
        });
        let failure = with_tasks(crashed, never_ends).unwrap_err();
        assert!(failure.message().contains("HostLost: gone"), "{failure}");
    }
}
