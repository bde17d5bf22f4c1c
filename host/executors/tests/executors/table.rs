//! What all executors promise, with a scripted invoker in place of the sandbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use sandmill_core::future::{OnError, ReturnWhen, wait};
use sandmill_core::{
    Attempt, Call, Component, ComponentInfo, Executor, Invoker, MapOptions, Report, Session,
    StartContext, StartError, StateType, TaskFuture, Usage,
};
use sandmill_executors::InlineExecutor;
use sandmill_wire::{End, EndKind, Outcome, Value};

use crate::maker::MANY;

const LONG: Duration = Duration::from_secs(60);

/// Returns its argument; `block` waits until it is cancelled or let go, `panic` panics.
#[derive(Default)]
struct Script {
    started: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    let_go: AtomicBool,
}

impl Invoker for Script {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        self.started.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let number = attempt.call.arguments.get("n").expect("all calls have one");
        let mut outcome = Outcome::Value(number);
        match &*attempt.call.task {
            "block" => {
                while !self.let_go.load(Ordering::SeqCst) {
                    if attempt.cancel.is_cancelled() {
                        outcome = End::new(EndKind::Cancelled, "stopped").into();
                        break;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            }
            "panic" => {
                self.at_once.fetch_sub(1, Ordering::SeqCst);
                panic!("a broken invoker");
            }
            "fail" => outcome = End::new(EndKind::TimedOut, "late").into(),
            _ => {}
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        Report::new(outcome, Usage::default())
    }

    fn prepare(&self, _: &Component) -> Result<Arc<ComponentInfo>, End> {
        Ok(Arc::new(ComponentInfo { tasks: Vec::new(), imports: Vec::new(), flows: Vec::new() }))
    }
}

fn call(task: &str, number: u64) -> Call {
    let component = Component::new(&b"component"[..], "memory");
    Call::new(&component, task, arguments(number))
}

fn arguments(number: u64) -> Value {
    Value::encode(&BTreeMap::from([("n", number)])).unwrap()
}

fn calls(count: u64) -> sandmill_core::Calls {
    let template = call("echo", 0);
    Box::new((0..count).map(move |number| Call {
        arguments: arguments(number),
        map_index: Some(number),
        ..template.clone()
    }))
}

/// The executor with slots that is looked at.
fn pool(script: &Arc<Script>, slots: usize, queue: usize) -> Arc<dyn Executor> {
    crate::maker::pool(Arc::clone(script) as Arc<dyn Invoker>, slots, queue)
}

fn inline(script: &Arc<Script>) -> Arc<dyn Executor> {
    Arc::new(InlineExecutor::new(Arc::clone(script) as Arc<dyn Invoker>))
}

/// Runs `check` on both executors, each open and with a script of its own.
fn on_both(check: impl Fn(&Arc<dyn Executor>, &Script)) {
    for make in [|script: &_| inline(script), |script: &_| pool(script, 2, 1_000)] {
        let script = Arc::new(Script::default());
        let executor = make(&script);
        block_on(executor.start(StartContext::default())).unwrap();
        check(&executor, &script);
        executor.abort();
    }
}

fn number(future: &TaskFuture) -> u64 {
    future.result(Some(LONG)).unwrap().decode().unwrap()
}

#[test]
fn a_call_gives_its_answer_and_a_map_all_of_them_in_order() {
    on_both(|executor, script| {
        assert_eq!(number(&executor.submit(call("echo", 7))), 7);
        for window in [None, Some(3)] {
            let options = MapOptions { window, fail_fast: false };
            let values = executor.map(calls(100), options).results(Some(LONG), OnError::Continue);
            let numbers: Vec<u64> =
                values.unwrap().iter().map(|value| value.decode().unwrap()).collect();
            assert_eq!(numbers, (0..100).collect::<Vec<u64>>(), "{}", executor.id());
        }
        let before = script.started.load(Ordering::SeqCst);
        let none = executor.map(calls(0), MapOptions::default());
        assert_eq!(none.results(Some(LONG), OnError::Continue), Ok(Vec::new()));
        assert_eq!(script.started.load(Ordering::SeqCst), before, "no calls, no instances");
        assert!(none.is_empty());
    });
}

#[test]
fn an_executor_is_started_once_closed_and_started_again() {
    on_both(|executor, _| {
        let again = block_on(executor.start(StartContext::default()));
        assert_eq!(again, Err(StartError::AlreadyStarted(executor.id().clone())));
        block_on(executor.shutdown());
        let refused = executor.submit(call("echo", 1));
        assert_eq!(refused.result(None).unwrap_err().end_kind(), Some(EndKind::Refused));
        let refused = executor.map(calls(3), MapOptions::default());
        let error = refused.results(Some(LONG), OnError::Continue).unwrap_err();
        assert!(error.to_string().contains("not started"), "{error}");
        block_on(executor.start(StartContext::default())).unwrap();
        assert_eq!(number(&executor.submit(call("echo", 2))), 2);
    });
}

#[test]
fn a_broken_invoker_costs_its_run_only() {
    on_both(|executor, _| {
        let broken = executor.submit(call("panic", 0));
        assert_eq!(broken.wait(Some(LONG)).kind, StateType::Crashed);
        for n in 0..10 {
            assert_eq!(number(&executor.submit(call("echo", n))), n);
        }
    });
}

#[test]
fn a_refused_call_keeps_its_place_in_a_map() {
    on_both(|executor, script| {
        let mixed =
            (0..3).map(|n| if n == 1 { call("echo", n).refused("odd") } else { call("echo", n) });
        let futures = executor.map(Box::new(mixed), MapOptions::default()).futures(Some(LONG));
        wait(&futures, Some(LONG), ReturnWhen::All);
        let names: Vec<_> = futures.iter().map(|future| future.state().name).collect();
        assert_eq!(names, ["Completed", "Refused", "Completed"]);
        assert_eq!(script.started.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn fail_fast_stops_a_map() {
    on_both(|executor, script| {
        let failing = (0..10_000).map(|n| call(if n == 5 { "fail" } else { "echo" }, n));
        let options = MapOptions { window: Some(4), fail_fast: true };
        let given = executor.map(Box::new(failing), options).into_ordered().count();
        assert!(given < 10_000, "{given}");
        assert!(script.started.load(Ordering::SeqCst) < 10_000);
    });
}

#[test]
fn a_windowed_map_of_very_many_calls_holds_few_at_a_time() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 2, 10);
    block_on(executor.start(StartContext::default())).unwrap();
    let options = MapOptions { window: Some(64), fail_fast: false };
    let mut ahead = 0;
    for (index, future) in executor.map(calls(MANY), options).into_ordered().enumerate() {
        if index % 1_000 == 0 {
            ahead = ahead.max(script.started.load(Ordering::SeqCst).saturating_sub(index));
        }
        assert_eq!(future.map_index(), Some(index as u64));
        assert!(future.wait(Some(LONG)).is_final());
    }
    assert_eq!(script.started.load(Ordering::SeqCst) as u64, MANY);
    assert!(ahead <= 64 + 2, "{ahead} calls were taken ahead of the consumer");
}

#[test]
fn a_pool_runs_as_many_at_a_time_as_it_has_slots_and_each_once() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 3, 1_000);
    block_on(executor.start(StartContext::default())).unwrap();
    let blocked: Vec<_> = (0..10).map(|n| executor.submit(call("block", n))).collect();
    let started = Instant::now();
    while script.started.load(Ordering::SeqCst) < 3 && started.elapsed() < LONG {
        thread::sleep(Duration::from_millis(1));
    }
    script.let_go.store(true, Ordering::SeqCst);
    assert!(wait(&blocked, Some(LONG), ReturnWhen::All).not_done.is_empty());
    assert_eq!(script.most_at_once.load(Ordering::SeqCst), 3);
    assert_eq!(script.started.load(Ordering::SeqCst), 10);
}

#[test]
fn a_full_queue_refuses_and_room_is_awaited() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 1, 2);
    block_on(executor.start(StartContext::default())).unwrap();
    let first = executor.submit(call("block", 0));
    while script.started.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let mut queued = Vec::new();
    // Of hosts, one run more may ask why none of them takes it.
    let refused = loop {
        let future = executor.submit(call("echo", queued.len() as u64));
        if future.is_done() {
            break future.result(Some(LONG)).unwrap_err();
        }
        queued.push(future);
    };
    assert!(queued.len() == 2 || (queued.len() == 3 && !crate::maker::IN_THIS_PROCESS));
    assert!(refused.to_string().contains("the queue is full: 2 calls wait"), "{refused}");
    let letter = Arc::clone(&script);
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        letter.let_go.store(true, Ordering::SeqCst);
    });
    block_on(executor.room());
    assert_eq!(number(&executor.submit(call("echo", 3))), 3);
    assert_eq!(number(&first), 0);
    let numbers: Vec<u64> = queued.iter().map(number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    thread.join().unwrap();
}

