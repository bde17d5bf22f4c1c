//! `PrefectFutureList`.

use std::time::Duration;

use sandmill::future::{ListError, OnError, RunErrorKind};
use sandmill::{Call, FutureList, MapOptions, Outcome, StateType};
use sandmill_test_prefect::{HELD, LONG, SHORT, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(a_list_waits_for_all, "tests/test_futures.py: TestPrefectFutureList.test_wait"),
        scenario!(
            a_list_waits_no_longer_than_it_is_told,
            "tests/test_futures.py: TestPrefectFutureList.test_wait_with_timeout",
            waiting
        ),
        scenario!(
            results_come_in_the_order_of_the_calls,
            "tests/test_futures.py: TestPrefectFutureList.test_results"
        ),
        scenario!(
            the_order_of_ending_does_not_matter,
            "tests/test_futures.py: TestPrefectFutureList.test_result_preserves_order",
            waiting
        ),
        scenario!(
            one_failure_raises,
            "tests/test_futures.py: TestPrefectFutureList.test_results_with_failure"
        ),
        scenario!(
            a_failure_raises_before_slow_ones_have_ended,
            "tests/test_futures.py: TestPrefectFutureList.test_result_fail_fast",
            waiting
        ),
        scenario!(
            failures_can_be_had_in_their_places,
            "tests/test_futures.py: TestPrefectFutureList.test_results_with_raise_on_failure_false"
        ),
        scenario!(
            a_list_that_is_not_done_in_time_says_so,
            "tests/test_futures.py: TestPrefectFutureList.\
             test_result_timeout_raises_dedicated_message",
            waiting
        ),
        scenario!(
            a_timeout_of_a_task_is_not_one_of_the_list,
            "tests/test_futures.py: TestPrefectFutureList.test_result_does_not_obscure_other_timeouts"
        ),
        scenario!(
            the_others_can_be_cancelled_with_the_first_failure,
            "src/prefect/futures.py: PrefectFutureList.result (the others go on)",
            waiting,
            differs
        ),
    ]
}

/// A list of these calls.
fn list(stage: &Stage, calls: Vec<Call>) -> FutureList {
    stage.host.map(calls.into_iter(), MapOptions::default())
}

fn numbers(stage: &Stage, count: i64) -> Vec<Call> {
    let number = |left: i64| stage.call("add", &format!("{{\"left\":{left},\"right\":0}}"));
    (0..count).map(number).collect()
}

