//! Runs that are tried again, wait, and have deadlines: what Prefect 3 documents of it, and what
//! Sandmill adds (kinds of failure, more memory, time in the queue), with real guests.
//!
//! Prefect's names and rules: `Task(retries=, retry_delay_seconds=, retry_jitter_factor=)`
//! (`prefect.tasks`), the states `AwaitingRetry` (of type `SCHEDULED`) and `Retrying` (of type
//! `RUNNING`) (`prefect.states`), and that a run which waits for its retry goes from `Running` to
//! `AwaitingRetry` (`prefect.server.orchestration.core_policy.RetryFailedTasks`).

use std::thread;
use std::time::{Duration, Instant};

use sandmill::core::{CancelToken, MAX_RETRIES};
use sandmill::{
    Call, CallOptions, EndKind, Limits, MapOptions, Outcome, RetryDelay, RetryPolicy, StateType,
};
use sandmill_test_conformance::{Bench, LONG, Ran};

use crate::table::{Case, checks, same_story};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        a_run_is_tried_again_until_it_succeeds,
        a_run_that_is_tried_again_is_as_fresh_as_the_first_time,
        retries_that_are_used_up_leave_the_last_cause,
        delays_are_kept_to,
        jitter_stays_within_its_bounds,
        only_kinds_that_are_named_are_tried_again,
        what_no_try_can_change_is_tried_once,
        memory_grows_after_running_out_of_it,
        memory_does_not_grow_over_what_the_host_gives,
        a_run_that_waits_for_its_retry_is_cancelled_at_once,
        a_run_that_waits_gives_its_slot_to_others,
        a_call_that_waits_too_long_for_a_slot_times_out,
        a_deadline_is_over_all_attempts,
        a_guest_sees_the_sooner_of_both_deadlines,
        a_deadline_that_has_passed_starts_nothing,
        a_map_tries_again_what_failed_in_it,
        attempts_of_an_earlier_process_are_counted,
    ]
}

fn policy(retries: u32, millis: &[u64]) -> RetryPolicy {
    let delays = millis.iter().copied().map(Duration::from_millis).collect();
    RetryPolicy { delay: RetryDelay::List(delays), ..RetryPolicy::times(retries) }
}

fn hours() -> RetryPolicy {
    let hour = Duration::from_secs(3_600);
    RetryPolicy { cap: hour, ..policy(3, &[3_600_000]) }
}

fn flaky(bench: &Bench, failures: u32, retries: RetryPolicy) -> Ran {
    let arguments = format!("{{\"failures\":{failures}}}");
    bench.run_with("probe", "flaky", &arguments, |options| options.retries = retries)
}

/// What each attempt came to.
fn outcomes(ran: &Ran) -> Vec<&str> {
    ran.attempts.iter().map(|end| end.outcome.as_str()).collect()
}

fn a_run_is_tried_again_until_it_succeeds(bench: &Bench) {
    let once = flaky(bench, 1, policy(3, &[5]));
    assert_eq!(once.value::<u32>(), 2);
    assert_eq!(once.states, ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]);
    let kinds: Vec<StateType> = once.history.iter().map(|state| state.kind).collect();
    let (pending, running) = (StateType::Pending, StateType::Running);
    assert_eq!(kinds, [pending, running, StateType::Scheduled, running, StateType::Completed]);
    let cause = once.history[2].message.as_deref().unwrap();
    assert_eq!(cause, "busy: no luck in attempt 1; attempt 2 of 4 in 5ms");
    same_story("flaky-delayed", &once);

    let ran = flaky(bench, 3, RetryPolicy::times(3));
    assert_eq!((ran.value::<u32>(), ran.future.attempts()), (4, 4));
    assert_eq!(outcomes(&ran), ["failure", "failure", "failure", "value"]);
    let numbers: Vec<u32> = ran.attempts.iter().map(|end| end.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let retried: Vec<bool> = ran.attempts.iter().map(|end| end.retry_at.is_some()).collect();
    assert_eq!(retried, [true, true, true, false]);
    assert_eq!(ran.attempts[2].message.as_deref(), Some("busy: no luck in attempt 3"));
    assert!(ran.attempts.iter().all(|end| end.usage.wall_micros > 0 && end.usage.input > 0));
    let lines: Vec<&str> = ran.lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["attempt 1", "attempt 2", "attempt 3", "attempt 4"], "all logs are kept");
    same_story("flaky-at-once", &ran);
}