#[test]
fn closing_a_session_drains_it_and_dropping_it_aborts() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 1, 100);
    let session = block_on(Session::open(Arc::clone(&executor), StartContext::default())).unwrap();
    let queued: Vec<_> = (0..50).map(|n| session.submit(call("echo", n))).collect();
    block_on(session.close());
    assert!(queued.iter().all(|future| future.state().kind == StateType::Completed));

    let session = block_on(Session::open(Arc::clone(&executor), StartContext::default())).unwrap();
    let running = session.submit(call("block", 0));
    let waiting = session.submit(call("echo", 1));
    let list = session.map(calls(1_000_000_000), MapOptions { window: Some(1), fail_fast: false });
    while script.at_once.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    drop(session);
    assert_eq!(running.state().kind, StateType::Cancelled);
    assert_eq!(waiting.state().kind, StateType::Cancelled);
    assert!(list.into_ordered().count() <= 1);
}

#[test]
fn dropping_the_last_handle_cancels_a_run() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 1, 100);
    block_on(executor.start(StartContext::default())).unwrap();
    drop(executor.submit(call("block", 0)));
    // The only slot would be blocked for ever if the run went on.
    assert_eq!(number(&executor.submit(call("echo", 1))), 1);
}

#[test]
fn a_slow_source_does_not_hold_up_submitted_calls() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 2, 100);
    block_on(executor.start(StartContext::default())).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<u64>();
    let source = receiver.into_iter().map(|n| call("echo", n));
    let mut list = executor.map(Box::new(source), MapOptions::default()).into_ordered();
    for n in 0..20 {
        assert_eq!(number(&executor.submit(call("echo", n))), n);
    }
    sender.send(7).unwrap();
    assert_eq!(number(&list.next().unwrap()), 7);
    drop(sender);
    assert!(list.next().is_none());
}

