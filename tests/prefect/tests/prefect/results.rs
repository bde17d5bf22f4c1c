//! `result` and `state` of one future.

use std::time::Duration;

use futures::executor::block_on;
use sandmill::core::CancelToken;
use sandmill::future::RunErrorKind;
use sandmill::store::{Reader, RunKey};
use sandmill::{EndKind, Outcome, RunId, StateType, TypedFuture};
use sandmill_test_prefect::{LONG, SHORT, Scenario, Stage, scenario};

use crate::states::crashing;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            a_result_is_the_value,
            "tests/test_futures.py: TestPrefectConcurrentFuture.test_result_with_final_state"
        ),
        scenario!(
            a_result_waits_for_the_end,
            "tests/test_futures.py: TestPrefectConcurrentFuture.test_result_without_final_state"
        ),
        scenario!(
            a_result_can_be_had_again,
            "src/prefect/futures.py: PrefectConcurrentFuture.result (`if not self._final_state`)"
        ),
        scenario!(
            a_failure_is_raised,
            "tests/test_futures.py: TestPrefectConcurrentFuture.\
             test_result_with_final_state_and_raise_on_failure"
        ),
        scenario!(
            a_failure_can_be_had_without_raising,
            "src/prefect/futures.py: PrefectConcurrentFuture.result (`raise_on_failure=raise_on_failure`)"
        ),
        scenario!(
            a_timeout_names_the_run_and_the_time,
            "src/prefect/futures.py: PrefectConcurrentFuture.result \
             (\"did not complete within {timeout} seconds\")",
            waiting
        ),
        scenario!(
            what_has_ended_needs_no_time,
            "src/prefect/futures.py: PrefectConcurrentFuture.result (`if not self._final_state`)"
        ),
        scenario!(
            a_failure_called_timeout_is_a_failure,
            "tests/test_futures.py: TestPrefectFutureList.test_result_does_not_obscure_other_timeouts"
        ),
        scenario!(
            a_cancelled_run_raises,
            "src/prefect/states.py: get_state_exception (`CancelledRun`)"
        ),
        scenario!(
            a_crashed_run_raises,
            "src/prefect/states.py: get_state_exception (`CrashedRun`)"
        ),
        scenario!(
            a_result_can_be_awaited,
            "src/prefect/futures.py: PrefectDistributedFuture.result_async"
        ),
        scenario!(
            a_state_is_told_without_waiting,
            "src/prefect/futures.py: PrefectTaskRunFuture.state",
            waiting
        ),
        scenario!(
            two_futures_are_equal_when_their_run_is,
            "src/prefect/futures.py: PrefectDistributedFuture.__eq__"
        ),
        scenario!(
            a_run_that_nobody_knows_is_not_pending,
            "src/prefect/futures.py: PrefectTaskRunFuture.state (\"be optimistic\")",
            differs
        ),
    ]
}

fn a_result_is_the_value(stage: &Stage) {
    let future = stage.number(42);
    assert!(future.wait(Some(LONG)).is_final());
    assert_eq!(future.result(None).unwrap().decode::<i64>().unwrap(), 42);
    let typed: TypedFuture<i64> = future.typed();
    assert_eq!(typed.result(None).unwrap(), 42);
}

