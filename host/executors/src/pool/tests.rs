//! What a pool's queue does that cannot be seen from outside: the order in which runs are taken,
//! and its bounds.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sandmill_core::future::{FutureList, Promise};
use sandmill_core::{
    Call, CallOptions, Component, Events, MapOptions, Past, RetryDelay, RetryPolicy, StateType,
    TaskFuture, Timestamp,
};
use sandmill_wire::{RunId, Value};

use super::config::MAX_DELAYED;
use super::queue::Queue;
use super::timer;
use super::waiting::Waiting;
use crate::attempt::{Delayed, Job};

const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn call(name: &str, queue_timeout: Option<Duration>) -> Call {
    let component = Component::new(&b"component"[..], "memory");
    let name = Some(name.into());
    Call::new(&component, "task", Value::nil()).with_options(CallOptions {
        name,
        queue_timeout,
        ..CallOptions::default()
    })
}

fn job(name: &str, queue_timeout: Option<Duration>) -> (Job, TaskFuture) {
    let call = call(name, queue_timeout);
    let (promise, future) = Promise::new(&call, &Events::default());
    (Job::new(call, promise), future)
}

/// The names of the runs in the order in which slots would get them.
fn order(waiting: &mut Waiting, futures: &[TaskFuture]) -> Vec<String> {
    let mut order = Vec::new();
    while let Some(queued) = waiting.next_queued() {
        queued.job.cancel();
        let taken = futures.iter().filter(|future| future.is_done());
        let new = taken.map(|future| future.name().to_owned()).find(|name| !order.contains(name));
        order.extend(new);
    }
    order
}

#[test]
fn what_is_due_goes_first_and_in_the_order_of_being_due() {
    let mut waiting = Waiting::new(MAX_DELAYED);
    let now = Instant::now();
    let mut futures = Vec::new();
    for name in ["call-1", "call-2"] {
        let (job, future) = job(name, None);
        waiting.submit(job);
        futures.push(future);
    }
    for (name, after) in [("late", HOUR), ("second", LONG), ("first", Duration::ZERO)] {
        let (job, future) = job(name, None);
        waiting.delay(Delayed { job, due: now + after });
        futures.push(future);
    }
    assert_eq!(waiting.next_moment(), Some(now));
    assert_eq!(waiting.tick(now + LONG).due, 2);
    assert_eq!(order(&mut waiting, &futures), ["first", "second", "call-1", "call-2"]);
    assert!(!waiting.is_empty());
    assert_eq!(waiting.next_moment(), Some(now + HOUR));
    assert_eq!(waiting.take_all().len(), 1);
    assert!(waiting.is_empty() && waiting.next_moment().is_none());
}

#[test]
fn waits_for_a_slot_end_in_their_time_counted_from_when_the_run_was_due() {
    let mut waiting = Waiting::new(MAX_DELAYED);
    let start = Instant::now();
    let (patient, patient_future) = job("patient", None);
    let (submitted, submitted_future) = job("submitted", Some(LONG));
    let (retried, retried_future) = job("retried", Some(LONG));
    waiting.submit(patient);
    waiting.submit(submitted);
    waiting.delay(Delayed { job: retried, due: start + HOUR });
    let expired = waiting.tick(start).expired;
    assert!(expired.is_empty());
    let ticked = waiting.tick(start + HOUR);
    assert_eq!((ticked.due, ticked.expired.len()), (1, 1));
    ticked.expired.into_iter().for_each(Job::expire);
    assert!(submitted_future.is_done() && !retried_future.is_done());
    assert_eq!(waiting.next_moment(), Some(start + HOUR + LONG));
    let ticked = waiting.tick(start + HOUR + LONG);
    ticked.expired.into_iter().for_each(Job::expire);
    for future in [submitted_future, retried_future] {
        let error = future.result(Some(LONG)).unwrap_err().to_string();
        assert!(error.contains("it waited 1m 0s for a slot"), "{error}");
    }
    assert!(!patient_future.is_done());
    // What a slot has taken does not run out of patience any more.
    let (taken, _taken_future) = job("taken", Some(LONG));
    waiting.submit(taken);
    assert!(waiting.next_queued().is_some() && waiting.next_queued().is_some());
    assert!(waiting.next_queued().is_none());
    assert!(waiting.next_moment().is_none());
}