fn a_run_that_is_tried_again_is_as_fresh_as_the_first_time(bench: &Bench) {
    let first = flaky(bench, 0, RetryPolicy::default());
    let fourth = flaky(bench, 3, RetryPolicy::times(3));
    assert_eq!(first.attempts[0].usage.peak_memory, fourth.attempts[3].usage.peak_memory);
    assert_eq!((first.value::<u32>(), fourth.value::<u32>()), (1, 4));
}

fn retries_that_are_used_up_leave_the_last_cause(bench: &Bench) {
    let ran = flaky(bench, 99, policy(2, &[1]));
    assert_eq!(ran.failure(), ("busy", "no luck in attempt 3"));
    assert_eq!(ran.future.attempts(), 3);
    let waits = ["AwaitingRetry", "Retrying"];
    let expected = [&["Pending", "Running"][..], &waits, &waits, &["Failed"]].concat();
    assert_eq!(ran.states, expected);
    let causes: Vec<&str> =
        ran.attempts.iter().map(|end| end.message.as_deref().unwrap()).collect();
    let all =
        ["busy: no luck in attempt 1", "busy: no luck in attempt 2", "busy: no luck in attempt 3"];
    assert_eq!(causes, all, "every attempt's cause is kept");
    let untried = flaky(bench, 1, RetryPolicy::default());
    assert_eq!((untried.failure().0, untried.future.attempts()), ("busy", 1));
}

