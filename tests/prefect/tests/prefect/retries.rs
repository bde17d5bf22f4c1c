//! `retries`, `retry_delay_seconds`, `retry_jitter_factor`, `retry_condition_fn` and
//! `timeout_seconds`.

use std::time::Duration;

use sandmill::core::{AttemptEnd, MAX_RETRY_DELAYS};
use sandmill::{RetryDelay, RetryPolicy, RunId, StateType, TaskFuture};
use sandmill_test_prefect::{LONG, SHORT, Scenario, Stage, scenario};

use crate::states::crashing;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            it_is_tried_as_often_as_it_is_told,
            "tests/test_task_engine.py: TestTaskRetries.test_task_respects_retry_count"
        ),
        scenario!(
            it_is_not_tried_again_once_it_completed,
            "tests/test_task_engine.py: TestTaskRetries.test_task_only_uses_necessary_retries"
        ),
        scenario!(
            the_last_failure_is_what_is_left,
            "tests/test_task_engine.py: TestTaskRetries.test_task_respects_retry_count \
             (`always_fail`)"
        ),
        scenario!(
            without_retries_there_is_one_attempt,
            "src/prefect/tasks.py: Task (`retries`, by default none)"
        ),
        scenario!(
            a_retry_at_once_awaits_its_retry_too,
            "src/prefect/task_engine.py: SyncTaskRunEngine.handle_retry (`Retrying()`)",
            differs
        ),
        scenario!(
            with_delays_the_states_are_prefects,
            "tests/test_task_engine.py: TestTaskRetries.\
             test_sync_task_respects_retry_delay_seconds"
        ),
        scenario!(
            one_delay_is_for_every_retry,
            "tests/test_task_engine.py: TestTaskRetries.\
             test_sync_task_respects_retry_delay_seconds (`(1, [1, 1, 1])`)"
        ),
        scenario!(
            the_last_delay_of_a_list_is_repeated,
            "tests/test_task_engine.py: TestTaskRetries.\
             test_sync_task_respects_retry_delay_seconds (`[1, 2, 2]`)"
        ),
        scenario!(delays_can_double, "src/prefect/tasks.py: exponential_backoff"),
        scenario!(
            a_list_of_delays_has_fifty_at_most,
            "tests/test_tasks.py: TestTaskConstructorValidation.\
             test_task_cannot_configure_too_many_custom_retry_delays"
        ),
        scenario!(
            delays_may_be_parts_of_seconds,
            "tests/test_tasks.py: TestTaskConstructorValidation.\
             test_task_accepts_fractional_retry_delay_seconds"
        ),
        scenario!(
            jitter_keeps_the_upper_bound_and_the_mean,
            "src/prefect/utilities/math.py: clamped_poisson_interval",
            differs
        ),
        scenario!(
            jitter_is_not_below_zero,
            "src/prefect/tasks.py: Task (\"`retry_jitter_factor` must be >= 0.\")"
        ),
        scenario!(
            a_condition_can_say_no,
            "src/prefect/task_engine.py: SyncTaskRunEngine.can_retry (`retry_condition_fn`)"
        ),
        scenario!(
            a_condition_can_say_yes,
            "tests/test_task_engine.py: TestTaskRetries.\
             test_task_passes_failed_state_to_retry_fn_sync"
        ),
        scenario!(
            an_attempt_knows_its_number,
            "tests/test_tasks.py: TestTaskRetries.\
             test_task_retries_receive_latest_task_run_in_context"
        ),
        scenario!(
            each_attempt_has_its_own_timeout,
            "src/prefect/task_engine.py: SyncTaskRunEngine.handle_timeout (`handle_retry`)"
        ),
        scenario!(
            a_crash_is_tried_again,
            "src/prefect/task_engine.py: SyncTaskRunEngine.handle_crash (no `handle_retry`)",
            differs
        ),
        scenario!(
            a_run_that_is_cancelled_is_not_tried_again,
            "src/prefect/task_engine.py: SyncTaskRunEngine.run_context (`CancelledError`)",
            waiting
        ),
        scenario!(
            who_awaits_a_retry_holds_no_slot,
            "src/prefect/task_engine.py: SyncTaskRunEngine.wait_until_ready (`time.sleep`)",
            waiting,
            differs
        ),
        scenario!(
            a_default_holds_for_tasks_without_their_own,
            "tests/test_tasks.py: TestTaskRetries.test_global_task_retry_config"
        ),
        scenario!(
            every_attempt_leaves_its_cause,
            "tests/test_tasks.py: TestTaskRetries.test_task_retry_logging"
        ),
        scenario!(
            what_can_never_work_is_tried_once,
            "src/prefect/task_engine.py: SyncTaskRunEngine.handle_exception (any exception)",
            differs
        ),
    ]
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn delayed(retries: u32, delays: &[u64]) -> RetryPolicy {
    let delays = delays.iter().copied().map(millis).collect();
    RetryPolicy { delay: RetryDelay::List(delays), ..RetryPolicy::times(retries) }
}

