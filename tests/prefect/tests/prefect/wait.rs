//! `prefect.futures.wait`, and `wait` of one future.

use std::thread;
use std::time::Duration;

use sandmill::core::units::parse_duration;
use sandmill::future::{ReturnWhen, wait};
use sandmill::{StateType, TaskFuture};
use sandmill_test_prefect::{LONG, SHORT, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            everything_that_ended_is_done,
            "tests/test_futures.py: TestUtilityFunctions.test_wait"
        ),
        scenario!(
            what_hangs_is_not_done_when_the_time_is_over,
            "tests/test_futures.py: TestUtilityFunctions.test_wait_with_timeout",
            waiting
        ),
        scenario!(
            a_slow_one_before_them_hides_no_quick_ones,
            "tests/test_futures.py: TestUtilityFunctions.\
             test_wait_monitors_all_futures_concurrently_with_timeout",
            waiting
        ),
        scenario!(
            no_time_at_all_is_a_look,
            "src/prefect/futures.py: wait (`done = {f for f in _futures if f._final_state}`)",
            waiting
        ),
        scenario!(
            failed_and_cancelled_ones_are_done_and_raise_nothing,
            "src/prefect/futures.py: wait (\"finished or cancelled\")"
        ),
        scenario!(
            duplicates_are_given_once,
            "src/prefect/futures.py: wait (\"Duplicate futures given to *futures* are removed\")"
        ),
        scenario!(
            nothing_to_wait_for_is_nothing_done,
            "src/prefect/futures.py: wait (`if len(done) == len(_futures)`)"
        ),
        scenario!(
            what_is_done_keeps_the_order_given,
            "src/prefect/futures.py: DoneAndNotDoneFutures (sets)",
            differs
        ),
        scenario!(
            a_timeout_below_zero_cannot_be_said,
            "tests/test_futures.py: TestUtilityFunctions.\
             test_wait_with_negative_timeout_raises_value_error",
            differs
        ),
        scenario!(
            one_future_waits_and_gives_its_state,
            "tests/test_futures.py: TestPrefectConcurrentFuture.test_wait_without_timeout"
        ),
        scenario!(
            one_future_waits_no_longer_than_it_is_told,
            "tests/test_futures.py: TestPrefectConcurrentFuture.test_wait_with_timeout",
            waiting
        ),
    ]
}

fn everything_that_ended_is_done(stage: &Stage) {
    let futures: Vec<TaskFuture> = (0..5).map(|number| stage.number(number)).collect();
    let sorted = wait(&futures, None, ReturnWhen::All);
    assert_eq!(sorted.done, futures);
    assert!(sorted.not_done.is_empty());
    assert!(futures.iter().all(|future| future.state().kind == StateType::Completed));
}

fn what_hangs_is_not_done_when_the_time_is_over(stage: &Stage) {
    let mut futures: Vec<TaskFuture> = (0..5).map(|number| stage.number(number)).collect();
    assert_eq!(wait(&futures, Some(LONG), ReturnWhen::All).done.len(), 5);
    let hangs = stage.held();
    futures.push(hangs.0.clone());
    let sorted = wait(&futures, Some(SHORT), ReturnWhen::All);
    assert_eq!(sorted.not_done, futures[5..]);
    assert_eq!(sorted.done, futures[..5]);
    hangs.let_go();
}

fn a_slow_one_before_them_hides_no_quick_ones(stage: &Stage) {
    let slow = stage.held();
    let quick: Vec<_> = (0..3).map(|_| stage.held()).collect();
    let mut futures = vec![slow.0.clone()];
    futures.extend(quick.iter().map(|held| held.0.clone()));
    let sorted = thread::scope(|scope| {
        scope.spawn(|| quick.iter().for_each(|held| held.release()));
        // Far more than they need; waited out, because the slow one does not end.
        wait(&futures, Some(Duration::from_secs(3)), ReturnWhen::All)
    });
    assert_eq!(sorted.done, futures[1..]);
    assert_eq!(sorted.not_done, futures[..1]);
    slow.let_go();
}

fn no_time_at_all_is_a_look(stage: &Stage) {
    let ended = stage.number(1);
    ended.wait(Some(LONG));
    let hangs = stage.held();
    let sorted = wait(&[hangs.0.clone(), ended.clone()], Some(Duration::ZERO), ReturnWhen::All);
    assert_eq!((sorted.done, sorted.not_done), (vec![ended], vec![hangs.0.clone()]));
    hangs.let_go();
}

fn failed_and_cancelled_ones_are_done_and_raise_nothing(stage: &Stage) {
    let token = sandmill::core::CancelToken::new();
    token.cancel();
    let futures = [
        stage.failing(),
        stage.submit("panic", r#"{"message":"oh"}"#),
        stage.submit_with("add", r#"{"left":1}"#, |options| options.cancel = Some(token)),
        stage.number(1),
    ];
    let sorted = wait(&futures, Some(LONG), ReturnWhen::All);
    assert_eq!(sorted.done, futures);
    let names: Vec<_> = futures.iter().map(|future| future.state().name).collect();
    assert_eq!(names, ["Failed", "Trapped", "Cancelled", "Completed"]);
}

fn duplicates_are_given_once(stage: &Stage) {
    let (one, other) = (stage.number(1), stage.number(2));
    let futures = [one.clone(), other.clone(), one.clone(), one.clone(), other.clone()];
    let sorted = wait(&futures, Some(LONG), ReturnWhen::All);
    assert_eq!((sorted.done, sorted.not_done), (vec![one, other], vec![]));
}

fn nothing_to_wait_for_is_nothing_done(_: &Stage) {
    let sorted = wait(&[], None, ReturnWhen::All);
    assert!(sorted.done.is_empty() && sorted.not_done.is_empty());
}

fn what_is_done_keeps_the_order_given(stage: &Stage) {
    let mut futures: Vec<TaskFuture> = (0..8).map(|number| stage.number(number)).collect();
    futures.reverse();
    assert_eq!(wait(&futures, Some(LONG), ReturnWhen::All).done, futures);
}

/// There is no such [`Duration`]; where one is written, it is refused as Prefect does.
fn a_timeout_below_zero_cannot_be_said(stage: &Stage) {
    assert!(parse_duration("-1s").is_err());
    let faults = stage.faults(
        "flow.name = 'f'\n\
         tasks.a = { call = 'probe.nothing', timeout = '-1s' }",
    );
    assert!(faults.contains("`-1s` is not a duration"), "{faults}");
}

fn one_future_waits_and_gives_its_state(stage: &Stage) {
    let future = stage.number(3);
    assert_eq!(future.wait(None).kind, StateType::Completed);
    assert_eq!(future.wait(Some(Duration::ZERO)).kind, StateType::Completed);
    assert_eq!(stage.failing().wait(None).kind, StateType::Failed);
}

fn one_future_waits_no_longer_than_it_is_told(stage: &Stage) {
    let hangs = stage.held();
    let state = hangs.0.wait(Some(SHORT));
    assert!(!state.is_final(), "{state}");
    assert!(!hangs.0.is_done(), "the run goes on");
    hangs.let_go();
}