/// Prefect repeats the last of a list, and has `exponential_backoff` for the other form.
fn delays_are_kept_to(bench: &Bench) {
    let exponential = RetryPolicy {
        delay: RetryDelay::Exponential { base: Duration::from_millis(4), factor: 2.0 },
        cap: Duration::from_millis(12),
        ..RetryPolicy::times(4)
    };
    let list = policy(4, &[9, 1, 6]);
    for (policy, delays) in [(list, [9, 1, 6, 6]), (exponential, [4, 8, 12, 12])] {
        let ran = flaky(bench, 4, policy);
        assert_eq!(ran.value::<u32>(), 5);
        for (pair, delay) in ran.attempts.windows(2).zip(delays) {
            let planned = pair[0].retry_at.unwrap().since(pair[0].ended);
            assert_eq!(planned, Duration::from_millis(delay));
            assert!(pair[1].started.since(pair[0].ended) >= planned, "it was tried too early");
        }
        assert!(ran.history.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}

/// Prefect's upper bound is `delay * (1 + retry_jitter_factor)`.
fn jitter_stays_within_its_bounds(bench: &Bench) {
    let jittered = RetryPolicy { jitter: 0.5, ..policy(8, &[4]) };
    let ran = flaky(bench, 8, jittered);
    let planned: Vec<Duration> =
        ran.attempts.iter().filter_map(|end| Some(end.retry_at?.since(end.ended))).collect();
    assert_eq!(planned.len(), 8);
    let (least, most) = (Duration::from_millis(2), Duration::from_millis(6));
    assert!(planned.iter().all(|delay| (least..=most).contains(delay)), "{planned:?}");
    assert!(planned.iter().any(|delay| *delay != planned[0]), "{planned:?}");
}

fn only_kinds_that_are_named_are_tried_again(bench: &Bench) {
    let named = |names: &[&str]| RetryPolicy {
        on: Some(names.iter().map(|&name| name.to_owned()).collect()),
        ..RetryPolicy::times(2)
    };
    let tried = |task: &str, arguments: &str, names: &[&str]| {
        let ran = bench.run_with("probe", task, arguments, |options| {
            options.retries = named(names);
            if task == "sleep" {
                options.limits.timeout = Duration::from_millis(100);
            }
        });
        assert!(!ran.outcome.is_success());
        ran.future.attempts()
    };
    let refuse = r#"{"kind":"odd","message":"no"}"#;
    let retriable = r#"{"kind":"odd","message":"no","retriable":true}"#;
    let panic = r#"{"message":"oh"}"#;
    let asleep = r#"{"millis":60000}"#;
    assert_eq!(tried("refuse", refuse, &["odd"]), 3);
    assert_eq!(tried("refuse", refuse, &["even", "timed-out"]), 1);
    assert_eq!(tried("refuse", refuse, &["failure"]), 3);
    assert_eq!(tried("refuse", refuse, &["retriable"]), 1);
    assert_eq!(tried("refuse", retriable, &["retriable"]), 3);
    assert_eq!(tried("panic", panic, &["trapped"]), 3);
    assert_eq!(tried("panic", panic, &["failure", "retriable", "odd"]), 1);
    assert_eq!(tried("sleep", asleep, &["timed-out"]), 3);
    assert_eq!(tried("sleep", asleep, &["trapped"]), 1);
}

fn what_no_try_can_change_is_tried_once(bench: &Bench) {
    for (task, arguments) in
        [("add", "{}"), ("subtract", "{}"), ("refuse", r#"{"kind":"skipped","message":"none"}"#)]
    {
        let ran = bench.run_with("probe", task, arguments, |options| {
            options.retries = RetryPolicy::times(9);
        });
        assert!(!ran.outcome.is_success());
        assert_eq!(ran.future.attempts(), 1, "{task}: {:?}", ran.outcome);
    }
    let refused = bench.run_with("probe", "add", r#"{"left":1}"#, |options| {
        options.retries = RetryPolicy::times(9);
        options.limits.input = 1;
    });
    assert_eq!((refused.end().0, refused.future.attempts()), (EndKind::Refused, 1));
}

/// 64 MiB do not fit into 32, nor into 64 with what else is there, but into 128.
fn memory_grows_after_running_out_of_it(bench: &Bench) {
    let run = |policy: RetryPolicy| {
        bench.run_with("hostile", "allocate", r#"{"bytes":67108864}"#, |options| {
            options.limits.memory = 32 << 20;
            options.retries = policy;
        })
    };
    let growing = RetryPolicy { memory_factor: Some(2.0), ..RetryPolicy::times(5) };
    let ran = run(growing.clone());
    assert_eq!(ran.value::<usize>(), 64 << 20);
    assert_eq!(outcomes(&ran), ["out-of-memory", "out-of-memory", "value"]);
    let small = run(RetryPolicy { most_memory: 48 << 20, ..growing });
    let (kind, message) = small.end();
    assert_eq!(kind, EndKind::OutOfMemory);
    assert!(message.contains("48MiB"), "{message}");
    assert_eq!(run(RetryPolicy::times(1)).future.attempts(), 2, "as much as before");
}

fn memory_does_not_grow_over_what_the_host_gives(bench: &Bench) {
    // Four times the most that a guest can address: no host gives it.
    let growing =
        RetryPolicy { memory_factor: Some(1e9), most_memory: u64::MAX, ..RetryPolicy::times(1) };
    let ran = bench.run_with("hostile", "allocate", r#"{"bytes":67108864}"#, |options| {
        options.limits.memory = 32 << 20;
        options.retries = growing;
    });
    assert_eq!(ran.value::<usize>(), 64 << 20, "it gets what the host gives");
    assert_eq!(outcomes(&ran), ["out-of-memory", "value"]);
}

/// A call that fails at once and then waits for an hour, under this name.
fn waiting(bench: &Bench, name: &str, token: &CancelToken) -> Call {
    let options = CallOptions {
        name: Some(name.into()),
        retries: hours(),
        cancel: Some(token.clone()),
        ..CallOptions::default()
    };
    bench.call("probe", "flaky", r#"{"failures":9}"#).with_options(options)
}

fn a_run_that_waits_for_its_retry_is_cancelled_at_once(bench: &Bench) {
    let bench = Bench::fresh(bench.executor, 1);
    let token = CancelToken::new();
    let ran = thread::scope(|scope| {
        let run = scope.spawn(|| bench.run_call(waiting(&bench, "patient", &token)));
        bench.wait_for("patient", |state| state.name == "AwaitingRetry");
        token.cancel();
        run.join().unwrap()
    });
    let (kind, message) = ran.end();
    assert_eq!(kind, EndKind::Cancelled);
    assert_eq!(message, "cancelled before it was tried again, after 1 attempt");
    assert_eq!(ran.states, ["Pending", "Running", "AwaitingRetry", "Cancelled"]);
    assert_eq!((outcomes(&ran), ran.future.attempts()), (vec!["failure"], 1));
    if !bench.executor.runs_in_submit {
        let future = bench.host.submit(waiting(&bench, "by-future", &CancelToken::new()));
        bench.wait_for("by-future", |state| state.name == "AwaitingRetry");
        future.cancel();
        assert_eq!(future.state().name, "Cancelled", "there is nothing to wait for");
    }
    bench.good_runs(10);
}

fn a_run_that_waits_gives_its_slot_to_others(bench: &Bench) {
    if bench.executor.runs_in_submit {
        return;
    }
    let bench = Bench::fresh(bench.executor, 1);
    let patient = bench.host.submit(waiting(&bench, "patient", &CancelToken::new()));
    bench.good_runs(20);
    assert_eq!(patient.state().name, "AwaitingRetry");
    drop(patient);
    bench.good_runs(1);
}

fn a_call_that_waits_too_long_for_a_slot_times_out(bench: &Bench) {
    let bench = Bench::fresh(bench.executor, 1);
    let token = CancelToken::new();
    let options = CallOptions { cancel: Some(token.clone()), ..CallOptions::default() };
    let blocker = bench.call("hostile", "spin", "{}").with_options(options);
    thread::scope(|scope| {
        let blocked = scope.spawn(|| bench.run_call(blocker));
        bench.wait_for_start("spin");
        let late = bench.run_with("probe", "add", r#"{"left":1}"#, |options| {
            options.queue_timeout = Some(Duration::from_millis(50));
            options.retries = RetryPolicy::times(5);
        });
        assert_eq!(late.end(), (EndKind::TimedOut, "it waited 50ms for a slot"));
        assert_eq!(late.states, ["Pending", "TimedOut"]);
        assert_eq!(late.future.attempts(), 0);
        token.cancel();
        assert_eq!(blocked.join().unwrap().end().0, EndKind::Cancelled);
    });
    bench.good_runs(10);
}

/// A host whose slots nobody else uses, and that has made the probe ready: what waits for either
/// loses time before its deadline.
fn ready(bench: &Bench) -> Bench {
    let bench = Bench::fresh(bench.executor, 1);
    bench.good_runs(1);
    bench
}

fn a_deadline_is_over_all_attempts(bench: &Bench) {
    let bench = ready(bench);
    // One attempt that would go on: it is stopped, and there is no time for another.
    let stopped = bench.run_with("probe", "sleep", r#"{"millis":3600000}"#, |options| {
        options.deadline = Some(Instant::now() + Duration::from_secs(1));
        options.retries = RetryPolicy::times(MAX_RETRIES);
    });
    assert_eq!(stopped.end(), (EndKind::TimedOut, "the run's deadline passed"));
    assert_eq!(stopped.states, ["Pending", "Running", "TimedOut"]);
    // Many short ones: the deadline ends what else would go on for minutes.
    let limits = Limits { timeout: Duration::from_millis(10), ..Limits::default() };
    let ran = bench.run_with("probe", "sleep", r#"{"millis":3600000}"#, |options| {
        options.limits = limits;
        options.deadline = Some(Instant::now() + Duration::from_millis(500));
        options.retries = policy(MAX_RETRIES, &[300]);
    });
    assert_eq!(ran.end().0, EndKind::TimedOut);
    assert!(ran.future.attempts() < 10, "{:?}", ran.states);
    // A retry that would come too late is not waited for, and the cause is kept.
    let ran = bench.run_with("probe", "flaky", r#"{"failures":1}"#, |options| {
        options.deadline = Some(Instant::now() + LONG);
        options.retries = hours();
    });
    assert_eq!((ran.failure().0, ran.future.attempts()), ("busy", 1));
    assert_eq!(ran.states, ["Pending", "Running", "Failed"]);
}

