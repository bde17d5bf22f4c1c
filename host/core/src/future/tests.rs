//! What futures promise, without an executor: promises are ended by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_wire::{End, EndKind, Failure, Outcome, Value};

use super::*;
use crate::{
    AttemptEnd, Call, CallOptions, Clock, Component, Event, EventKind, Events, LogSource,
    MapOptions, Report, StateType, Timestamp, Usage,
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

fn call() -> Call {
    Call::new(&Component::new(&b"bytes"[..], "memory"), "task", Value::nil())
}

fn run() -> (Promise, TaskFuture) {
    Promise::new(&call(), &Events::default())
}

fn value(number: u64) -> Report {
    Report::new(Outcome::Value(Value::encode(&number).unwrap()), Usage::default())
}

fn failure() -> Report {
    let outcome = Outcome::Failure(Failure::new("error", "no luck"));
    Report::new(outcome, Usage::default())
}

fn later(promise: Promise, report: Report) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(SHORT);
        assert!(promise.start());
        promise.finish(report);
    })
}

#[test]
fn a_result_reaches_threads_async_code_and_typed_handles() {
    let (promise, future) = run();
    let thread = later(promise, value(7));
    assert_eq!(block_on(future.clone()).unwrap(), Value::encode(&7u64).unwrap());
    assert_eq!(future.result(Some(LONG)).unwrap().decode::<u64>().unwrap(), 7);
    assert_eq!(future.clone().typed::<u64>().result(None), Ok(7));
    assert_eq!(block_on(future.clone().typed::<u64>()), Ok(7));
    let wrong = future.clone().typed::<String>().result(None).unwrap_err();
    assert!(matches!(wrong.kind, RunErrorKind::Decode(_)), "{wrong}");
    assert_eq!(future.state().kind, StateType::Completed);
    thread.join().unwrap();
}

#[test]
fn waiting_never_raises_and_a_timeout_leaves_the_run_alone() {
    let (promise, future) = run();
    assert_eq!(future.wait(Some(SHORT)).kind, StateType::Pending);
    assert!(promise.start());
    let error = future.result(Some(SHORT)).unwrap_err();
    assert!(error.is_wait_timeout());
    assert!(error.to_string().contains("did not end within 20ms"), "{error}");
    assert_eq!((future.outcome(), future.state().kind), (None, StateType::Running));
    promise.finish(failure());
    assert_eq!(future.wait(None).name, "Failed");
    let error = future.result(None).unwrap_err();
    assert!(matches!(&error.kind, RunErrorKind::Failure(failure) if failure.message == "no luck"));
    assert!(error.to_string().contains("task (run "), "{error}");
}

#[test]
fn a_promise_let_go_of_is_a_fault_of_the_host_and_nobody_waits_for_ever() {
    let (promise, future) = run();
    drop(promise);
    assert_eq!(future.result(None).unwrap_err().end_kind(), Some(EndKind::HostError));
    assert_eq!(future.state().kind, StateType::Crashed);
}

#[test]
fn cancelling_ends_what_waits_and_asks_what_runs() {
    let (promise, future) = run();
    future.cancel();
    assert_eq!(future.state().kind, StateType::Cancelled);
    assert!(!promise.start(), "a cancelled run must not start");

    let (promise, future) = run();
    assert!(promise.start());
    future.cancel();
    assert_eq!(future.state().kind, StateType::Cancelling);
    assert!(promise.cancel_token().is_cancelled());
    promise.finish(Report::unstarted(End::new(EndKind::Cancelled, "stopped")));
    future.cancel();
    assert_eq!(future.state().kind, StateType::Cancelled);
}

#[test]
fn the_last_handle_cancels_unless_the_run_is_detached() {
    let (promise, future) = run();
    let second = future.clone();
    drop(future);
    assert!(!promise.cancel_token().is_cancelled());
    drop(second);
    assert!(promise.cancel_token().is_cancelled());

    let (promise, future) = run();
    future.detach();
    drop(future);
    assert!(!promise.cancel_token().is_cancelled());

    let options = CallOptions { detach: true, ..CallOptions::default() };
    let (promise, future) = Promise::new(&call().with_options(options), &Events::default());
    drop(future);
    assert!(!promise.cancel_token().is_cancelled());
}