fn a_result_waits_for_the_end(stage: &Stage) {
    let future = stage.submit("sleep", r#"{"millis":20}"#);
    assert!(future.result(None).unwrap().decode::<u64>().unwrap() >= 20_000_000);
    assert_eq!(future.state().kind, StateType::Completed);
}

fn a_result_can_be_had_again(stage: &Stage) {
    let future = stage.number(7);
    let first = future.result(Some(LONG)).unwrap();
    assert_eq!(future.clone().result(Some(LONG)).unwrap(), first);
    let failing = stage.failing();
    assert_eq!(failing.result(Some(LONG)).unwrap_err(), failing.result(Some(LONG)).unwrap_err());
}

fn a_failure_is_raised(stage: &Stage) {
    let future = stage.failing();
    let error = future.result(Some(LONG)).unwrap_err();
    assert_eq!((error.run, &*error.name), (future.id(), "half"));
    let RunErrorKind::Failure(failure) = &error.kind else { panic!("{error}") };
    assert_eq!((failure.kind.as_str(), failure.message.as_str()), ("odd", "5 is odd"));
    assert!(error.to_string().contains("5 is odd"), "{error}");
}

/// Prefect gives the exception in place of the value.
fn a_failure_can_be_had_without_raising(stage: &Stage) {
    let future = stage.failing();
    assert_eq!(future.wait(Some(LONG)).kind, StateType::Failed);
    let Some(Outcome::Failure(failure)) = future.outcome() else { panic!("{future:?}") };
    assert_eq!(failure.message, "5 is odd");
    let completed = stage.number(1);
    completed.wait(Some(LONG));
    assert!(completed.outcome().unwrap().is_success());
}

fn a_timeout_names_the_run_and_the_time(stage: &Stage) {
    let hangs = stage.held();
    let error = hangs.0.result(Some(SHORT)).unwrap_err();
    assert!(error.is_wait_timeout());
    let id = hangs.0.id();
    assert_eq!(error.to_string(), format!("held (run {id}) did not end within 50ms"));
    assert!(hangs.0.outcome().is_none(), "the run goes on");
    hangs.let_go();
    assert!(hangs.0.result(Some(SHORT)).is_ok(), "and gives its value later");
}

fn what_has_ended_needs_no_time(stage: &Stage) {
    let (future, failing) = (stage.number(1), stage.failing());
    assert!(future.wait(Some(LONG)).is_final() && failing.wait(Some(LONG)).is_final());
    assert!(future.result(Some(Duration::ZERO)).is_ok());
    assert!(!failing.result(Some(Duration::ZERO)).unwrap_err().is_wait_timeout());
}

fn a_failure_called_timeout_is_a_failure(stage: &Stage) {
    let future = stage.submit("refuse", r#"{"kind":"timed-out","message":"oops"}"#);
    let error = future.result(Some(LONG)).unwrap_err();
    assert!(!error.is_wait_timeout() && error.end_kind().is_none(), "{error:?}");
    assert!(matches!(&error.kind, RunErrorKind::Failure(failure) if failure.message == "oops"));
    assert_eq!(future.state().name, "Failed");
}

fn a_cancelled_run_raises(stage: &Stage) {
    let token = CancelToken::new();
    token.cancel();
    let future = stage.submit_with("nothing", "{}", |options| options.cancel = Some(token));
    let error = future.result(Some(LONG)).unwrap_err();
    assert_eq!(error.end_kind(), Some(EndKind::Cancelled), "{error}");
    assert_eq!(future.state().kind, StateType::Cancelled);
}

fn a_crashed_run_raises(stage: &Stage) {
    let stage = crashing(stage, u32::MAX);
    let future = stage.number(1);
    let error = future.result(Some(LONG)).unwrap_err();
    assert_eq!(error.end_kind(), Some(EndKind::HostError), "{error}");
    assert_eq!(future.state().kind, StateType::Crashed);
}

fn a_result_can_be_awaited(stage: &Stage) {
    assert_eq!(block_on(stage.number(3)).unwrap().decode::<i64>().unwrap(), 3);
    assert_eq!(block_on(stage.number(4).typed::<i64>()).unwrap(), 4);
    assert!(block_on(stage.failing()).unwrap_err().to_string().contains("5 is odd"));
}

fn a_state_is_told_without_waiting(stage: &Stage) {
    let hangs = stage.held();
    assert!(!hangs.0.state().is_final());
    hangs.release();
    hangs.0.wait(Some(LONG));
    assert_eq!(hangs.0.state().kind, StateType::Completed);
}

fn two_futures_are_equal_when_their_run_is(stage: &Stage) {
    let future = stage.number(1);
    assert_eq!(future, future.clone());
    assert_eq!(future.clone().id(), future.id());
    assert_ne!(future, stage.number(1));
}

/// Prefect takes it that the run will come to be. What the history does not know, it says so of.
fn a_run_that_nobody_knows_is_not_pending(stage: &Stage) {
    let stage = stage.with_history();
    let flow = stage.plan_flow("flow.name = 'f'\ntasks.a = { call = 'probe.nothing' }");
    let known = stage.start(&flow);
    known.wait(Some(LONG));
    let reader = Reader::open(&stage.data()).unwrap();
    assert!(reader.flow(known.id()).unwrap().is_some());
    assert!(reader.flow(RunId::new()).unwrap().is_none());
    let key = |stage| RunKey { stage, index: None };
    assert!(reader.run(known.id(), key(0)).unwrap().is_some());
    assert!(reader.run(known.id(), key(1)).unwrap().is_none());
}
