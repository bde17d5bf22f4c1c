//! What handles on real runs promise: waiting, callbacks, cancelling, and an executor's life.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use sandmill::core::{CancelToken, Session, StartContext, StartError};
use sandmill::future::{
    Errors, Nested, ReturnWhen, as_completed, resolve_futures_to_results,
    resolve_futures_to_states, wait,
};
use sandmill::{CallOptions, EndKind, StateType, TaskFuture, TypedFuture};
use sandmill_test_conformance::{Bench, LONG};

use crate::table::{Case, checks};

/// Less than anything that waits for a minute would take.
const SOON: Duration = Duration::from_millis(50);

pub(crate) fn cases() -> Vec<Case> {
    checks![
        waiting_never_raises_but_results_do,
        a_result_is_awaited_or_waited_for,
        finished_ones_come_first_and_once,
        a_wait_that_times_out_says_how_many_are_left,
        nested_data_is_resolved,
        callbacks_are_called_and_may_panic,
        a_running_loop_is_cancelled,
        a_sleep_is_cancelled,
        a_cancelled_run_may_use_its_grace,
        grace_has_an_end,
        a_waiting_run_is_cancelled_before_it_starts,
        letting_go_cancels_unless_detached,
        an_executor_is_opened_once_and_again_after_it_was_closed,
        dropping_a_session_stops_its_guests,
        closing_a_session_lets_its_runs_finish,
    ]
}

/// A run that lasts until it is cancelled: by its future where there is one, or by its token.
fn endless(bench: &Bench, task: &str, token: &CancelToken) -> sandmill::Call {
    let options = CallOptions { cancel: Some(token.clone()), ..CallOptions::default() };
    bench.call("hostile", task, "{}").with_options(options)
}

/// The same call under a name that no other has, by which its start can be waited for.
fn named(mut call: sandmill::Call) -> (sandmill::Call, String) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("{}-{}", call.task, COUNT.fetch_add(1, Ordering::Relaxed));
    let options = CallOptions { name: Some(name.as_str().into()), ..(*call.options).clone() };
    call = call.with_options(options);
    (call, name)
}

fn wait_until_running(future: &TaskFuture) {
    let start = Instant::now();
    while future.state().kind == StateType::Pending {
        assert!(start.elapsed() < LONG, "{future:?} does not start");
        thread::sleep(Duration::from_millis(1));
    }
}