fn a_guest_sees_the_sooner_of_both_deadlines(bench: &Bench) {
    let bench = ready(bench);
    let left = |timeout: Duration, deadline: Option<Duration>| {
        let ran = bench.run_with("probe", "about_me", "{}", |options| {
            options.limits.timeout = timeout;
            options.deadline = deadline.map(|left| Instant::now() + left);
        });
        Duration::from_nanos(ran.json()["deadline_nanos"].as_u64().unwrap())
    };
    let (short, long) = (Duration::from_secs(60), Duration::from_secs(3_600));
    for (timeout, deadline) in [(short, None), (short, Some(long)), (long, Some(short))] {
        let left = left(timeout, deadline);
        assert!(left <= short && left > short / 6, "{left:?} of {short:?}");
    }
    assert!(left(long, None) > short && left(long, Some(long)) > short);
}

fn a_deadline_that_has_passed_starts_nothing(bench: &Bench) {
    let ran = bench.run_with("probe", "add", r#"{"left":1}"#, |options| {
        options.deadline = Some(Instant::now());
        options.retries = RetryPolicy::times(5);
    });
    assert_eq!(ran.end(), (EndKind::TimedOut, "the run's deadline passed before it started"));
    assert_eq!(ran.states, ["Pending", "TimedOut"]);
    assert!(ran.attempts.is_empty() && ran.future.attempts() == 0);
}