#[test]
fn a_source_that_gives_nothing_does_not_hold_up_another_map() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 2, 100);
    block_on(executor.start(StartContext::default())).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<Call>();
    let silent = executor.map(Box::new(receiver.into_iter()), MapOptions::default());
    let list = executor.map(Box::new((0..1_000).map(|n| call("echo", n))), MapOptions::default());
    let done = list.wait(Some(LONG)).done;
    assert_eq!(done.len(), 1_000, "the other map stands still");
    drop((sender, silent));
}

#[test]
fn fail_fast_cancels_runs_that_the_consumer_has_taken_already() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 2, 10);
    block_on(executor.start(StartContext::default())).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<Call>();
    let options = MapOptions { window: Some(8), fail_fast: true };
    let mut list = executor.map(Box::new(receiver.into_iter()), options).into_ordered();
    sender.send(call("block", 0)).unwrap();
    let taken = list.next().unwrap();
    sender.send(call("fail", 1)).unwrap();
    assert_eq!(taken.wait(Some(LONG)).kind, StateType::Cancelled);
    // The slot that waits in the source takes no further call.
    let _ = sender.send(call("echo", 2));
    assert_eq!(list.by_ref().count(), 1, "only the run that failed is left");
    assert_eq!(script.started.load(Ordering::SeqCst), 2);
}

#[test]
fn an_abort_ends_what_a_shutdown_waits_for() {
    on_pool_with_a_blocked_run(|executor, blocked| {
        let closing = Arc::clone(executor);
        let shutdown = thread::spawn(move || block_on(closing.shutdown()));
        thread::sleep(Duration::from_millis(20));
        assert!(!blocked.is_done(), "a shutdown lets runs finish");
        let again = block_on(executor.start(StartContext::default()));
        assert!(again.is_err(), "it is still closing");
        executor.abort();
        shutdown.join().unwrap();
        assert_eq!(blocked.state().kind, StateType::Cancelled);
        block_on(executor.start(StartContext::default())).unwrap();
        assert_eq!(number(&executor.submit(call("echo", 1))), 1);
    });
}

fn on_pool_with_a_blocked_run(check: impl Fn(&Arc<dyn Executor>, &TaskFuture)) {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 1, 10);
    block_on(executor.start(StartContext::default())).unwrap();
    let blocked = executor.submit(call("block", 0));
    while script.started.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    check(&executor, &blocked);
}

#[test]
fn a_pool_closes_though_a_source_gives_nothing() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 2, 10);
    block_on(executor.start(StartContext::default())).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<Call>();
    let list = executor.map(Box::new(receiver.into_iter()), MapOptions::default());
    thread::sleep(Duration::from_millis(20));
    block_on(executor.shutdown());
    executor.abort();
    drop(sender);
    assert!(list.results(Some(LONG), OnError::Continue).unwrap().is_empty());
}

