//! Results that are taken from earlier runs.

use std::time::Duration;

use sandmill::{CachePolicy, RunId, StateType, TaskFuture};
use sandmill_test_prefect::{LONG, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            the_same_call_again_is_cached,
            "tests/test_tasks.py: TestTaskCaching.test_cache_hits_within_flows_are_cached"
        ),
        scenario!(
            a_cached_run_is_of_the_type_completed,
            "docs/v3/concepts/states.mdx: State types (`Cached`)"
        ),
        scenario!(
            other_arguments_are_another_call,
            "tests/test_tasks.py: TestTaskCaching.test_cache_misses_arent_cached"
        ),
        scenario!(
            a_cache_outlives_its_process,
            "tests/test_tasks.py: TestTaskCaching.test_cache_hits_between_flows_are_cached"
        ),
        scenario!(
            a_key_of_ones_own_is_part_of_the_key,
            "docs/v3/concepts/caching.mdx: Cache key functions",
            differs
        ),
        scenario!(
            a_result_that_has_not_expired_is_used,
            "tests/test_tasks.py: TestTaskCaching.\
             test_cache_key_hits_with_future_expiration_are_cached"
        ),
        scenario!(
            a_result_that_has_expired_is_made_again,
            "tests/test_tasks.py: TestTaskCaching.\
             test_cache_key_hits_with_past_expiration_are_not_cached"
        ),
        scenario!(
            a_refresh_makes_and_keeps_another,
            "tests/test_tasks.py: TestTaskCaching.test_cache_misses_w_refresh_cache"
        ),
        scenario!(
            without_asking_nothing_is_cached,
            "tests/test_tasks.py: TestTaskCaching.\
             test_repeated_task_call_within_flow_is_cached_by_default",
            differs
        ),
        scenario!(
            failures_are_not_cached,
            "src/prefect/task_engine.py: SyncTaskRunEngine.handle_success (`transaction.stage`)"
        ),
        scenario!(
            what_is_granted_something_needs_a_key,
            "src/prefect/cache_policies.py: DEFAULT (`INPUTS + TASK_SOURCE + RUN_ID`)",
            differs
        ),
        scenario!(
            tasks_of_flows_are_cached_too,
            "tests/test_tasks.py: TestTaskCaching.test_cache_hits_between_flows_are_cached"
        ),
    ]
}

fn cached(stage: &Stage, left: i64, policy: CachePolicy) -> TaskFuture {
    let arguments = format!("{{\"left\":{left}}}");
    let future = stage.submit_with("add", &arguments, |options| options.cache = Some(policy));
    assert!(future.wait(Some(LONG)).is_final());
    future
}

fn sum(future: &TaskFuture) -> i64 {
    future.result(Some(LONG)).unwrap().decode().unwrap()
}

/// The run whose result it has, unless it made one.
fn from(stage: &Stage, left: i64, policy: CachePolicy) -> Option<RunId> {
    let future = cached(stage, left, policy);
    assert_eq!(sum(&future), left + 1);
    let name = if future.cached_from().is_some() { "Cached" } else { "Completed" };
    assert_eq!(future.state().name, name);
    future.cached_from()
}

fn for_ever() -> CachePolicy {
    CachePolicy::default()
}

fn the_same_call_again_is_cached(stage: &Stage) {
    let stage = stage.with_history();
    let first = cached(&stage, 1, for_ever());
    assert_eq!((&*first.state().name, first.cached_from()), ("Completed", None));
    let second = cached(&stage, 1, for_ever());
    assert_eq!(second.state().name, "Cached");
    assert_eq!(second.cached_from(), Some(first.id()), "it names the run that made the result");
    assert_eq!((sum(&first), sum(&second)), (2, 2));
    assert_eq!(second.attempts(), 0, "it did not run");
    // However often.
    assert_eq!(from(&stage, 1, for_ever()), Some(first.id()));
}

fn a_cached_run_is_of_the_type_completed(stage: &Stage) {
    let stage = stage.with_history();
    let first = cached(&stage, 1, for_ever());
    let state = cached(&stage, 1, for_ever()).state();
    assert_eq!((state.kind, &*state.name), (StateType::Completed, "Cached"));
    assert!(state.message.as_deref().unwrap().contains(&first.id().to_string()), "{state}");
}

