//! Runs that wait, for a slot or for their next attempt: cancels, deadlines, closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::{
    CancelToken, Events, Executor, MapOptions, Report, StartContext, StateType, TaskFuture,
};
use sandmill_wire::EndKind;

use crate::maker::IN_THIS_PROCESS;
use crate::support::{
    Bench, LONG, NEVER, Script, call, delays, failure, inline, kind_of, message_of, on_both, pool,
    value, with,
};

#[test]
fn a_cancel_ends_a_run_that_awaits_its_retry_at_once() {
    on_both(
        |_| failure("busy"),
        |bench| {
            // By its token, as a flow does it: inline, nobody has the future yet.
            let token = CancelToken::new();
            let submitted = with(call("t"), |o| {
                o.retries = NEVER.clone();
                o.cancel = Some(token.clone());
            });
            let executor = Arc::clone(&bench.executor);
            let thread = thread::spawn(move || executor.submit(submitted));
            bench.wait_for_state("AwaitingRetry", 1);
            token.cancel();
            let future = thread.join().unwrap();
            assert_eq!(future.wait(Some(LONG)).kind, StateType::Cancelled);
            assert!(message_of(&future).contains("after 1 attempt"), "{}", message_of(&future));
            assert_eq!(future.attempts(), 1);

            // By its future, from a map that others go through.
            let calls = std::iter::once(with(call("t"), |o| o.retries = NEVER.clone()));
            let options = MapOptions { window: Some(1), fail_fast: false };
            let list = bench.executor.map(Box::new(calls), options);
            thread::scope(|scope| {
                scope.spawn(|| {
                    bench.wait_for_state("AwaitingRetry", 2);
                    list.cancel();
                });
                let done = list.wait(Some(LONG));
                assert_eq!(done.done[0].state().kind, StateType::Cancelled);
            });
        },
    );
}

#[test]
fn a_deadline_that_leaves_no_room_keeps_the_cause() {
    on_both(
        |_| failure("busy"),
        |bench| {
            let future = bench.executor.submit(with(call("t"), |o| {
                o.retries = NEVER.clone();
                o.deadline = Some(Instant::now() + LONG);
            }));
            assert_eq!(future.wait(Some(LONG)).name, "Failed");
            assert_eq!(future.attempts(), 1);
            assert_eq!(bench.told(&future).attempts[0].retry_at, None);
        },
    );
}

#[test]
fn a_call_whose_deadline_has_passed_does_not_run() {
    on_both(
        |_| value(1),
        |bench| {
            let future =
                bench.executor.submit(with(call("t"), |o| o.deadline = Some(Instant::now())));
            assert_eq!(kind_of(&future), Some(EndKind::TimedOut));
            assert_eq!(message_of(&future), "the run's deadline passed before it started");
            assert_eq!((future.attempts(), bench.script.started()), (0, 0));
            let calls =
                std::iter::repeat_n(with(call("t"), |o| o.deadline = Some(Instant::now())), 3);
            let list = bench.executor.map(Box::new(calls), MapOptions::default());
            let ends: Vec<_> = list.wait(Some(LONG)).done.iter().map(kind_of).collect();
            assert_eq!(ends, [Some(EndKind::TimedOut); 3]);
            assert_eq!(bench.script.started(), 0);
        },
    );
}

#[test]
fn a_call_that_waits_too_long_for_a_slot_ends_while_the_slot_is_busy() {
    on_both(
        |attempt| {
            if &*attempt.call.task == "block" {
                assert!(attempt.cancel.wait_until(Instant::now() + LONG));
            }
            value(1)
        },
        |bench| {
            // Inline has one slot, the pool two.
            let token = CancelToken::new();
            let blocked: Vec<_> = (0..bench.executor.slots())
                .map(|_| {
                    let call = with(call("block"), |o| o.cancel = Some(token.clone()));
                    let executor = Arc::clone(&bench.executor);
                    thread::spawn(move || executor.submit(call))
                })
                .collect();
            bench.wait_for_state("Running", bench.executor.slots());
            let short = Duration::from_millis(20);
            let late = bench.executor.submit(with(call("t"), |o| o.queue_timeout = Some(short)));
            assert_eq!(kind_of(&late), Some(EndKind::TimedOut));
            assert_eq!(message_of(&late), "it waited 20ms for a slot");
            let late = bench
                .executor
                .submit(with(call("t"), |o| o.deadline = Some(Instant::now() + short)));
            assert_eq!(kind_of(&late), Some(EndKind::TimedOut));
            assert_eq!(message_of(&late), "the run's deadline passed before it started");
            assert_eq!(bench.script.started(), bench.executor.slots());
            let states: Vec<_> = bench.told(&late).states;
            assert_eq!(states, ["Pending", "TimedOut"]);
            token.cancel();
            blocked.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        },
    );
}