fn on(retries: u32, kinds: &[&str]) -> RetryPolicy {
    let kinds = kinds.iter().map(|&kind| kind.to_owned()).collect();
    RetryPolicy { on: Some(kinds), ..RetryPolicy::times(retries) }
}

/// A run that fails so many times.
fn flaky(stage: &Stage, failures: u32, retries: RetryPolicy) -> TaskFuture {
    let arguments = format!("{{\"failures\":{failures}}}");
    stage.submit_with("flaky", &arguments, |options| options.retries = retries)
}

fn number(future: &TaskFuture) -> u32 {
    future.result(Some(LONG)).unwrap().decode().unwrap()
}

/// The delays that were planned, each of which was kept to.
fn delays(attempts: &[AttemptEnd]) -> Vec<Duration> {
    let pairs = attempts.windows(2).map(|pair| {
        let planned = pair[0].retry_at.expect("it is tried again").since(pair[0].ended);
        assert!(pair[1].started.since(pair[0].ended) >= planned, "it was tried too early");
        planned
    });
    pairs.collect()
}

fn it_is_tried_as_often_as_it_is_told(stage: &Stage) {
    let fails = flaky(stage, u32::MAX, RetryPolicy::times(3));
    assert_eq!(fails.wait(Some(LONG)).kind, StateType::Failed);
    assert_eq!(fails.attempts(), 4, "three retries are four attempts");
    let succeeds = flaky(stage, 3, RetryPolicy::times(3));
    assert_eq!((number(&succeeds), succeeds.attempts()), (4, 4));
}

fn it_is_not_tried_again_once_it_completed(stage: &Stage) {
    let future = flaky(stage, 1, RetryPolicy::times(3));
    assert_eq!((number(&future), future.attempts()), (2, 2));
    assert_eq!(flaky(stage, 0, RetryPolicy::times(3)).wait(Some(LONG)).name, "Completed");
}

fn the_last_failure_is_what_is_left(stage: &Stage) {
    let future = flaky(stage, u32::MAX, RetryPolicy::times(2));
    let error = future.result(Some(LONG)).unwrap_err();
    assert!(error.to_string().contains("no luck in attempt 3"), "{error}");
    let state = future.state();
    assert_eq!(state.message.as_deref(), Some("busy: no luck in attempt 3"));
}

fn without_retries_there_is_one_attempt(stage: &Stage) {
    let future = flaky(stage, 1, RetryPolicy::default());
    assert_eq!(stage.states(&future), ["Pending", "Running", "Failed"]);
    assert_eq!(future.attempts(), 1);
}

/// Prefect goes from one attempt to the next by `Retrying` alone where there is no delay.
fn a_retry_at_once_awaits_its_retry_too(stage: &Stage) {
    let future = flaky(stage, 1, RetryPolicy::times(1));
    let (states, attempts) = stage.history(&future);
    let names: Vec<&str> = states.iter().map(|state| &*state.name).collect();
    assert_eq!(names, ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]);
    assert!(states[2].message.as_deref().unwrap().ends_with("attempt 2 of 2 at once"));
    assert_eq!(delays(&attempts), [Duration::ZERO]);
}

fn with_delays_the_states_are_prefects(stage: &Stage) {
    let future = flaky(stage, u32::MAX, delayed(3, &[1]));
    let expected = [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "AwaitingRetry",
        "Retrying",
        "AwaitingRetry",
        "Retrying",
        "Failed",
    ];
    assert_eq!(stage.states(&future), expected);
}

fn one_delay_is_for_every_retry(stage: &Stage) {
    let future = flaky(stage, u32::MAX, delayed(3, &[5]));
    assert_eq!(delays(&stage.history(&future).1), [millis(5); 3]);
}