fn a_map_tries_again_what_failed_in_it(bench: &Bench) {
    let template = bench.call("probe", "flaky", "{}");
    let options = CallOptions { retries: policy(2, &[1]), ..CallOptions::default() };
    let template = template.with_options(options);
    let calls = (0..200_u64).map(move |index| Call {
        arguments: sandmill::args! { "failures" => index % 4 }.expect("a number is an argument"),
        ..template.clone().at_index(index)
    });
    let options = MapOptions { window: Some(16), ..MapOptions::default() };
    for future in bench.host.map(calls, options).into_ordered() {
        let failures = future.map_index().unwrap() % 4;
        let ran = bench.ran(future);
        match failures {
            3 => assert_eq!(ran.failure(), ("busy", "no luck in attempt 3")),
            _ => assert_eq!(ran.value::<u64>(), failures + 1),
        }
        assert_eq!(u64::from(ran.future.attempts()), (failures + 1).min(3));
    }
}

fn attempts_of_an_earlier_process_are_counted(bench: &Bench) {
    let options = CallOptions { retries: RetryPolicy::times(3), ..CallOptions::default() };
    let call = bench.call("probe", "flaky", r#"{"failures":3}"#).with_options(options);
    let id = sandmill::RunId::new();
    let ran = bench.run_call(call.as_run(id, 2));
    assert_eq!((ran.future.id(), ran.value::<u32>()), (id, 4));
    assert_eq!(ran.states, ["Pending", "Retrying", "AwaitingRetry", "Retrying", "Completed"]);
    let numbers: Vec<u32> = ran.attempts.iter().map(|end| end.number).collect();
    assert_eq!(numbers, [3, 4]);
    assert!(matches!(ran.outcome, Outcome::Value(_)));
}