#[test]
fn cancelled_runs_are_taken_out_of_what_waits_to_be_tried_again() {
    let mut waiting = Waiting::new(MAX_DELAYED);
    let now = Instant::now();
    let futures: Vec<TaskFuture> = (0..10u32)
        .map(|number| {
            let (job, future) = job("run", Some(LONG));
            waiting.delay(Delayed { job, due: now + HOUR * (number % 2) });
            future
        })
        .collect();
    assert_eq!(waiting.tick(now).due, 5);
    futures.iter().take(4).for_each(TaskFuture::cancel);
    assert_eq!(waiting.take_cancelled().len(), 4);
    assert_eq!(waiting.take_all().len(), 6);
    assert!(waiting.next_moment().is_none());
}

#[test]
fn no_new_runs_are_started_while_too_many_are_to_be_tried_again() {
    let queue = Arc::new(Queue::new(10, 2, 2, Events::default()));
    let timer = timer::spawn(&queue).unwrap();
    let delay = |after: Duration| {
        let (job, future) = job("delayed", None);
        queue.delay(Delayed { job, due: Instant::now() + after });
        future
    };
    let held = [delay(HOUR), delay(HOUR)];
    let call = call("call", None);
    let (promise, submitted) = Promise::new(&call, &Events::default());
    assert!(queue.push(call.clone(), promise).is_ok());
    let source = Box::new(std::iter::once(call));
    let (list, feed) = FutureList::new(source, MapOptions::default(), Events::default());
    queue.push_feed(feed);

    // A slot gets nothing until one of those that wait is gone; then it gets both.
    let slot = Arc::clone(&queue);
    let taker = thread::spawn(move || {
        let first = slot.take(0);
        slot.ended(0);
        let second = slot.take(0);
        slot.ended(0);
        [first, second].map(|job| job.map(Job::cancel).is_some())
    });
    thread::sleep(Duration::from_millis(30));
    assert!(!taker.is_finished() && list.is_empty() && !submitted.is_done());
    held[0].cancel();
    assert_eq!(taker.join().unwrap(), [true, true]);
    assert_eq!(submitted.wait(Some(LONG)).kind, StateType::Cancelled);
    assert_eq!(list.len(), 1);

    // What is due is taken all the same.
    let due = delay(Duration::from_millis(1));
    assert!(queue.take(1).is_some_and(|job| {
        job.cancel();
        true
    }));
    assert!(due.is_done() && !held[1].is_done());
    queue.ended(1);
    queue.stop();
    queue.cancel_all();
    queue.wait_until_idle(None);
    assert!(queue.take(0).is_none());
    timer.join().unwrap();
    assert!(held[1].is_done());
}

#[test]
fn runs_that_are_not_due_and_find_no_room_to_wait_are_put_off_by_a_slot() {
    let queue = Queue::new(10, 1, 2, Events::default());
    let retry_at = Some(Timestamp::from_micros(u64::MAX));
    let retries = RetryPolicy {
        delay: RetryDelay::List(vec![Duration::from_millis(200)]),
        ..RetryPolicy::times(1)
    };
    let call = call("waits", None).with_options(CallOptions { retries, ..CallOptions::default() });
    let begun = Instant::now();
    let futures: Vec<TaskFuture> = (0..4)
        .map(|_| {
            let past = Past { attempts: 1, cut_off: 0, retry_at, ..Past::default() };
            let call = call.clone().taken_up(RunId::new(), past);
            let (promise, future) = Promise::new(&call, &queue.events);
            assert!(queue.push(call, promise).is_ok());
            future
        })
        .collect();
    let queue = Arc::new(queue);
    let timer = timer::spawn(&queue).unwrap();
    for _ in 0..2 {
        // Those that wait elsewhere are due first; until then nothing new is started.
        let job = queue.take(0).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(190) && job.due().is_none());
        job.cancel();
        queue.ended(0);
    }
    for _ in 0..2 {
        let job = queue.take(0).unwrap();
        if let Some(due) = job.due() {
            queue.delay(Delayed { job, due });
        } else {
            job.cancel();
        }
        queue.ended(0);
    }
    queue.stop();
    queue.cancel_all();
    timer.join().unwrap();
    assert!(futures.iter().all(|future| future.state().kind == StateType::Cancelled));
}