fn the_last_delay_of_a_list_is_repeated(stage: &Stage) {
    let future = flaky(stage, u32::MAX, delayed(3, &[2, 4]));
    assert_eq!(delays(&stage.history(&future).1), [2, 4, 4].map(millis));
    let whole = flaky(stage, u32::MAX, delayed(3, &[3, 1, 2]));
    assert_eq!(delays(&stage.history(&whole).1), [3, 1, 2].map(millis));
}

/// `exponential_backoff(backoff_factor=2)` is 2 s, 4 s, 8 s, 16 s.
fn delays_can_double(stage: &Stage) {
    let doubling = |base| RetryPolicy {
        delay: RetryDelay::Exponential { base, factor: 2.0 },
        ..RetryPolicy::times(4)
    };
    let policy = doubling(Duration::from_secs(2));
    let planned: Vec<u64> =
        (1..=4).map(|number| policy.delay_after(RunId::new(), number).as_secs()).collect();
    assert_eq!(planned, [2, 4, 8, 16]);
    let future = flaky(stage, u32::MAX, doubling(millis(2)));
    assert_eq!(delays(&stage.history(&future).1), [2, 4, 8, 16].map(millis));
}

fn with_retries(retries: &str) -> String {
    format!("flow.name = 'f'\ntasks.a = {{ call = 'probe.nothing', retries = {retries} }}")
}

fn a_list_of_delays_has_fifty_at_most(stage: &Stage) {
    assert_eq!(MAX_RETRY_DELAYS, 50);
    let flow = |count| with_retries(&format!("{{ times = 1, delay = {:?} }}", vec!["1s"; count]));
    let faults = stage.faults(&flow(51));
    assert!(faults.contains("`delay` has at most 50 entries, not 51"), "{faults}");
    assert_eq!(stage.plan(&flow(50)).nodes()[0].options().retries.retries, 1);
}

fn delays_may_be_parts_of_seconds(stage: &Stage) {
    let plan = stage.plan(&with_retries("{ times = 1, delay = '1ms 500us' }"));
    let delay = RetryDelay::List(vec![Duration::from_micros(1_500)]);
    assert_eq!(plan.nodes()[0].options().retries.delay, delay);
}

/// Prefect draws from a clamped exponential distribution: its lower bound is another one.
fn jitter_keeps_the_upper_bound_and_the_mean(_: &Stage) {
    const RUNS: u32 = 4_000;
    for factor in [0.1, 0.5, 1.0] {
        let policy = RetryPolicy { jitter: factor, ..delayed(1, &[10_000]) };
        let mut sum = 0.0;
        for _ in 0..RUNS {
            let delay = policy.delay_after(RunId::new(), 1).as_secs_f64();
            assert!((10.0 * (1.0 - factor)..=10.0 * (1.0 + factor)).contains(&delay), "{delay}");
            sum += delay;
        }
        // Seven deviations of the mean of so many at a factor of 1: 10 / sqrt(3 * 4000).
        let mean = sum / f64::from(RUNS);
        assert!((mean - 10.0).abs() < 0.65, "{mean}");
    }
    // The same run waits equally long when it is taken up again.
    let (policy, run) = (RetryPolicy { jitter: 1.0, ..delayed(1, &[10_000]) }, RunId::new());
    assert_eq!(policy.delay_after(run, 1), policy.delay_after(run, 1));
}

fn jitter_is_not_below_zero(stage: &Stage) {
    let faults = stage.faults(&with_retries("{ times = 1, jitter = -0.1 }"));
    assert!(faults.contains("`jitter` is from 0 to 1, not -0.1"), "{faults}");
}

/// `on` says for which kinds of failure; every other one ends the run at once.
fn a_condition_can_say_no(stage: &Stage) {
    let future = flaky(stage, 1, on(3, &["not-found"]));
    assert_eq!(stage.states(&future), ["Pending", "Running", "Failed"]);
    assert_eq!(future.attempts(), 1);
}

