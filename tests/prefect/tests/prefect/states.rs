//! The states that runs go through, their names and types.

use std::sync::Arc;

use sandmill::core::{Attempt, CancelToken, ComponentInfo, Invoker, Report};
use sandmill::executors::{InlineExecutor, PoolConfig, PoolExecutor};
use sandmill::store::Reader;
use sandmill::{Component, End, Executor, StateType};
use sandmill_test_prefect::{LONG, SHORT, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(there_are_nine_types, "src/prefect/client/schemas/objects.py: StateType"),
        scenario!(four_types_are_final, "src/prefect/client/schemas/objects.py: TERMINAL_STATES"),
        scenario!(
            a_run_that_returns_completes,
            "tests/test_task_engine.py: TestTaskRunsSync.test_task_run_states"
        ),
        scenario!(
            a_run_that_returns_a_failure_fails,
            "docs/v3/concepts/states.mdx: State types (`Failed`)"
        ),
        scenario!(
            a_run_that_panics_fails_by_another_name,
            "docs/v3/concepts/states.mdx: State types (`Failed`)",
            differs
        ),
        scenario!(
            a_run_that_takes_too_long_is_timed_out,
            "tests/test_task_engine.py: TestTimeout.test_timeout_sync_task"
        ),
        scenario!(
            a_blocking_run_is_stopped_on_any_thread,
            "tests/test_task_engine.py: TestSyncTaskTimeoutWarning.\
             test_warning_emitted_when_sync_task_with_timeout_runs_in_worker_thread",
            differs
        ),
        scenario!(
            a_run_whose_host_fails_has_crashed,
            "docs/v3/concepts/states.mdx: State types (`Crashed`)"
        ),
        scenario!(
            running_out_of_memory_is_no_crash,
            "docs/v3/concepts/states.mdx: State transitions (\"an out of memory error\")",
            differs
        ),
        scenario!(
            a_run_is_cancelled_before_it_starts,
            "docs/v3/concepts/states.mdx: State types (`Cancelled`)"
        ),
        scenario!(
            a_run_under_way_is_cancelling_until_it_has_stopped,
            "docs/v3/concepts/states.mdx: State types (`Cancelling`)",
            waiting
        ),
        scenario!(a_run_between_attempts_is_scheduled, "src/prefect/states.py: AwaitingRetry"),
        scenario!(a_further_attempt_is_running, "src/prefect/states.py: Retrying"),
        scenario!(a_final_state_stays, "docs/v3/concepts/states.mdx: State types (`Terminal?`)"),
        scenario!(
            what_a_host_leaves_behind_is_interrupted,
            "src/prefect/states.py: Suspended",
            waiting,
            differs
        ),
    ]
}

const TYPES: [StateType; 9] = [
    StateType::Scheduled,
    StateType::Pending,
    StateType::Running,
    StateType::Completed,
    StateType::Failed,
    StateType::Crashed,
    StateType::Cancelled,
    StateType::Cancelling,
    StateType::Paused,
];

fn there_are_nine_types(_: &Stage) {
    let names = TYPES.map(|kind| kind.name().to_uppercase());
    let prefect = [
        "SCHEDULED",
        "PENDING",
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "CRASHED",
        "CANCELLED",
        "CANCELLING",
        "PAUSED",
    ];
    assert_eq!(names, prefect);
}

fn four_types_are_final(_: &Stage) {
    let finals: Vec<StateType> = TYPES.into_iter().filter(|kind| kind.is_final()).collect();
    let (completed, failed) = (StateType::Completed, StateType::Failed);
    assert_eq!(finals, [completed, failed, StateType::Crashed, StateType::Cancelled]);
}

fn a_run_that_returns_completes(stage: &Stage) {
    let (states, attempts) = stage.history(&stage.number(1));
    let names: Vec<&str> = states.iter().map(|state| &*state.name).collect();
    assert_eq!(names, ["Pending", "Running", "Completed"]);
    let kinds: Vec<StateType> = states.iter().map(|state| state.kind).collect();
    assert_eq!(kinds, [StateType::Pending, StateType::Running, StateType::Completed]);
    assert!(states.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(attempts.len(), 1);
    // Whatever it returns, were it nothing.
    assert_eq!(stage.submit("nothing", "{}").wait(Some(LONG)).name, "Completed");
}

fn a_run_that_returns_a_failure_fails(stage: &Stage) {
    let future = stage.failing();
    assert_eq!(stage.states(&future), ["Pending", "Running", "Failed"]);
    let state = future.state();
    assert_eq!((state.kind, state.message.as_deref()), (StateType::Failed, Some("odd: 5 is odd")));
}

/// Of the same type. The name tells what the author said from what befell the code.
fn a_run_that_panics_fails_by_another_name(stage: &Stage) {
    let future = stage.submit("panic", r#"{"message":"oh no"}"#);
    assert_eq!(stage.states(&future), ["Pending", "Running", "Trapped"]);
    let state = future.state();
    assert_eq!(state.kind, StateType::Failed);
    assert!(state.message.as_deref().unwrap().contains("oh no"), "{state}");
}

fn a_run_that_takes_too_long_is_timed_out(stage: &Stage) {
    let future = stage.submit_with("sleep", r#"{"millis":600000}"#, |options| {
        options.limits.timeout = SHORT;
    });
    assert_eq!(stage.states(&future), ["Pending", "Running", "TimedOut"]);
    let state = future.state();
    assert_eq!(state.kind, StateType::Failed);
    assert!(state.message.as_deref().unwrap().contains("50ms"), "{state}");
}

/// Prefect can only warn: its timeouts cannot stop a blocking call on a worker's thread.
fn a_blocking_run_is_stopped_on_any_thread(stage: &Stage) {
    let future = std::thread::scope(|scope| {
        let submit = || {
            stage.submit_with("spin_until_cancelled", "{}", |options| {
                options.limits.timeout = SHORT;
            })
        };
        scope.spawn(submit).join().unwrap()
    });
    assert_eq!(future.wait(Some(LONG)).name, "TimedOut");
}

/// A stage whose runs crash in their first so many attempts.
pub(crate) fn crashing(stage: &Stage, attempts: u32) -> Stage {
    let inline = stage.executor.runs_in_submit;
    stage.with(|host| {
        host.custom_executor(move |invoker| -> Arc<dyn Executor> {
            let crashing = Arc::new(Crashing { invoker, attempts });
            match inline {
                true => Arc::new(InlineExecutor::new(crashing)),
                false => Arc::new(PoolExecutor::new(crashing, PoolConfig::default())),
            }
        })
    })
}

/// Fails by itself, whatever it is to run.
struct Crashing {
    invoker: Arc<dyn Invoker>,
    attempts: u32,
}

impl Invoker for Crashing {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        assert!(attempt.number > self.attempts, "the host fails");
        self.invoker.invoke(attempt)
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.invoker.prepare(component)
    }
}