#[test]
fn callbacks_are_called_once_in_order_and_may_panic() {
    let events = Events::new(Clock::system());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    events.observe(Arc::new(move |event: &Event| {
        if let EventKind::Log(line) = &event.kind {
            sink.lock().push((line.source, line.message.clone()));
        }
    }));
    let (promise, future) = Promise::new(&call(), &events);
    let (sender, receiver) = channel();
    for number in 0..3 {
        let sender = sender.clone();
        future.on_done(move |done| {
            assert!(done.is_done());
            sender.send((number, thread::current().id())).unwrap();
            assert!(number != 1, "callback {number} breaks");
        });
    }
    assert!(promise.start());
    promise.finish(value(1));
    let called: Vec<_> = (0..3).map(|_| receiver.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(called.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(called.iter().all(|(_, on)| *on != thread::current().id()));
    // The run has ended: the callback is called here and now.
    let here = sender.clone();
    future.on_done(move |_| here.send((9, thread::current().id())).unwrap());
    assert_eq!(receiver.try_recv().unwrap(), (9, thread::current().id()));
    future.on_done(|_| panic!("{}", "late and broken".to_owned()));
    let lines = lines.lock();
    assert!(lines.iter().all(|(source, _)| *source == LogSource::Host));
    assert!(lines[0].1.contains("callback 1 breaks"), "{lines:?}");
    assert!(lines[1].1.contains("late and broken"), "{lines:?}");
}

#[test]
fn a_runs_states_are_told_in_order() {
    let events = Events::new(Clock::system());
    let names = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&names);
    events.observe(Arc::new(move |event: &Event| {
        sink.lock().push(match &event.kind {
            EventKind::Submitted(submitted) => format!("submitted {}", submitted.name),
            EventKind::State(state) => state.name.to_string(),
            EventKind::Used(_) => "used".to_owned(),
            other => panic!("{other:?}"),
        });
    }));
    let (promise, future) = Promise::new(&call().at_index(3), &events);
    assert!(promise.start());
    promise.finish(value(1));
    assert_eq!(future.map_index(), Some(3));
    assert_eq!(*names.lock(), ["submitted task[3]", "Pending", "Running", "used", "Completed"]);
}

#[test]
fn wait_sorts_into_done_and_not_done() {
    let (first, a) = run();
    let (second, b) = run();
    let (third, c) = run();
    assert!(first.start() && second.start() && third.start());
    second.finish(failure());
    let all = [a.clone(), b.clone(), c.clone(), a.clone()];
    let sorted = wait(&all, Some(SHORT), ReturnWhen::All);
    assert_eq!((sorted.done, sorted.not_done), (vec![b.clone()], vec![a.clone(), c.clone()]));
    for when in [ReturnWhen::First, ReturnWhen::FirstError] {
        let started = Instant::now();
        assert_eq!(wait(&all, Some(LONG), when).done, std::slice::from_ref(&b));
        assert!(started.elapsed() < LONG, "{when:?} waited for all");
    }
    let sorted = block_on(wait_async(&all, Some(SHORT), ReturnWhen::All));
    assert_eq!(sorted.not_done, [a.clone(), c.clone()]);
    let thread = later_all([(first, value(1)), (third, value(3))]);
    assert_eq!(block_on(wait_async(&all, None, ReturnWhen::All)).done, [a, b, c]);
    thread.join().unwrap();
    assert_eq!(wait(&[], None, ReturnWhen::All), DoneAndNotDone::default());
}

fn later_all<const N: usize>(promises: [(Promise, Report); N]) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for (promise, report) in promises {
            thread::sleep(SHORT);
            promise.finish(report);
        }
    })
}

#[test]
fn as_completed_gives_finished_ones_first_each_once_and_says_how_many_are_left() {
    let (first, a) = run();
    let (second, b) = run();
    let (third, c) = run();
    assert!(first.start() && second.start() && third.start());
    third.finish(value(3));
    second.finish(value(2));
    let futures = [a.clone(), b.clone(), a.clone(), c.clone()];
    let mut group = as_completed(futures.clone(), Some(SHORT));
    assert_eq!(group.next(), Some(Ok(b.clone())), "finished ones come in the order given");
    group.add(b.clone());
    assert_eq!(group.next(), Some(Ok(c.clone())));
    let timeout = group.next().unwrap().unwrap_err();
    assert_eq!(timeout.to_string(), "1 of 3 futures unfinished");
    assert_eq!(group.next(), None);

    let mut group = as_completed(futures.clone(), Some(SHORT)).into_stream();
    let items = block_on(async { group.by_ref().collect::<Vec<_>>().await });
    assert_eq!(items, [Ok(b.clone()), Ok(c.clone()), Err(timeout)]);

    let thread = later_all([(first, value(1))]);
    let group = as_completed(futures, None).with_results();
    let results: Vec<u64> = group.map(|item| item.unwrap().1.unwrap().decode().unwrap()).collect();
    assert_eq!(results, [2, 3, 1]);
    thread.join().unwrap();
}

