//! How often a run is tried, after how long, with what, and what is told of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::executor::block_on;
use sandmill_core::{
    CachePolicy, CancelToken, Clock, EventKind, Events, Limits, Past, Report, RetryDelay,
    RetryPolicy, StartContext, Timestamp,
};
use sandmill_wire::{EndKind, RunId};

use crate::maker::IN_THIS_PROCESS;
use crate::support::{
    Bench, LONG, Script, call, delays, ended, failure, inline, kind_of, on_both, pool, value, with,
};

#[test]
fn a_run_is_tried_again_until_it_succeeds() {
    on_both(
        |attempt| {
            if attempt.number < 3 { failure("busy") } else { value(u64::from(attempt.number)) }
        },
        |bench| {
            for policy in [RetryPolicy::times(5), delays(5, &[1])] {
                let future = bench.executor.submit(with(call("t"), |o| o.retries = policy.clone()));
                assert_eq!(future.result(Some(LONG)).unwrap().decode::<u32>().unwrap(), 3);
                assert_eq!(future.attempts(), 3);
                let told = bench.told(&future);
                let waits = ["AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying"];
                let expected = [&["Pending", "Running"][..], &waits, &["Completed"]].concat();
                assert_eq!(told.states, expected);
                let attempts: Vec<_> = told
                    .attempts
                    .iter()
                    .map(|end| (end.number, end.outcome.as_str(), end.retry_at.is_some()))
                    .collect();
                let expected = [(1, "failure", true), (2, "failure", true), (3, "value", false)];
                assert_eq!(attempts, expected);
                assert_eq!(told.attempts[0].message.as_deref(), Some("busy: no luck 1"));
                assert_eq!(told.attempts[2].message, None);
            }
        },
    );
}

#[test]
fn the_words_of_a_wait_say_why_and_which_attempt_is_next() {
    on_both(
        |attempt| if attempt.number < 2 { failure("busy") } else { value(1) },
        |bench| {
            for (policy, when) in [(delays(3, &[1_500]), "in 1.5s"), (delays(3, &[0]), "at once")] {
                let token = CancelToken::new();
                let call = with(call("t"), |o| {
                    o.retries = policy;
                    o.cancel = Some(token.clone());
                });
                let waits = bench.submit_elsewhere(call, "AwaitingRetry");
                // It need not be waited for.
                token.cancel();
                let words = format!("busy: no luck 1; attempt 2 of 4 {when}");
                assert_eq!(waits.message.as_deref(), Some(words.as_str()));
            }
        },
    );
}

#[test]
fn a_run_that_fails_to_the_end_keeps_its_last_cause() {
    on_both(
        |_| failure("busy"),
        |bench| {
            let future = bench.executor.submit(with(call("t"), |o| o.retries = delays(2, &[1])));
            let error = future.result(Some(LONG)).unwrap_err().to_string();
            assert!(error.contains("no luck 3"), "{error}");
            assert_eq!((future.attempts(), future.state().name.as_ref()), (3, "Failed"));
            let told = bench.told(&future);
            let causes: Vec<_> =
                told.attempts.iter().map(|end| end.message.clone().unwrap()).collect();
            assert_eq!(
                causes.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
                ["busy: no luck 1", "busy: no luck 2", "busy: no luck 3"]
            );
        },
    );
}

#[test]
fn moments_are_those_of_the_events_clock() {
    let start = Timestamp::from_micros(1_000_000);
    let events = Events::new(Clock::manual(start));
    let script = Script::new(|attempt| {
        attempt.events.clock().advance(Duration::from_millis(3));
        if attempt.number < 2 { failure("busy") } else { value(1) }
    });
    for executor in [inline(&script), pool(&script, 1)] {
        // Another host has a clock of its own: attempts there are dated by how long they took.
        let is_here = IN_THIS_PROCESS || executor.0.id().kind() == "inline";
        let bench = Bench::open(executor, events.clone());
        let future = bench.executor.submit(with(call("t"), |o| o.retries = delays(1, &[7])));
        assert!(future.result(Some(LONG)).is_ok());
        if !is_here {
            continue;
        }
        let told = bench.told(&future);
        let first = &told.attempts[0];
        let after = |from: Timestamp, millis: u64| {
            Timestamp::from_micros(from.as_micros() + millis * 1_000)
        };
        assert_eq!(first.ended, after(first.started, 3));
        assert_eq!(first.retry_at, Some(after(first.ended, 7)));
    }
}