#[test]
fn a_list_let_go_of_cancels_its_runs_and_frees_its_source() {
    on_both_pools(|executor, script| {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<u64>(0);
        let source = receiver.into_iter().map(|n| call("block", n));
        let options = MapOptions { window: Some(1), fail_fast: false };
        let list = executor.map(Box::new(source), options);
        sender.send(0).unwrap();
        while script.at_once.load(Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(list);
        // Nobody receives any more: the other end is told, rather than blocked for ever.
        let started = Instant::now();
        while sender.try_send(1) != Err(std::sync::mpsc::TrySendError::Disconnected(1)) {
            assert!(started.elapsed() < LONG, "the source is still held");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(number(&executor.submit(call("echo", 1))), 1);
    });
}

fn on_both_pools(check: impl Fn(&Arc<dyn Executor>, &Script)) {
    for slots in [1, 2] {
        let script = Arc::new(Script::default());
        let executor = pool(&script, slots, 10);
        block_on(executor.start(StartContext::default())).unwrap();
        check(&executor, &script);
    }
}

#[test]
fn every_map_is_served_while_another_has_no_room() {
    let script = Arc::new(Script::default());
    let executor = pool(&script, 4, 10);
    block_on(executor.start(StartContext::default())).unwrap();
    let stalled = executor.map(calls(100), MapOptions { window: Some(1), fail_fast: false });
    for _ in 0..20 {
        let values = executor
            .map(calls(MANY / 200), MapOptions::default())
            .results(Some(LONG), OnError::Continue);
        assert_eq!(values.unwrap().len() as u64, MANY / 200);
    }
    assert_eq!(stalled.into_ordered().count(), 100);
}

#[test]
fn room_comes_to_whoever_still_waits_for_it() {
    on_pool_with_a_blocked_run(|executor, blocked| {
        let mut queued: Vec<_> = (0..10).map(|n| executor.submit(call("echo", n))).collect();
        if !crate::maker::IN_THIS_PROCESS {
            // One run at a time asks hosts why none of them takes it: it is not in the queue.
            block_on(executor.room());
            queued.push(executor.submit(call("echo", 10)));
        }
        let started = Instant::now();
        while futures::FutureExt::now_or_never(executor.room()).is_some() {
            assert!(started.elapsed() < LONG, "it is not full");
            thread::sleep(Duration::from_millis(1));
        }
        // Asks once, and does not wait.
        assert!(futures::FutureExt::now_or_never(executor.room()).is_none());
        let waiting = Arc::clone(executor);
        let waiter = thread::spawn(move || block_on(waiting.room()));
        thread::sleep(Duration::from_millis(20));
        assert!(futures::FutureExt::now_or_never(executor.room()).is_none());
        blocked.cancel();
        waiter.join().unwrap();
        assert!(queued.drain(..).all(|future| future.wait(Some(LONG)).is_final()));
    });
}

#[test]
fn futures_added_to_the_group_of_a_map_do_not_count_as_taken() {
    on_both(|executor, _| {
        let done = executor.submit(call("echo", 7));
        let options = MapOptions { window: Some(2), fail_fast: false };
        let mut group = executor.map(calls(10), options).into_as_completed(Some(LONG));
        group.add(done);
        assert_eq!(group.filter(Result::is_ok).count(), 11);
    });
}

#[test]
fn an_iterator_may_close_the_executor_that_takes_its_calls() {
    on_both(|executor, script| {
        let closing = Arc::clone(executor);
        let source = (0..5).map(move |n| {
            if n == 2 {
                closing.abort();
            }
            call("echo", n)
        });
        let options = MapOptions { window: Some(1), fail_fast: false };
        let given = executor.map(Box::new(source), options).into_ordered().count();
        assert!(given <= 3, "{given} runs came of a closed {}", executor.id());
        assert!(script.started.load(Ordering::SeqCst) <= 2);
        // The list ends as soon as its map is closed, when the abort may still be at work in
        // another thread: a shutdown waits for that.
        block_on(executor.shutdown());
        block_on(executor.start(StartContext::default())).unwrap();
        assert_eq!(number(&executor.submit(call("echo", 1))), 1);
    });
}

#[test]
fn a_waker_that_panics_costs_neither_a_slot_nor_the_closing() {
    struct Broken;
    impl std::task::Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a broken waker");
        }
    }
    let script = Arc::new(Script::default());
    let executor = pool(&script, 1, 10);
    block_on(executor.start(StartContext::default())).unwrap();
    let mut blocked = executor.submit(call("block", 0));
    let waker = std::task::Waker::from(Arc::new(Broken));
    let mut context = std::task::Context::from_waker(&waker);
    assert!(std::future::Future::poll(std::pin::Pin::new(&mut blocked), &mut context).is_pending());
    script.let_go.store(true, Ordering::SeqCst);
    assert_eq!(number(&blocked), 0);
    assert_eq!(number(&executor.submit(call("echo", 1))), 1);
    block_on(executor.shutdown());
}