fn a_run_whose_host_fails_has_crashed(stage: &Stage) {
    let stage = crashing(stage, u32::MAX);
    let future = stage.number(1);
    assert_eq!(stage.states(&future), ["Pending", "Running", "Crashed"]);
    assert_eq!(future.state().kind, StateType::Crashed);
}

/// It is a limit of the run, not a fault of what runs it.
fn running_out_of_memory_is_no_crash(stage: &Stage) {
    let future = stage.submit_with("paint", r#"{"pages":1024}"#, |options| {
        options.limits.memory = 32 << 20;
    });
    assert_eq!(stage.states(&future), ["Pending", "Running", "OutOfMemory"]);
    assert_eq!(future.state().kind, StateType::Failed);
}

fn a_run_is_cancelled_before_it_starts(stage: &Stage) {
    let token = CancelToken::new();
    token.cancel();
    let future = stage.submit_with("nothing", "{}", |options| options.cancel = Some(token));
    let states = stage.states(&future);
    assert_eq!(states.last().map(String::as_str), Some("Cancelled"));
    assert!(!states.iter().any(|state| state == "Running"), "{states:?}");
    assert_eq!(future.state().kind, StateType::Cancelled);
    assert_eq!(future.attempts(), 0);
}

fn a_run_under_way_is_cancelling_until_it_has_stopped(stage: &Stage) {
    let future = stage.submit("sleep", r#"{"millis":600000}"#);
    while future.state().name == "Pending" {
        std::thread::yield_now();
    }
    future.cancel();
    let (states, _) = stage.history(&future);
    let kinds: Vec<StateType> = states.iter().map(|state| state.kind).collect();
    let (pending, running) = (StateType::Pending, StateType::Running);
    assert_eq!(kinds, [pending, running, StateType::Cancelling, StateType::Cancelled]);
    assert_eq!(states[2].name, "Cancelling");
}

fn retried(stage: &Stage) -> Vec<sandmill::State> {
    let future = stage.submit_with("flaky", r#"{"failures":1}"#, |options| {
        options.retries = sandmill::RetryPolicy::times(1);
    });
    stage.history(&future).0
}

fn a_run_between_attempts_is_scheduled(stage: &Stage) {
    let state = &retried(stage)[2];
    assert_eq!((state.kind, &*state.name), (StateType::Scheduled, "AwaitingRetry"));
    assert!(state.message.as_deref().unwrap().contains("no luck in attempt 1"), "{state}");
}

fn a_further_attempt_is_running(stage: &Stage) {
    let state = &retried(stage)[3];
    assert_eq!((state.kind, &*state.name), (StateType::Running, "Retrying"));
}

fn a_final_state_stays(stage: &Stage) {
    for future in [stage.number(1), stage.failing()] {
        let state = future.wait(Some(LONG));
        future.cancel();
        assert_eq!(future.state(), state);
        let (states, _) = stage.history(&future);
        assert_eq!(states.iter().filter(|state| state.is_final()).count(), 1);
    }
}

/// Of the type of Prefect's `Suspended`: the process is gone, and the flow can go on in another.
fn what_a_host_leaves_behind_is_interrupted(stage: &Stage) {
    let stage = stage.with_history();
    let flow = stage.plan_flow(
        "flow.name = 'f'\n\
         tasks.a = { call = 'probe.sleep', arguments.millis = 600000, timeout = '1h' }",
    );
    let future = stage.start(&flow);
    while future.report().stages.first().is_none_or(|stage| stage.running == 0) {
        assert!(!future.is_done(), "{}", future.state());
        std::thread::yield_now();
    }
    let data = stage.data();
    drop(stage);
    let reader = Reader::open(&data).unwrap();
    let state = reader.flow(future.id()).unwrap().unwrap().state;
    assert_eq!((state.kind, &*state.name), (StateType::Paused, "Interrupted"), "{state}");
}