fn other_arguments_are_another_call(stage: &Stage) {
    let stage = stage.with_history();
    assert_eq!(from(&stage, 1, for_ever()), None);
    assert_eq!(from(&stage, 2, for_ever()), None);
    assert!(from(&stage, 2, for_ever()).is_some());
}

fn a_cache_outlives_its_process(stage: &Stage) {
    let first = {
        let stage = stage.with_history();
        cached(&stage, 1, for_ever()).id()
    };
    assert_eq!(from(&stage.with_history(), 1, for_ever()), Some(first));
}

/// Prefect's key functions take the place of the rest of the key; ours come besides.
fn a_key_of_ones_own_is_part_of_the_key(stage: &Stage) {
    let stage = stage.with_history();
    let keyed = |key: &str| CachePolicy { key: Some(key.into()), ..for_ever() };
    assert_eq!(from(&stage, 1, keyed("v1")), None);
    assert!(from(&stage, 1, keyed("v1")).is_some());
    assert_eq!(from(&stage, 1, keyed("v2")), None, "another key is another result");
    assert_eq!(from(&stage, 1, for_ever()), None, "none is another one too");
    assert_eq!(from(&stage, 2, keyed("v1")), None, "and other arguments are another call");
}

fn a_result_that_has_not_expired_is_used(stage: &Stage) {
    let stage = stage.with_history();
    let hour = CachePolicy { expires: Some(Duration::from_secs(3_600)), ..for_ever() };
    assert_eq!(from(&stage, 1, hour.clone()), None);
    assert!(from(&stage, 1, hour).is_some());
}

fn a_result_that_has_expired_is_made_again(stage: &Stage) {
    let stage = stage.with_history();
    let moment = CachePolicy { expires: Some(Duration::from_millis(1)), ..for_ever() };
    assert_eq!(from(&stage, 1, moment.clone()), None);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(from(&stage, 1, moment), None);
}

fn a_refresh_makes_and_keeps_another(stage: &Stage) {
    let stage = stage.with_history();
    let first = cached(&stage, 1, for_ever()).id();
    let refreshed = cached(&stage, 1, CachePolicy { refresh: true, ..for_ever() });
    assert_eq!((&*refreshed.state().name, refreshed.cached_from()), ("Completed", None));
    assert_ne!(refreshed.id(), first);
    assert_eq!(from(&stage, 1, for_ever()), Some(refreshed.id()));
}

/// Prefect's default policy caches within a flow run, where results are persisted.
fn without_asking_nothing_is_cached(stage: &Stage) {
    let stage = stage.with_history();
    assert_eq!(from(&stage, 1, for_ever()), None);
    for _ in 0..2 {
        let future = stage.submit("add", r#"{"left":1}"#);
        assert_eq!(future.wait(Some(LONG)).name, "Completed");
        assert_eq!((future.cached_from(), future.attempts()), (None, 1));
    }
}

fn failures_are_not_cached(stage: &Stage) {
    let stage = stage.with_history();
    for _ in 0..2 {
        let future = stage
            .submit_with("half", r#"{"number":5}"#, |options| options.cache = Some(for_ever()));
        assert_eq!(future.wait(Some(LONG)).name, "Failed");
        assert_eq!(future.attempts(), 1);
    }
}

/// What a run reaches may change, and its arguments do not tell of it.
fn what_is_granted_something_needs_a_key(stage: &Stage) {
    let stage = stage.with_history();
    let run = |key: Option<&str>| {
        let future = stage.submit_with("nothing", "{}", |options| {
            options.grants.clock = true;
            options.cache = Some(CachePolicy { key: key.map(Into::into), ..for_ever() });
        });
        assert!(future.result(Some(LONG)).is_ok());
        future.cached_from().is_some()
    };
    assert_eq!((run(None), run(None)), (false, false));
    assert_eq!((run(Some("k")), run(Some("k"))), (false, true));
}

fn tasks_of_flows_are_cached_too(stage: &Stage) {
    let stage = stage.with_history();
    let text = "flow = { name = 'f', result = 'a.result' }\n\
                tasks.a = { call = 'probe.add', arguments.left = 1, cache = true }";
    let ended = || {
        let flow = stage.start(&stage.plan_flow(text));
        let value: i64 = flow.result(Some(LONG)).unwrap().decode().unwrap();
        assert_eq!(value, 2);
        flow.report().stages[0].ended.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ended(), ["Completed"]);
    assert_eq!(ended(), ["Cached"]);
}