fn waiting_never_raises_but_results_do(bench: &Bench) {
    let failed = bench.host.submit(bench.call("probe", "half", r#"{"number":3}"#));
    assert_eq!(failed.wait(Some(LONG)).kind, StateType::Failed);
    let error = failed.result(Some(LONG)).unwrap_err();
    assert!(!error.is_wait_timeout());
    let text = error.to_string();
    assert!(text.contains("half") && text.contains(&failed.id().to_string()), "{text}");
    assert!(text.contains("odd: 3 is odd"), "{text}");
    assert!(error.end_kind().is_none());

    let panicked = bench.host.submit(bench.call("probe", "panic", r#"{"message":"oh"}"#));
    assert_eq!(panicked.wait(Some(LONG)).name, "Trapped");
    assert!(panicked.result(None).unwrap_err().to_string().contains("oh"));
    assert!(panicked.outcome().is_some() && panicked.usage().is_some());
}

fn a_result_is_awaited_or_waited_for(bench: &Bench) {
    let call = bench.call("probe", "add", r#"{"left":1,"right":2}"#);
    let future: TypedFuture<i64> = bench.host.submit(call.clone()).typed();
    assert_eq!(future.result(Some(LONG)).unwrap(), 3);
    assert_eq!(block_on(bench.host.submit(call).typed::<i64>()).unwrap(), 3);
    let wrong = bench.host.submit(bench.call("probe", "nothing", "{}")).typed::<String>();
    let error = block_on(wrong).unwrap_err();
    assert!(error.to_string().contains("another type"), "{error}");
}

fn finished_ones_come_first_and_once(bench: &Bench) {
    // Alone: what others hold for as long as they wait would be in the way of this, and the reverse.
    let bench = &Bench::fresh(bench.executor, 2);
    let add =
        |left: u32| bench.host.submit(bench.call("probe", "add", &format!("{{\"left\":{left}}}")));
    let token = CancelToken::new();
    let slow = if bench.executor.runs_in_submit {
        bench.host.submit(bench.call("probe", "sleep", r#"{"millis":1}"#))
    } else {
        bench.host.submit(endless(bench, "sleep_forever", &token))
    };
    let quick: Vec<TaskFuture> = (0..3).map(add).collect();
    quick.iter().for_each(|future| assert!(future.wait(Some(LONG)).is_final()));
    let mut all = vec![slow.clone(), slow.clone()];
    all.extend(quick.iter().cloned());
    all.extend(quick.iter().cloned());
    let mut completed = as_completed(all.clone(), Some(LONG)).map(|future| future.unwrap());
    let mut order: Vec<TaskFuture> = completed.by_ref().take(3).collect();
    token.cancel();
    order.extend(completed);
    assert_eq!(order.len(), 4);
    let sorted = wait(&all, Some(LONG), ReturnWhen::All);
    assert_eq!(sorted.done.len(), 4);
    if !bench.executor.runs_in_submit {
        assert_eq!(order[..3], quick[..], "the ended ones first, as they were given");
        assert_eq!(order[3], slow);
    }
}

fn a_wait_that_times_out_says_how_many_are_left(bench: &Bench) {
    if bench.executor.runs_in_submit {
        // There is nothing that has not ended when `submit` returns.
        return;
    }
    let bench = &Bench::fresh(bench.executor, 2);
    let token = CancelToken::new();
    let futures = vec![
        bench.host.submit(endless(bench, "sleep_forever", &token)),
        bench.host.submit(bench.call("probe", "add", r#"{"left":1}"#)),
    ];
    futures[1].wait(Some(LONG));
    let mut group = as_completed(futures.clone(), Some(SOON));
    assert_eq!(group.next().unwrap().unwrap(), futures[1]);
    let timeout = group.next().unwrap().unwrap_err();
    assert_eq!(timeout.to_string(), "1 of 2 futures unfinished");
    assert!(group.next().is_none());
    let sorted = wait(&futures, Some(SOON), ReturnWhen::All);
    assert_eq!((sorted.done.len(), sorted.not_done.len()), (1, 1));
    let first = wait(&futures, Some(LONG), ReturnWhen::First);
    assert_eq!(first.done, futures[1..]);
    assert_eq!(futures[0].wait(Some(SOON)).name, "Running");
    let error = futures[0].result(Some(SOON)).unwrap_err();
    assert!(error.is_wait_timeout() && error.to_string().contains("did not end within 50ms"));
    token.cancel();
    assert_eq!(futures[0].wait(Some(LONG)).kind, StateType::Cancelled);
}

fn nested_data_is_resolved(bench: &Bench) {
    let add = |left: u32| {
        let arguments = format!("{{\"left\":{left}}}");
        Nested::Leaf(bench.host.submit(bench.call("probe", "add", &arguments)))
    };
    let data = || {
        Nested::Record(vec![
            ("one".to_owned(), add(1)),
            ("more".to_owned(), Nested::List(vec![add(2), add(3)])),
        ])
    };
    let resolved = resolve_futures_to_results(data(), Some(LONG), Errors::Raise).unwrap();
    let json = sandmill::future::resolve_to_value(&resolved).unwrap().to_json_string();
    assert_eq!(json, r#"{"one":2,"more":[3,4]}"#);
    let states = resolve_futures_to_states(data(), Some(LONG));
    assert!(states.leaves().iter().all(|state| state.kind == StateType::Completed));
    let failing = bench.host.submit(bench.call("probe", "half", r#"{"number":5}"#));
    let data = Nested::List(vec![add(1), Nested::Leaf(failing)]);
    let error = resolve_futures_to_results(data, Some(LONG), Errors::Raise).unwrap_err();
    assert!(error.to_string().contains("5 is odd"), "{error}");
}

fn callbacks_are_called_and_may_panic(bench: &Bench) {
    let future = bench.host.submit(bench.call("probe", "add", r#"{"left":4}"#));
    let (sender, receiver) = mpsc::channel();
    future.on_done(|_| panic!("a broken callback"));
    future.on_done(move |future| sender.send(future.result(None)).unwrap());
    let value = receiver.recv_timeout(LONG).expect("the callback is called").unwrap();
    assert_eq!(value.decode::<i64>().unwrap(), 5);
    let ran = bench.ran(future);
    assert!(ran.lines.iter().any(|line| line.message.contains("a broken callback")));
}

/// Starts a run that never ends, cancels it, and looks at how it ends.
fn cancelled(bench: &Bench, task: &str) {
    let token = CancelToken::new();
    let (call, name) = named(endless(bench, task, &token));
    let ran = thread::scope(|scope| {
        let submitted = scope.spawn(|| bench.run_call(call));
        bench.wait_for_start(&name);
        thread::sleep(SOON);
        assert!(!submitted.is_finished(), "it goes on until it is cancelled");
        token.cancel();
        let cancelled_at = Instant::now();
        let ran = submitted.join().unwrap();
        assert!(cancelled_at.elapsed() < LONG / 4, "{:?}", cancelled_at.elapsed());
        ran
    });
    assert_eq!(ran.end().0, EndKind::Cancelled, "{:?}", ran.outcome);
    assert_eq!(ran.future.state().kind, StateType::Cancelled);
    bench.good_runs(100);
}

fn a_running_loop_is_cancelled(bench: &Bench) {
    cancelled(bench, "spin");
    cancelled(bench, "spin_in_host_calls");
    cancelled(bench, "fill_for_ever");
    if bench.executor.runs_in_submit {
        return;
    }
    let future = bench.host.submit(bench.call("hostile", "spin", "{}"));
    wait_until_running(&future);
    future.cancel();
    let ran = bench.ran(future);
    assert_eq!(ran.states, ["Pending", "Running", "Cancelling", "Cancelled"]);
}

fn a_sleep_is_cancelled(bench: &Bench) {
    cancelled(bench, "sleep_forever");
}

fn with_grace(bench: &Bench, task: &str, grace: Duration) -> sandmill_test_conformance::Ran {
    let token = CancelToken::new();
    let mut options = CallOptions { cancel: Some(token.clone()), ..CallOptions::default() };
    options.limits.cancel_grace = grace;
    let guest = if task == "spin" { "hostile" } else { "probe" };
    let (call, name) = named(bench.call(guest, task, "{}").with_options(options));
    thread::scope(|scope| {
        let submitted = scope.spawn(|| bench.run_call(call));
        bench.wait_for_start(&name);
        thread::sleep(SOON);
        token.cancel();
        submitted.join().unwrap()
    })
}

fn a_cancelled_run_may_use_its_grace(bench: &Bench) {
    let ran = with_grace(bench, "patience", LONG / 2);
    assert!(ran.value::<u64>() > 0);
    let ran = with_grace(bench, "spin_until_cancelled", LONG / 2);
    assert!(ran.value::<bool>());
}

fn grace_has_an_end(bench: &Bench) {
    let ran = with_grace(bench, "spin", SOON);
    assert_eq!(ran.end().0, EndKind::Cancelled, "{:?}", ran.outcome);
}

fn a_waiting_run_is_cancelled_before_it_starts(bench: &Bench) {
    if bench.executor.runs_in_submit {
        let token = CancelToken::new();
        token.cancel();
        let ran = bench.run_call(endless(bench, "spin", &token));
        assert_eq!(ran.end().0, EndKind::Cancelled);
        return;
    }
    let bench = Bench::fresh(bench.executor, 1);
    let token = CancelToken::new();
    let first = bench.host.submit(endless(&bench, "sleep_forever", &token));
    wait_until_running(&first);
    let second = bench.host.submit(bench.call("probe", "add", r#"{"left":1}"#));
    second.cancel();
    let second = bench.ran(second);
    assert_eq!(second.end(), (EndKind::Cancelled, "cancelled before it started"));
    assert_eq!(second.states, ["Pending", "Cancelled"]);
    token.cancel();
    assert_eq!(bench.ran(first).end().0, EndKind::Cancelled);
}

fn letting_go_cancels_unless_detached(bench: &Bench) {
    if bench.executor.runs_in_submit {
        return;
    }
    let bench = Bench::fresh(bench.executor, 1);
    // A run that nobody waits for would hold the only slot for ever.
    drop(bench.host.submit(bench.call("hostile", "spin", "{}")));
    bench.good_runs(1);
    let folder = tempfile::tempdir().unwrap();
    let dirs = vec![format!("{}::/out:rw", folder.path().display()).parse().unwrap()];
    let grants = sandmill::Grants { dirs, ..sandmill::Grants::default() };
    let options = CallOptions { grants, detach: true, ..CallOptions::default() };
    let call = bench.call("probe", "write", r#"{"path":"/out/mark","bytes":"done"}"#);
    drop(bench.host.submit(call.with_options(options)));
    bench.wait_for("write", |state| state.kind == StateType::Completed);
    assert_eq!(std::fs::read(folder.path().join("mark")).unwrap(), b"done");
    bench.good_runs(1);
}

fn an_executor_is_opened_once_and_again_after_it_was_closed(bench: &Bench) {
    let bench = Bench::fresh(bench.executor, 1);
    let executor = bench.host.executor();
    let context = || StartContext { events: bench.host.events().clone() };
    let again = block_on(executor.start(context()));
    assert!(matches!(again, Err(StartError::AlreadyStarted(_))), "{again:?}");
    block_on(executor.shutdown());
    let refused = bench.run("probe", "add", r#"{"left":1}"#);
    assert_eq!(refused.end().0, EndKind::Refused);
    assert!(refused.end().1.contains("not started"), "{}", refused.end().1);
    block_on(executor.start(context())).unwrap();
    bench.good_runs(10);
}

fn dropping_a_session_stops_its_guests(bench: &Bench) {
    let host = Bench::fresh(bench.executor, 1);
    block_on(host.host.executor().shutdown());
    let executor = std::sync::Arc::clone(host.host.executor());
    let context = StartContext { events: host.host.events().clone() };
    let session = block_on(Session::open(executor, context)).unwrap();
    let (call, name) = named(host.call("hostile", "spin", "{}"));
    let ran = if bench.executor.runs_in_submit {
        thread::scope(|scope| {
            let submitted = scope.spawn(|| host.run_call(call));
            host.wait_for_start(&name);
            drop(session);
            submitted.join().unwrap()
        })
    } else {
        let future = session.submit(call);
        wait_until_running(&future);
        drop(session);
        assert!(future.is_done(), "no guest runs when the session is gone");
        host.ran(future)
    };
    assert_eq!(ran.end().0, EndKind::Cancelled, "{:?}", ran.outcome);
}

fn closing_a_session_lets_its_runs_finish(bench: &Bench) {
    let bench = Bench::fresh(bench.executor, 1);
    let futures: Vec<TaskFuture> = (0..5)
        .map(|_| bench.host.submit(bench.call("probe", "sleep", r#"{"millis":10}"#)))
        .collect();
    block_on(bench.host.executor().shutdown());
    for future in futures {
        assert!(future.is_done());
        assert_eq!(bench.ran(future).value::<u64>(), 10_000_000);
    }
}
