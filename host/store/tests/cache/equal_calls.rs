//! Equal calls that are under way at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sandmill_core::{CachePolicy, CallOptions, CancelToken, Limits, Report, Usage};
use sandmill_wire::{End, EndKind, Outcome, RunId};

use crate::common::{Fixture, LONG, echo, pure};

#[test]
fn a_thousand_equal_runs_make_one_execution() {
    let it = Fixture::new(|attempt| {
        std::thread::sleep(Duration::from_millis(50));
        echo(attempt)
    });
    let next = AtomicUsize::new(0);
    let from = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::SeqCst) < 1_000 {
                    let (run, report) = it.invoke(&pure(r#"{"a":1}"#));
                    assert!(report.outcome.is_success());
                    from.lock().insert(report.cached_from.unwrap_or(run));
                }
            });
        }
    });
    assert_eq!(it.made(), 1);
    assert_eq!(from.into_inner().len(), 1, "they all have the value of one run");
}

#[test]
fn when_the_one_that_runs_fails_the_next_one_runs() {
    let tries = AtomicUsize::new(0);
    let it = Fixture::new(move |attempt| {
        std::thread::sleep(Duration::from_millis(20));
        if tries.fetch_add(1, Ordering::SeqCst) < 3 {
            return Report::unstarted(End::new(EndKind::HostError, "not yet"));
        }
        echo(attempt)
    });
    let values = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let (_, report) = it.invoke(&pure("{}"));
                values.fetch_add(usize::from(report.outcome.is_success()), Ordering::SeqCst);
            });
        }
    });
    assert_eq!(it.made(), 4);
    assert_eq!(values.into_inner(), 13, "three failed, and one value is everybody else's");
}

#[test]
fn when_the_value_cannot_be_shared_the_others_run_at_once() {
    let (count, all_in) = (AtomicUsize::new(0), Barrier::new(7));
    let it = Fixture::new(move |attempt| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            // Until all the others wait: one that came later would lead, and never meet them all.
            std::thread::sleep(Duration::from_millis(500));
        } else {
            // Passed only when all the others run at the same time.
            all_in.wait();
        }
        let usage = Usage { read_context: true, ..Usage::default() };
        Report { usage, ..echo(attempt) }
    });
    let it = &it;
    let started = &Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                started.wait();
                assert_eq!(it.invoke(&pure("{}")).1.cached_from, None);
            });
        }
    });
    assert_eq!(it.made(), 8);
}

#[test]
fn an_invoker_that_panics_leaves_nobody_waiting() {
    let tries = AtomicUsize::new(0);
    let it = Fixture::new(move |attempt| {
        assert!(tries.fetch_add(1, Ordering::SeqCst) > 0, "the first one panics");
        echo(attempt)
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| it.invoke(&pure("{}")));
        assert!(first.join().is_err());
    });
    assert!(it.invoke(&pure("{}")).1.outcome.is_success());
}

/// A run that goes on until it is told to end, and others that wait for it.
struct Blocked {
    it: Fixture,
    entered: Arc<Barrier>,
    release: Arc<AtomicBool>,
}

impl Blocked {
    fn new() -> Self {
        let (entered, release) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
        let (inside, free) = (Arc::clone(&entered), Arc::clone(&release));
        let it = Fixture::new(move |attempt| {
            inside.wait();
            let begun = Instant::now();
            while !free.load(Ordering::SeqCst) {
                assert!(begun.elapsed() < LONG, "nobody lets it go");
                std::thread::sleep(Duration::from_millis(1));
            }
            echo(attempt)
        });
        Self { it, entered, release }
    }
}

#[test]
fn a_run_that_waits_can_be_cancelled() {
    let Blocked { it, entered, release } = Blocked::new();
    let token = CancelToken::new();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| it.invoke(&pure("{}")));
        entered.wait();
        let waiting = scope.spawn(|| it.invoke_as(RunId::new(), &pure("{}"), &token));
        std::thread::sleep(Duration::from_millis(20));
        token.cancel();
        let report = waiting.join().unwrap();
        assert!(matches!(&report.outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled));
        // One that is cancelled before it waits, too.
        let report = it.invoke_as(RunId::new(), &pure("{}"), &token);
        assert!(matches!(&report.outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled));
        release.store(true, Ordering::SeqCst);
        assert!(leader.join().unwrap().1.outcome.is_success());
    });
    assert_eq!(it.made(), 1);
}

#[test]
fn a_run_waits_no_longer_than_its_own_attempt_may_take() {
    let Blocked { it, entered, release } = Blocked::new();
    let limits = Limits { timeout: Duration::from_millis(30), ..Limits::default() };
    let options =
        CallOptions { limits, cache: Some(CachePolicy::default()), ..CallOptions::default() };
    let hasty = pure("{}").with_options(options);
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| it.invoke(&pure("{}")));
        entered.wait();
        let (_, report) = it.invoke(&hasty);
        assert!(matches!(&report.outcome, Outcome::Ended(end) if end.kind == EndKind::TimedOut));
        release.store(true, Ordering::SeqCst);
        leader.join().unwrap();
    });
    assert_eq!(it.made(), 1);
}