fn failing(stage: &Stage) -> Call {
    stage.call("half", r#"{"number":5}"#)
}

fn a_list_waits_for_all(stage: &Stage) {
    let list = list(stage, numbers(stage, 5));
    let sorted = list.wait(None);
    assert_eq!((sorted.done.len(), sorted.not_done.len()), (5, 0));
    assert!(sorted.done.iter().all(|future| future.state().kind == StateType::Completed));
}

fn a_list_waits_no_longer_than_it_is_told(stage: &Stage) {
    let mut calls = numbers(stage, 2);
    calls.push(stage.holding().0);
    let list = list(stage, calls);
    assert_eq!(list.futures(Some(LONG)).len(), 3);
    let sorted = list.wait(Some(SHORT));
    assert!(sorted.not_done.iter().any(|future| future.name() == HELD), "{sorted:?}");
    list.cancel();
}

fn results_come_in_the_order_of_the_calls(stage: &Stage) {
    let values = list(stage, numbers(stage, 5)).results(Some(LONG), OnError::Continue).unwrap();
    let values: Vec<i64> = values.iter().map(|value| value.decode().unwrap()).collect();
    assert_eq!(values, [0, 1, 2, 3, 4]);
}

fn the_order_of_ending_does_not_matter(stage: &Stage) {
    let (holding, gate) = stage.holding();
    let calls = vec![holding, numbers(stage, 8).remove(7)];
    let list = list(stage, calls);
    let futures = list.futures(Some(LONG));
    assert!(futures[1].wait(Some(LONG)).is_final());
    assert!(!futures[0].is_done());
    gate.open();
    let values = list.results(Some(LONG), OnError::Continue).unwrap();
    assert_eq!(values[0], futures[0].result(None).unwrap());
    assert_eq!(values[1].decode::<i64>().unwrap(), 7);
}

fn one_failure_raises(stage: &Stage) {
    let mut calls = numbers(stage, 5);
    calls.push(failing(stage));
    let error = list(stage, calls).results(Some(LONG), OnError::Continue).unwrap_err();
    assert!(matches!(&error, ListError::Run(_)), "{error}");
    assert!(error.to_string().contains("5 is odd"), "{error}");
}

fn a_failure_raises_before_slow_ones_have_ended(stage: &Stage) {
    let (holding, gate) = stage.holding();
    let list = list(stage, vec![holding, failing(stage)]);
    let error = list.results(Some(LONG), OnError::Continue).unwrap_err();
    assert!(error.to_string().contains("5 is odd"), "{error}");
    let slow = &list.futures(Some(LONG))[0];
    assert!(!slow.is_done(), "the others go on");
    gate.open();
    assert_eq!(slow.wait(Some(LONG)).kind, StateType::Completed);
}

fn failures_can_be_had_in_their_places(stage: &Stage) {
    let mut calls = numbers(stage, 5);
    calls.push(failing(stage));
    let futures = list(stage, calls).wait(Some(LONG)).done;
    let outcomes: Vec<Outcome> = futures.iter().map(|future| future.outcome().unwrap()).collect();
    let values: Vec<i64> =
        outcomes[..5].iter().map(|outcome| outcome.value().unwrap().decode().unwrap()).collect();
    assert_eq!(values, [0, 1, 2, 3, 4]);
    assert!(matches!(&outcomes[5], Outcome::Failure(failure) if failure.kind == "odd"));
}

/// Prefect's words are `Timed out waiting for all futures to complete within 0.5 seconds`.
fn a_list_that_is_not_done_in_time_says_so(stage: &Stage) {
    let list = list(stage, vec![stage.holding().0]);
    assert_eq!(list.futures(Some(LONG)).len(), 1);
    let error = list.results(Some(SHORT), OnError::Continue).unwrap_err();
    assert!(matches!(error, ListError::Timeout(timeout) if timeout.unfinished == 1));
    let words = "timed out waiting for all futures: 1 of 1 futures unfinished";
    assert_eq!(error.to_string(), words);
    let error = list.results(Some(Duration::ZERO), OnError::Continue).unwrap_err();
    assert_eq!(error.to_string(), words);
    list.cancel();
}

fn a_timeout_of_a_task_is_not_one_of_the_list(stage: &Stage) {
    let mut calls = numbers(stage, 2);
    calls.push(stage.call("refuse", r#"{"kind":"timed-out","message":"oops"}"#));
    calls.push(stage.call_with("sleep", r#"{"millis":600000}"#, |options| {
        options.limits.timeout = SHORT;
    }));
    for number in [2, 3] {
        let calls = calls[..2].iter().chain([&calls[number]]).cloned().collect();
        let error = list(stage, calls).results(Some(LONG), OnError::Continue).unwrap_err();
        let ListError::Run(error) = error else { panic!("{error}") };
        assert!(!matches!(error.kind, RunErrorKind::WaitTimeout(_)), "{error}");
    }
}

fn the_others_can_be_cancelled_with_the_first_failure(stage: &Stage) {
    let sleeping = stage.call("sleep", r#"{"millis":600000}"#);
    let list = list(stage, vec![sleeping, failing(stage)]);
    let error = list.results(Some(LONG), OnError::Cancel).unwrap_err();
    assert!(error.to_string().contains("5 is odd"), "{error}");
    let slow = &list.futures(Some(LONG))[0];
    assert_eq!(slow.wait(Some(LONG)).kind, StateType::Cancelled);
}