#[test]
fn the_clock_of_as_completed_does_not_count_the_consumers_time() {
    let (first, a) = run();
    let (second, b) = run();
    assert!(first.start() && second.start());
    first.finish(value(1));
    let budget = Duration::from_millis(400);
    let mut group = as_completed([a, b], Some(budget));
    assert!(group.next().unwrap().is_ok());
    // The consumer takes longer than the whole budget, and the second run ends a little later.
    thread::sleep(budget * 2);
    let thread = later_all([(second, value(2))]);
    assert!(group.next().unwrap().is_ok(), "the consumer's own time was counted");
    thread.join().unwrap();
}

#[test]
fn nested_data_is_resolved_in_its_shape() {
    let (first, a) = run();
    let (second, b) = run();
    assert!(first.start() && second.start());
    first.finish(value(1));
    second.finish(failure());
    let one = Value::encode(&1u64).unwrap();
    let data = Nested::Record(vec![
        ("list".to_owned(), Nested::List(vec![Nested::Leaf(a.clone()), Nested::Leaf(b.clone())])),
        (
            "map".to_owned(),
            Nested::Map(vec![(Nested::Leaf(a.clone()), Nested::Value(Value::nil()))]),
        ),
        ("maybe".to_owned(), Nested::Option(Some(Box::new(Nested::Leaf(b.clone()))))),
    ]);
    assert_eq!(data.leaves(), [&a, &b, &a, &b]);
    let states = resolve_futures_to_states(data.clone(), None);
    let kinds: Vec<StateType> = states.leaves().into_iter().map(|state| state.kind).collect();
    let (completed, failed) = (StateType::Completed, StateType::Failed);
    assert_eq!(kinds, [completed, failed, completed, failed]);

    let error = resolve_futures_to_results(data.clone(), None, Errors::Raise).unwrap_err();
    assert_eq!(error.run, b.id());
    let resolved = resolve_futures_to_results(data, None, Errors::Skip).unwrap();
    let expected = Nested::Record(vec![
        ("list".to_owned(), Nested::List(vec![Nested::Leaf(one.clone())])),
        ("map".to_owned(), Nested::Map(vec![(Nested::Leaf(one), Nested::Value(Value::nil()))])),
        ("maybe".to_owned(), Nested::Option(None)),
    ]);
    assert_eq!(resolved, expected);

    let plain = Nested::<TaskFuture>::List(vec![Nested::Value(Value::nil())]);
    let same = resolve_futures_to_results(plain.clone(), None, Errors::Raise).unwrap();
    assert_eq!(same, Nested::List(vec![Nested::Value(Value::nil())]));
}

fn calls(count: u64) -> crate::Calls {
    let call = call();
    Box::new((0..count).map(move |index| call.clone().at_index(index)))
}

