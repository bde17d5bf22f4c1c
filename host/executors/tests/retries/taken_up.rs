//! Runs that were to be tried again at a given time when another process let go of them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use sandmill_core::{
    CancelToken, Clock, Events, MapOptions, Past, StateType, TaskFuture, Timestamp,
};
use sandmill_wire::RunId;

use crate::support::{
    Bench, LONG, NEVER, Script, call, delays, message_of, on_both, pool, value, with,
};

/// What a run has behind it that is due to be tried again then.
fn due(at: Timestamp) -> Past {
    Past { attempts: 1, cut_off: 0, retry_at: Some(at), ..Past::default() }
}

/// A moment so far from now.
fn after(time: Duration) -> Timestamp {
    let micros = u64::try_from(time.as_micros()).unwrap();
    Timestamp::from_micros(Clock::system().now().as_micros() + micros)
}

#[test]
fn a_run_that_is_taken_up_before_it_is_due_waits_until_then() {
    on_both(
        |_| value(1),
        |bench| {
            let retries = delays(1, &[60_000]);
            let waits = with(call("t"), |o| o.retries = retries.clone());
            let at = after(Duration::from_secs(2));
            let future = bench.executor.submit(waits.clone().taken_up(RunId::new(), due(at)));
            assert_eq!(future.wait(Some(LONG)).name, "Completed");
            assert!(Clock::system().now() >= at);
            let told = bench.told(&future);
            assert_eq!(told.states, ["AwaitingRetry", "Retrying", "Completed"]);
            assert_eq!(future.attempts(), 2);

            // One of a map waits as well, and so does nobody whose time has passed.
            let at = after(Duration::from_millis(300));
            let calls = [at, Timestamp::from_micros(0)]
                .map(|at| waits.clone().taken_up(RunId::new(), due(at)));
            let list = bench.executor.map(Box::new(calls.into_iter()), MapOptions::default());
            let done = list.wait(Some(LONG));
            assert!(Clock::system().now() >= at);
            let states: Vec<_> = done.done.iter().map(|run| bench.told(run).states).collect();
            assert!(states.contains(&vec![
                "Pending".into(),
                "Retrying".into(),
                "Completed".into()
            ]));
        },
    );
}

#[test]
fn a_time_further_away_than_the_policy_allows_is_not_believed() {
    on_both(
        |_| value(1),
        |bench| {
            let waits = with(call("t"), |o| o.retries = delays(1, &[50]));
            let at = after(Duration::from_secs(365 * 24 * 3_600));
            let future = bench.executor.submit(waits.taken_up(RunId::new(), due(at)));
            assert_eq!(future.wait(Some(LONG)).name, "Completed");
        },
    );
}

#[test]
fn a_cancel_or_a_deadline_ends_a_run_that_was_taken_up_before_it_is_due() {
    on_both(
        |_| value(1),
        |bench| {
            let token = CancelToken::new();
            let at = after(Duration::from_secs(1_800));
            let waits = with(call("t"), |o| {
                o.retries = NEVER.clone();
                o.cancel = Some(token.clone());
            });
            let waits = waits.taken_up(RunId::new(), due(at));
            let (executor, submitted) = (Arc::clone(&bench.executor), waits.clone());
            let thread = thread::spawn(move || executor.submit(submitted));
            let state = bench.wait_for_state("AwaitingRetry", 1);
            let words = state.message.unwrap();
            assert!(words.starts_with("attempt 2 in ") && words.contains("before it was taken up"));
            token.cancel();
            let future = thread.join().unwrap();
            assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
            assert!(message_of(&future).contains("after 1 attempt"), "{}", message_of(&future));

            let late = with(waits, |o| {
                o.cancel = None;
                o.deadline = Some(Instant::now() + Duration::from_millis(50));
            });
            let future = bench.executor.submit(late);
            assert_eq!(future.wait(Some(LONG)).name, "TimedOut");
            let words = message_of(&future);
            assert_eq!(words, "the run's deadline passed before it was tried again");
            assert_eq!(bench.script.started(), 0);
        },
    );
}

#[test]
fn many_runs_that_are_not_due_let_others_go_first() {
    let script = Script::new(|_| value(1));
    let bench = Bench::open(pool(&script, 2), Events::default());
    let at = after(Duration::from_millis(700));
    let waits = with(call("t"), |o| o.retries = delays(1, &[60_000]));
    let runs: Vec<TaskFuture> = (0..500)
        .map(|_| bench.executor.submit(waits.clone().taken_up(RunId::new(), due(at))))
        .collect();
    // Others go on meanwhile.
    assert!(bench.executor.submit(call("echo")).result(Some(LONG)).is_ok());
    let names: Vec<_> = runs.iter().map(|run| run.state().name).collect();
    assert!(Clock::system().now() >= at || names.iter().all(|name| name == "AwaitingRetry"));
    // A pool that closes waits for them, as for any retry.
    block_on(bench.executor.shutdown());
    assert!(Clock::system().now() >= at);
    assert!(runs.iter().all(|run| run.state().name == "Completed"));
}