fn blocks_or_fails(attempt: &sandmill_core::Attempt<'_>) -> Report {
    match &*attempt.call.task {
        "block" => {
            let _ = attempt.cancel.wait_until(Instant::now() + LONG);
            value(1)
        }
        "echo" => value(2),
        _ => failure("busy"),
    }
}

#[test]
fn a_run_that_awaits_its_retry_gives_its_slot_back() {
    let script = Script::new(blocks_or_fails);
    let bench = Bench::open(pool(&script, 1), Events::default());
    let waits = bench.executor.submit(with(call("t"), |o| o.retries = NEVER.clone()));
    for _ in 0..20 {
        assert!(bench.executor.submit(call("echo")).result(Some(LONG)).is_ok());
    }
    assert_eq!(waits.state().name, "AwaitingRetry");
    assert_eq!(waits.state().kind, StateType::Scheduled);
    waits.cancel();
    assert_eq!(waits.state().kind, StateType::Cancelled);
}

#[test]
fn a_retry_is_queued_when_it_is_due_though_all_slots_are_busy() {
    let script = Script::new(blocks_or_fails);
    let bench = Bench::open(pool(&script, 1), Events::default());
    // Long enough for the first attempt to be placed wherever this executor places it.
    let late = bench.executor.submit(with(call("t"), |o| {
        o.retries = delays(1_000, &[50]);
        o.queue_timeout = Some(Duration::from_secs(2));
    }));
    bench.wait_for_state("AwaitingRetry", 1);
    let blocked = bench.executor.submit(call("block"));
    // Its second attempt may have begun before the slot was blocked; one of them finds it busy.
    assert_eq!(kind_of(&late), Some(EndKind::TimedOut));
    let message = message_of(&late);
    assert!(message.starts_with("it waited 2s for a slot; attempt "), "{message}");
    assert!(message.contains(" ended with busy: no luck "), "{message}");
    assert!(!blocked.is_done());
    blocked.cancel();
}

#[test]
fn a_shutdown_waits_for_retries_and_an_abort_cancels_them() {
    on_both(
        |attempt| if attempt.number < 4 { failure("busy") } else { value(1) },
        |bench| {
            if bench.executor.slots() > 1 {
                let policy = delays(3, &[30]);
                let runs: Vec<TaskFuture> = (0..50)
                    .map(|_| bench.executor.submit(with(call("t"), |o| o.retries = policy.clone())))
                    .collect();
                block_on(bench.executor.shutdown());
                let states: Vec<_> = runs.iter().map(|run| run.state().name).collect();
                assert!(states.iter().all(|state| state == "Completed"), "{states:?}");
                block_on(bench.executor.start(StartContext::default())).unwrap();
            }
            let made = bench.script.started();
            let executor = Arc::clone(&bench.executor);
            let waits = thread::spawn(move || {
                executor.submit(with(call("t"), |o| o.retries = NEVER.clone()))
            });
            bench.script.wait_for_more_than(made);
            bench.executor.abort();
            let run = waits.join().unwrap();
            assert_eq!(run.state().kind, StateType::Cancelled);
        },
    );
}

#[test]
fn a_shutdown_ends_when_the_last_run_that_awaits_its_retry_is_cancelled() {
    let script = Script::new(|_| failure("busy"));
    let bench = Bench::open(pool(&script, 2), Events::default());
    let waits = bench.executor.submit(with(call("t"), |o| o.retries = NEVER.clone()));
    bench.wait_for_state("AwaitingRetry", 1);
    let closing = Arc::clone(&bench.executor);
    let shutdown = thread::spawn(move || block_on(closing.shutdown()));
    waits.cancel();
    shutdown.join().unwrap();
    assert_eq!(waits.state().kind, StateType::Cancelled);
}