#[test]
fn what_is_of_no_use_to_try_again_is_not() {
    for (outcome, state) in [
        (ended(EndKind::Refused), "Refused"),
        (ended(EndKind::Cancelled), "Cancelled"),
        (failure("invalid-arguments"), "Failed"),
    ] {
        on_both(
            move |_| outcome.clone(),
            |bench| {
                let future =
                    bench.executor.submit(with(call("t"), |o| o.retries = RetryPolicy::times(9)));
                assert_eq!(future.wait(Some(LONG)).name, state);
                assert_eq!(future.attempts(), 1);
            },
        );
    }
}

#[test]
fn a_refused_call_and_a_cached_value_are_no_attempts() {
    let from = RunId::new();
    on_both(
        move |_| Report::cached(value(7).outcome, from),
        |bench| {
            let retried = || {
                with(call("t"), |o| {
                    o.retries = RetryPolicy::times(9);
                    o.cache = Some(CachePolicy::default());
                })
            };
            let refused = bench.executor.submit(retried().refused("odd"));
            assert_eq!(refused.wait(Some(LONG)).name, "Refused");
            let cached = bench.executor.submit(retried());
            assert_eq!(cached.wait(Some(LONG)).name, "Cached");
            for future in [refused, cached] {
                assert_eq!(future.attempts(), 0);
                assert!(bench.told(&future).attempts.is_empty());
            }
        },
    );
}

#[test]
fn an_invoker_that_panics_is_tried_again() {
    on_both(
        |attempt| {
            assert!(attempt.number > 1, "a broken invoker");
            value(1)
        },
        |bench| {
            let future =
                bench.executor.submit(with(call("t"), |o| o.retries = RetryPolicy::times(1)));
            assert_eq!(future.wait(Some(LONG)).name, "Completed");
            assert_eq!(bench.told(&future).attempts[0].outcome, "host-error");
        },
    );
}

#[test]
fn attempts_of_an_earlier_process_count() {
    on_both(
        |_| failure("busy"),
        |bench| {
            let again = with(call("t"), |o| o.retries = RetryPolicy::times(3));
            let future = bench.executor.submit(again.as_run(RunId::new(), 2));
            assert_eq!(future.wait(Some(LONG)).name, "Failed");
            assert_eq!(future.attempts(), 4);
            let told = bench.told(&future);
            let numbers: Vec<u32> = told.attempts.iter().map(|end| end.number).collect();
            assert_eq!(numbers, [3, 4]);
            assert_eq!(told.states, ["Pending", "Retrying", "AwaitingRetry", "Retrying", "Failed"]);
        },
    );
}

#[test]
fn attempts_that_were_cut_off_with_their_process_cost_no_retry() {
    on_both(
        |_| failure("busy"),
        |bench| {
            let again = with(call("t"), |o| o.retries = RetryPolicy::times(3));
            let past = Past { attempts: 3, cut_off: 2, retry_at: None, ..Past::default() };
            let future = bench.executor.submit(again.taken_up(RunId::new(), past));
            assert_eq!(future.wait(Some(LONG)).name, "Failed");
            // One of four was made, so there are three left.
            let told = bench.told(&future);
            let numbers: Vec<u32> = told.attempts.iter().map(|end| end.number).collect();
            assert_eq!((future.attempts(), numbers), (6, vec![4, 5, 6]));
            let waits = bench.events(&future).into_iter().find_map(|kind| match kind {
                EventKind::State(state) if state.name == "AwaitingRetry" => state.message,
                _ => None,
            });
            let waits = waits.expect("it says that it is tried again");
            assert!(waits.ends_with("attempt 5 of 6 at once"), "{waits}");
        },
    );
}