fn a_condition_can_say_yes(stage: &Stage) {
    let future = flaky(stage, u32::MAX, on(1, &["not-found", "busy"]));
    assert_eq!(future.wait(Some(LONG)).name, "Failed");
    assert_eq!(future.attempts(), 2);
    // What a condition looks at is in the failure: its kind, and whether its author says that
    // another try may help.
    let refuse = |retriable: bool| {
        let arguments = format!(r#"{{"kind":"odd","message":"no","retriable":{retriable}}}"#);
        let future = stage
            .submit_with("refuse", &arguments, |options| options.retries = on(1, &["retriable"]));
        future.wait(Some(LONG));
        future.attempts()
    };
    assert_eq!((refuse(true), refuse(false)), (2, 1));
}

fn an_attempt_knows_its_number(stage: &Stage) {
    assert_eq!(number(&flaky(stage, 2, RetryPolicy::times(2))), 3);
}

fn each_attempt_has_its_own_timeout(stage: &Stage) {
    let future = stage.submit_with("sleep", r#"{"millis":600000}"#, |options| {
        options.limits.timeout = SHORT;
        options.retries = RetryPolicy::times(1);
    });
    let (states, attempts) = stage.history(&future);
    let names: Vec<&str> = states.iter().map(|state| &*state.name).collect();
    assert_eq!(names, ["Pending", "Running", "AwaitingRetry", "Retrying", "TimedOut"]);
    // Another host says a moment later that an attempt has started.
    let least = if stage.executor.in_this_process { SHORT } else { SHORT / 2 };
    for attempt in &attempts {
        assert_eq!(attempt.outcome, "timed-out");
        assert!(attempt.ended.since(attempt.started) >= least, "{attempt:?}");
    }
    assert_eq!(attempts.len(), 2);
}

/// A crash is no fault of the task, so it is worth another try before any failure is.
fn a_crash_is_tried_again(stage: &Stage) {
    let stage = crashing(stage, 1);
    let future = flaky(&stage, 2, RetryPolicy::times(2));
    assert_eq!(number(&future), 3);
    let outcomes: Vec<String> =
        stage.history(&future).1.into_iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, ["host-error", "failure", "value"]);
}

fn a_run_that_is_cancelled_is_not_tried_again(stage: &Stage) {
    let policy = RetryPolicy { cap: Duration::from_secs(3_600), ..delayed(9, &[3_600_000]) };
    let future = flaky(stage, u32::MAX, policy);
    while future.state().name != "AwaitingRetry" {
        std::thread::yield_now();
    }
    future.cancel();
    assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
    assert_eq!(future.attempts(), 1);
}

/// In Prefect the thread sleeps that the task ran on.
fn who_awaits_a_retry_holds_no_slot(stage: &Stage) {
    let stage = stage.with(|host| host.slots(1));
    let policy = RetryPolicy { cap: Duration::from_secs(3_600), ..delayed(1, &[3_600_000]) };
    let patient = flaky(&stage, u32::MAX, policy);
    for count in 0..5 {
        assert_eq!(stage.number(count).typed::<i64>().result(Some(LONG)).unwrap(), count);
    }
    assert_eq!(patient.state().name, "AwaitingRetry");
}

fn a_default_holds_for_tasks_without_their_own(stage: &Stage) {
    let flow = stage.flow(
        "flow = { name = 'f', retries = 2, result = ['a.result', 'b.result'] }\n\
         tasks.a = { call = 'probe.flaky', arguments.failures = 2 }\n\
         tasks.b = { call = 'probe.flaky', arguments.failures = 0, retries = 0 }",
    );
    assert_eq!(flow.result(Some(LONG)).unwrap().to_json_string(), "[3,1]");
    let plan = stage.plan(
        "flow = { name = 'f', retries = 2 }\n\
         tasks.a.call = 'probe.nothing'\n\
         tasks.b = { call = 'probe.nothing', retries = 0 }",
    );
    let retries: Vec<u32> =
        plan.nodes().iter().map(|node| node.options().retries.retries).collect();
    assert_eq!(retries, [2, 0]);
}

fn every_attempt_leaves_its_cause(stage: &Stage) {
    let future = flaky(stage, 2, RetryPolicy::times(2));
    let (_, attempts) = stage.history(&future);
    let causes: Vec<Option<&str>> =
        attempts.iter().map(|attempt| attempt.message.as_deref()).collect();
    let all = [Some("busy: no luck in attempt 1"), Some("busy: no luck in attempt 2"), None];
    assert_eq!(causes, all);
}

/// Prefect tries every exception again. Arguments that do not fit will not fit next time either.
fn what_can_never_work_is_tried_once(stage: &Stage) {
    let wrong = stage.submit_with("add", "{}", |options| options.retries = RetryPolicy::times(9));
    let skips = stage.submit_with("refuse", r#"{"kind":"skipped","message":"none"}"#, |options| {
        options.retries = RetryPolicy::times(9);
    });
    for future in [wrong, skips] {
        assert!(future.result(Some(LONG)).is_err());
        assert_eq!(future.attempts(), 1, "{:?}", future.outcome());
    }
}