#[test]
fn a_pool_that_was_aborted_while_runs_awaited_their_retry_starts_again() {
    let script =
        Script::new(
            |attempt| {
                if &*attempt.call.task == "echo" { value(1) } else { failure("busy") }
            },
        );
    let bench = Bench::open(pool(&script, 2), Events::default());
    for _ in 0..20 {
        let waits: Vec<_> = (0..10)
            .map(|_| bench.executor.submit(with(call("t"), |o| o.retries = NEVER.clone())))
            .collect();
        bench.executor.abort();
        assert!(waits.iter().all(|run| run.state().kind == StateType::Cancelled));
        block_on(bench.executor.start(StartContext::default())).unwrap();
        assert!(bench.executor.submit(call("echo")).result(Some(LONG)).is_ok());
    }
}

#[test]
fn runs_of_the_inline_executor_end_in_order_though_one_is_tried_again() {
    let order = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&order);
    let script = Script::new(move |attempt| match (&*attempt.call.task, attempt.number) {
        ("t", 1..=2) => failure("busy"),
        _ => value(count.fetch_add(1, Ordering::SeqCst) as u64),
    });
    let bench = Bench::open(inline(&script), Events::default());
    let first = bench.executor.submit(with(call("t"), |o| o.retries = delays(2, &[5])));
    assert!(first.is_done());
    let second = bench.executor.submit(call("echo"));
    let numbers = [first, second].map(|run| run.result(None).unwrap().decode::<u64>().unwrap());
    assert_eq!(numbers, [0, 1]);
}

#[test]
fn a_pool_that_closes_while_a_run_awaits_its_retry_lets_all_its_slots_go() {
    let script = Script::new(|attempt| match attempt.number {
        1 => failure("busy"),
        _ => value(1),
    });
    let bench = Bench::open(pool(&script, 4), Events::default());
    let future = bench.executor.submit(with(call("t"), |o| o.retries = delays(1, &[50])));
    bench.wait_for_state("AwaitingRetry", 1);
    block_on(bench.executor.shutdown());
    assert_eq!(future.wait(Some(LONG)).kind, StateType::Completed);
    drop(bench);
    if !IN_THIS_PROCESS {
        // The slots are another host's.
        return;
    }
    // Every slot holds on to the invoker.
    let begun = Instant::now();
    while Arc::strong_count(&script) > 1 {
        assert!(begun.elapsed() < LONG, "{} threads are left", Arc::strong_count(&script) - 1);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_is_woken_by_an_abort_may_use_the_executor() {
    /// Submits a call when it is woken.
    struct Submitter(Arc<dyn Executor>, Sender<TaskFuture>);

    impl Wake for Submitter {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0.submit(call("late"))).unwrap();
        }
    }

    let wakers: Arc<Mutex<Option<Waker>>> = Arc::default();
    let registered = Arc::clone(&wakers);
    let script = Script::new(move |attempt| {
        if let Some(waker) = registered.lock().take() {
            let _ = attempt.cancel.poll_cancelled(&mut Context::from_waker(&waker));
        }
        let _ = attempt.cancel.wait_until(Instant::now() + LONG);
        value(1)
    });
    let bench = Bench::open(pool(&script, 1), Events::default());
    let (sender, late) = channel();
    let submitter = Submitter(Arc::clone(&bench.executor), sender);
    *wakers.lock() = Some(Waker::from(Arc::new(submitter)));
    let future = bench.executor.submit(call("t"));
    script.wait_for_more_than(0);
    while wakers.lock().is_some() {
        thread::yield_now();
    }
    // Not on this thread: one that takes a lock it has never comes back.
    let executor = Arc::clone(&bench.executor);
    let abort = thread::spawn(move || executor.abort());
    let late = late.recv_timeout(LONG).unwrap();
    assert_eq!(kind_of(&late), Some(EndKind::Refused));
    abort.join().unwrap();
    assert!(future.is_done());
}