#[test]
fn memory_grows_up_to_what_the_policy_and_the_host_give() {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    on_both(
        move |attempt| {
            sink.lock().push(attempt.call.options.limits.memory);
            ended(EndKind::OutOfMemory)
        },
        |bench| {
            for (most, host, expected) in [
                (u64::MAX, u64::MAX, [100, 200, 400, 800]),
                (300, u64::MAX, [100, 200, 300, 300]),
                (u64::MAX, 250, [100, 200, 250, 250]),
            ] {
                if host != u64::MAX && !IN_THIS_PROCESS {
                    // Another host says what it gives when it is connected to.
                    continue;
                }
                bench.script.max_memory.store(host, Ordering::SeqCst);
                seen.lock().clear();
                let call = with(call("t"), |o| {
                    o.limits = Limits { memory: 100, ..Limits::default() };
                    o.retries = RetryPolicy {
                        memory_factor: Some(2.0),
                        most_memory: most,
                        on: Some([].into()),
                        ..RetryPolicy::times(3)
                    };
                });
                let future = bench.executor.submit(call);
                assert_eq!(kind_of(&future), Some(EndKind::OutOfMemory));
                assert_eq!(*seen.lock(), expected);
            }
        },
    );
}

#[test]
fn a_host_that_cannot_give_the_memory_does_not_hide_why_it_was_asked_for() {
    on_both(
        |attempt| {
            let asked = attempt.call.options.limits.memory;
            ended(if asked > 100 { EndKind::Refused } else { EndKind::OutOfMemory })
        },
        |bench| {
            let call = with(call("t"), |o| {
                o.limits = Limits { memory: 100, ..Limits::default() };
                o.retries = RetryPolicy { memory_factor: Some(2.0), ..RetryPolicy::times(3) };
            });
            let future = bench.executor.submit(call);
            assert_eq!(kind_of(&future), Some(EndKind::OutOfMemory));
            let told = bench.told(&future);
            let ends: Vec<&str> = told.attempts.iter().map(|end| end.outcome.as_str()).collect();
            assert_eq!(ends, ["out-of-memory", "refused"]);
        },
    );
}

#[test]
fn lists_and_exponents_are_kept_to() {
    on_both(
        |_| failure("busy"),
        |bench| {
            let exponential = RetryPolicy {
                delay: RetryDelay::Exponential { base: Duration::from_millis(2), factor: 3.0 },
                ..RetryPolicy::times(4)
            };
            for (policy, least) in [
                (delays(4, &[5, 1, 10]), [5, 1, 10, 10]),
                (RetryPolicy { cap: Duration::from_millis(20), ..exponential }, [2, 6, 18, 20]),
            ] {
                let future = bench.executor.submit(with(call("t"), |o| o.retries = policy));
                assert_eq!(future.wait(Some(LONG)).name, "Failed");
                let attempts = bench.told(&future).attempts;
                for (pair, least) in attempts.windows(2).zip(least) {
                    let planned = pair[0].retry_at.unwrap().since(pair[0].ended);
                    assert_eq!(planned, Duration::from_millis(least));
                    assert!(pair[1].started.since(pair[0].ended) >= planned);
                }
            }
        },
    );
}

#[test]
fn nobody_listens_and_runs_are_tried_again_all_the_same() {
    let script = Script::new(|attempt| if attempt.number < 3 { failure("busy") } else { value(1) });
    for executor in [inline(&script), pool(&script, 1)] {
        let executor = Bench::quiet(executor).executor;
        block_on(executor.start(StartContext::default())).unwrap();
        let future = executor.submit(with(call("t"), |o| o.retries = delays(2, &[1])));
        assert!(future.result(Some(LONG)).is_ok());
        assert_eq!(future.attempts(), 3);
        block_on(executor.shutdown());
    }
}

#[test]
fn events_of_one_run_come_in_their_order() {
    on_both(
        |attempt| if attempt.number < 2 { failure("busy") } else { value(1) },
        |bench| {
            let future = bench.executor.submit(with(call("t"), |o| o.retries = delays(1, &[1])));
            assert!(future.result(Some(LONG)).is_ok());
            let kinds: Vec<&str> = bench
                .events(&future)
                .iter()
                .map(|kind| match kind {
                    EventKind::Submitted(_) => "submitted",
                    EventKind::State(_) => "state",
                    EventKind::Attempt(_) => "attempt",
                    EventKind::Used(_) => "used",
                    _ => "other",
                })
                .collect();
            // Pending, Running, AwaitingRetry after its attempt, Retrying, and the end.
            let expected =
                "submitted state state attempt state state attempt used state".split(' ');
            assert_eq!(kinds, expected.collect::<Vec<_>>());
        },
    );
}
