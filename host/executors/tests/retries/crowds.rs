//! Many runs at once: maps, and that nothing is lost whatever happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use sandmill_core::future::{ReturnWhen, wait};
use sandmill_core::{
    CallOptions, CancelToken, Events, Limits, MapOptions, RetryDelay, RetryPolicy, StartContext,
    TaskFuture,
};
use sandmill_wire::{EndKind, Outcome, Value};

use crate::maker::{IN_THIS_PROCESS, MANY};
use crate::support::{
    Bench, LONG, Script, call, delays, ended, failure, kind_of, message_of, on_both, pool, value,
    with,
};

#[test]
fn fail_fast_looks_at_how_runs_end_and_not_at_their_attempts() {
    on_both(
        |attempt| if attempt.number < 3 { failure("busy") } else { value(1) },
        |bench| {
            let calls = std::iter::repeat_n(with(call("t"), |o| o.retries = delays(2, &[1])), 20);
            let options = MapOptions { window: Some(4), fail_fast: true };
            let list = bench.executor.map(Box::new(calls), options);
            let done = list.into_as_completed(Some(LONG)).map(Result::unwrap);
            assert_eq!(done.filter(|run| run.state().name == "Completed").count(), 20);
        },
    );
}

#[test]
fn very_many_mapped_calls_of_which_some_fail_are_all_counted_within_the_window() {
    const WINDOW: usize = 512;
    // Each hundred does the same; a multiple of it.
    const RUNS: u64 = MANY / 5;
    let script = Script::new(|attempt| {
        let number = attempt.call.map_index.unwrap();
        match number % 10 {
            // One in a hundred never succeeds.
            7 if number % 100 == 7 || attempt.number < 3 => failure("busy"),
            _ => value(number),
        }
    });
    let bench = Bench::quiet(pool(&script, 2));
    block_on(bench.executor.start(StartContext::default())).unwrap();
    let template = with(call("t"), |o| o.retries = delays(2, &[1]));
    let calls = (0..RUNS).map(move |index| template.clone().at_index(index));
    let options = MapOptions { window: Some(WINDOW), fail_fast: false };
    let list = bench.executor.map(Box::new(calls), options);
    let (mut completed, mut failed, mut ahead) = (0, 0, 0);
    for run in list.into_as_completed(Some(LONG * 10)) {
        match run.unwrap().outcome().unwrap() {
            Outcome::Value(_) => completed += 1,
            _ => failed += 1,
        }
        ahead = ahead.max(bench.script.under_way());
    }
    assert_eq!((completed, failed), (RUNS - RUNS / 100, RUNS / 100));
    // A tenth of them were tried three times.
    assert_eq!(bench.script.started() as u64, RUNS + 2 * (RUNS / 10));
    assert!(ahead <= WINDOW, "{ahead} at a time");
}

#[test]
fn whatever_happens_at_once_every_run_ends_once() {
    // On other hosts each costs more, and brings the same to light.
    const RUNS: usize = if IN_THIS_PROCESS { 3_000 } else { 1_000 };
    for round in 0..6 {
        let script = Script::new(|attempt| {
            let number = attempt.call.arguments.decode::<usize>().unwrap();
            match (number + attempt.number as usize) % 3 {
                0 => value(1),
                _ => failure("busy"),
            }
        });
        let bench = Bench::open(pool(&script, 1 + round % 3), Events::default());
        let group = CancelToken::new();
        let runs: Vec<TaskFuture> = (0..RUNS)
            .map(|number| {
                let mut call = with(call("t"), |o| {
                    o.retries = RetryPolicy {
                        jitter: 1.0,
                        delay: RetryDelay::List(
                            [0, 1, 2, number as u64 % 20].map(Duration::from_millis).into(),
                        ),
                        ..RetryPolicy::times(6)
                    };
                    if number % 7 == 0 {
                        o.queue_timeout = Some(Duration::from_millis(number as u64 % 5));
                    }
                    if number % 11 == 0 {
                        let left = Duration::from_millis(number as u64 % 50);
                        o.deadline = Some(Instant::now() + left);
                    }
                    if number % 5 == 0 {
                        o.cancel = Some(group.clone());
                    }
                });
                call.arguments = Value::encode(&number).unwrap();
                bench.executor.submit(call)
            })
            .collect();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| runs.iter().step_by(3).for_each(TaskFuture::cancel));
            scope.spawn(|| runs.iter().rev().step_by(4).for_each(TaskFuture::cancel));
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(3));
                group.cancel();
            });
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                block_on(bench.executor.shutdown());
                stop.store(true, Ordering::SeqCst);
            });
            if round % 2 == 1 {
                thread::sleep(Duration::from_millis(8));
                bench.executor.abort();
            }
        });
        assert!(stop.load(Ordering::SeqCst));
        let unfinished = wait(&runs, Some(LONG), ReturnWhen::All).not_done;
        assert!(unfinished.is_empty(), "{} runs were lost", unfinished.len());
        for run in &runs {
            let told = bench.told(run);
            assert_eq!(told.finals, 1, "{:?}", told.states);
            let made = told.attempts.len();
            assert_eq!(made, run.attempts() as usize, "{:?}", told.states);
            assert!(kind_of(run) != Some(EndKind::HostError), "{}", message_of(run));
        }
    }
}

#[test]
fn options_of_other_calls_of_a_map_stay_as_they_are() {
    on_both(
        |attempt| {
            if attempt.number == 1 && attempt.call.map_index == Some(0) {
                return ended(EndKind::OutOfMemory);
            }
            value(attempt.call.options.limits.memory)
        },
        |bench| {
            let template: CallOptions = CallOptions {
                limits: Limits { memory: 64, ..Limits::default() },
                retries: RetryPolicy { memory_factor: Some(2.0), ..RetryPolicy::times(1) },
                ..CallOptions::default()
            };
            let template = call("t").with_options(template);
            let calls = (0..3).map(move |index| template.clone().at_index(index));
            let list = bench.executor.map(Box::new(calls), MapOptions::default());
            let given: Vec<u64> = list
                .futures(Some(LONG))
                .iter()
                .map(|run| run.result(Some(LONG)).unwrap().decode().unwrap())
                .collect();
            assert_eq!(given, [128, 64, 64]);
        },
    );
}