#[test]
fn a_window_holds_back_calls_until_futures_are_taken() {
    let options = MapOptions { window: Some(2), fail_fast: false };
    let (list, feed) = FutureList::new(calls(5), options, Events::default());
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    feed.on_room(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let mut promises = Vec::new();
    for _ in 0..2 {
        let Pull::Run(_, promise) = feed.pull() else { panic!("there is room for two") };
        promises.push(promise);
    }
    assert!(matches!(feed.pull(), Pull::Full));
    let mut ordered = list.into_ordered();
    assert_eq!(ordered.next().unwrap().map_index(), Some(0));
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert!(matches!(feed.pull(), Pull::Run(..)));
    assert!(matches!(feed.pull(), Pull::Full));
    drop(ordered);
    assert!(matches!(feed.pull(), Pull::Finished), "nobody would see what comes of more calls");
}

#[test]
fn a_map_whose_iterator_panics_ends_with_a_run_that_says_so() {
    let broken: crate::Calls = Box::new((0..3u64).map(|index| {
        assert!(index < 1, "the source breaks");
        call()
    }));
    let (list, feed) = FutureList::new(broken, MapOptions::default(), Events::default());
    let Pull::Run(_, promise) = feed.pull() else { panic!("the first call is good") };
    assert!(promise.start());
    promise.finish(value(0));
    assert!(matches!(feed.pull(), Pull::Finished));
    let error = list.results(Some(LONG), OnError::Continue).unwrap_err();
    assert!(error.to_string().contains("the iterator of calls panicked"), "{error}");
}

#[test]
fn results_come_in_order_or_fail_as_soon_as_one_run_does() {
    let (list, feed) = FutureList::new(calls(3), MapOptions::default(), Events::default());
    let mut promises: Vec<Promise> = (0..3)
        .map(|_| match feed.pull() {
            Pull::Run(_, promise) => promise,
            _ => panic!("three calls"),
        })
        .collect();
    let timeout = list.results(Some(SHORT), OnError::Continue).unwrap_err();
    assert_eq!(timeout.to_string(), "timed out waiting for all futures: 3 of 3 futures unfinished");
    assert!(promises.iter().all(Promise::start));
    // The last one fails first; the others have not ended, and are cancelled.
    promises.pop().unwrap().finish(failure());
    let error = list.results(Some(LONG), OnError::Cancel).unwrap_err();
    assert!(error.to_string().contains("no luck"), "{error}");
    assert!(promises.iter().all(|promise| promise.cancel_token().is_cancelled()));
}

#[test]
fn fail_fast_cancels_the_others() {
    let options = MapOptions { window: None, fail_fast: true };
    let (list, feed) = FutureList::new(calls(100), options, Events::default());
    let Pull::Run(_, first) = feed.pull() else { panic!("the first") };
    let Pull::Run(_, second) = feed.pull() else { panic!("the second") };
    assert!(first.start() && second.start());
    first.finish(failure());
    assert!(second.cancel_token().is_cancelled());
    assert!(matches!(feed.pull(), Pull::Finished));
    assert_eq!(list.len(), 2);
}

fn attempt_end() -> AttemptEnd {
    let at = Timestamp::from_micros(1);
    let (outcome, message) = ("failure".to_owned(), Some("no luck".into()));
    let usage = Usage::default();
    AttemptEnd { number: 1, started: at, ended: at, outcome, message, usage, retry_at: Some(at) }
}

#[test]
fn a_run_that_awaits_its_retry_is_told_of_counted_and_tried_again() {
    let events = Events::new(Clock::system());
    let names = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&names);
    events.observe(Arc::new(move |event: &Event| {
        match &event.kind {
            EventKind::State(state) => sink.lock().push((state.name.to_string(), state.kind)),
            // What ended is told before where that leads to.
            EventKind::Attempt(end) => assert_eq!((end.number, sink.lock().len()), (1, 2)),
            _ => {}
        }
    }));
    let (promise, future) = Promise::new(&call(), &events);
    assert!(!promise.await_retry("it has not run", attempt_end));
    assert_eq!(future.attempts(), 0);
    assert!(promise.start());
    assert!(promise.await_retry("no luck; attempt 2 of 2 in 1s", attempt_end));
    assert_eq!((future.attempts(), future.outcome(), future.is_done()), (1, None, false));
    assert!(future.state().message.unwrap().contains("no luck"));
    assert!(promise.start());
    promise.finish(value(1));
    assert_eq!((future.attempts(), future.state().name.as_ref()), (2, "Completed"));
    let expected = [
        ("Pending", StateType::Pending),
        ("Running", StateType::Running),
        ("AwaitingRetry", StateType::Scheduled),
        ("Retrying", StateType::Running),
        ("Completed", StateType::Completed),
    ];
    assert_eq!(*names.lock(), expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn a_cancel_ends_a_run_that_awaits_its_retry_and_says_how_often_it_was_tried() {
    let (promise, future) = run();
    assert!(promise.start() && promise.await_retry("no luck", attempt_end));
    future.cancel();
    let error = future.result(Some(LONG)).unwrap_err();
    assert_eq!(error.end_kind(), Some(EndKind::Cancelled));
    assert!(error.to_string().contains("after 1 attempt"), "{error}");
    assert!(!promise.start() && !promise.await_retry("too late", attempt_end));
    assert_eq!(future.attempts(), 1);

    // One that was tried by an earlier process, and waits for a slot.
    let call = call().as_run(sandmill_wire::RunId::new(), 3);
    let (promise, future) = Promise::new(&call, &Events::default());
    assert_eq!(future.attempts(), 3);
    future.cancel();
    let error = future.result(Some(LONG)).unwrap_err();
    assert!(error.to_string().contains("after 3 attempts"), "{error}");
    drop(promise);

    // One that is asked to stop while it runs is not tried again.
    let (promise, future) = run();
    assert!(promise.start());
    future.cancel();
    assert!(!promise.await_retry("no luck", attempt_end));
    promise.finish(failure());
    assert_eq!(future.state().name, "Failed");
}

#[test]
fn a_run_of_an_earlier_process_starts_as_one_that_is_tried_again() {
    let call = call().as_run(sandmill_wire::RunId::new(), 1);
    let (promise, future) = Promise::new(&call, &Events::default());
    assert!(promise.start());
    assert_eq!((future.state().name.as_ref(), future.attempts()), ("Retrying", 2));
    promise.finish(value(1));
}

#[test]
fn a_run_whose_value_was_there_was_not_tried() {
    let (promise, future) = run();
    let (_, from) = run();
    assert!(promise.start());
    promise.finish(Report::cached(value(1).outcome, from.id()));
    assert_eq!((future.state().name.as_ref(), future.attempts()), ("Cached", 0));
}
