//! Runs that were tried before their flow was left: when they are tried again once it is taken up,
//! and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::history::History;
use crate::support::{Bench, ScriptedInvoker, failure, plan, value};
use sandmill_core::{AttemptEnd, Clock, EventKind, StateType, Timestamp};
use sandmill_flow::FlowRunFuture;
use sandmill_store::{Recorded, RunKey, RunRecord};
use sandmill_wire::{End, EndKind, Outcome};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));
const KEY: RunKey = RunKey { stage: 0, index: None };

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE.unwrap(), "{what}: not so for a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn was_told(bench: &Bench, name: &str) -> bool {
    let is_it = |kind: &EventKind| matches!(kind, EventKind::State(state) if state.name == name);
    bench.log.events().iter().any(|event| is_it(&event.kind))
}

fn record(history: &History, flow: &FlowRunFuture) -> (RunRecord, Vec<AttemptEnd>) {
    let reader = history.reader();
    let runs = reader.runs(flow.id(), &Default::default()).unwrap();
    let attempts = reader.attempts(flow.id(), KEY).unwrap();
    (runs[0].clone(), attempts)
}

fn interrupt(flow: &FlowRunFuture) {
    flow.interrupt("for later");
    assert_eq!(flow.wait(PATIENCE).kind, StateType::Cancelled);
}

/// Fails the first attempt, and gives the number of the one that does not.
fn fails_once() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, _| match attempt.number {
        1 => failure("not yet"),
        number => value(json!(number)),
    })
}

const LATER: &str = "tasks.a = { call = 't.work', arguments.x = 1, \
     retries = { times = 2, delay = '900ms' } }\nflow.result = 'a.result'";

#[test]
fn a_run_that_waited_for_its_retry_waits_for_it_when_its_flow_is_taken_up() {
    for open in [Bench::inline as fn(_) -> _, |invoker| Bench::pool(invoker, 2)] {
        let mut history = History::new();
        let bench = open(fails_once());
        let flow = bench.start_new(&history, plan(LATER));
        until("it awaits its retry", || was_told(&bench, "AwaitingRetry"));
        interrupt(&flow);
        history.reopen();
        let (_, attempts) = record(&history, &flow);
        let due = attempts[0].retry_at.expect("it was to be tried again");
        assert!(matches!(
            history.recorded(flow.id(), 0, None),
            Some(Recorded::Unfinished { attempts: 1, .. })
        ));

        // Left once more while it waits: it is due at the same time.
        let (bench, again) = (open(fails_once()), Instant::now());
        let flow = bench.resume(&history, flow.id(), plan(LATER));
        until("it is taken up", || was_told(&bench, "AwaitingRetry") || flow.is_done());
        history.store().sync(None).unwrap();
        let (run, _) = record(&history, &flow);
        if Clock::system().now() < due {
            assert_eq!(run.state.name, "AwaitingRetry", "{run:?} after {:?}", again.elapsed());
        }
        interrupt(&flow);
        assert!(!was_told(&bench, "Retrying") || Clock::system().now() >= due);

        let bench = open(fails_once());
        let flow = bench.resume(&history, flow.id(), plan(LATER));
        assert_eq!(flow.result(PATIENCE).unwrap().decode::<u32>().unwrap(), 2);
        let (run, attempts) = record(&history, &flow);
        assert_eq!((run.attempts, attempts.len()), (2, 2));
        assert_eq!(attempts[0].retry_at, Some(due));
        assert!(attempts[1].started >= due, "{attempts:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_keeps_no_run_waiting() {
    let history = History::new();
    let run = sandmill_wire::RunId::new();
    let journal =
        crate::support::history::create(history.store(), sandmill_wire::RunId::new(), None);
    let flow = journal.flow();
    let at = Timestamp::from_micros(Clock::system().now().as_micros() + 86_400_000_000);
    journal.submitted(KEY, run, &"a".into(), [0; 16], at);
    let outcome = Outcome::Ended(End::new(EndKind::TimedOut, "in its way"));
    let usage = Default::default();
    let end = AttemptEnd {
        number: 1,
        started: at,
        ended: at,
        outcome: outcome.name().to_owned(),
        message: None,
        usage,
        retry_at: Some(at),
    };
    journal.attempt(KEY, run, &end);
    journal.sync(None).unwrap();
    drop(journal);
    let bench = Bench::pool(fails_once(), 1);
    let flow = bench.resume(&history, flow, plan(LATER));
    assert_eq!(flow.result(PATIENCE).unwrap().decode::<u32>().unwrap(), 2);
}

#[test]
fn a_cancel_ends_a_run_that_was_taken_up_and_is_not_due() {
    let text = LATER.replace("900ms", "100s");
    let history = History::new();
    let bench = Bench::pool(fails_once(), 1);
    let flow = bench.start_new(&history, plan(&text));
    until("it awaits its retry", || was_told(&bench, "AwaitingRetry"));
    interrupt(&flow);
    let bench = Bench::pool(fails_once(), 1);
    let flow = bench.resume(&history, flow.id(), plan(&text));
    until("it awaits its retry again", || was_told(&bench, "AwaitingRetry"));
    flow.cancel();
    assert_eq!(flow.wait(PATIENCE).kind, StateType::Cancelled);
    let (run, attempts) = record(&history, &flow);
    assert_eq!((run.state.name.as_ref(), run.attempts, attempts.len()), ("Cancelled", 1, 1));
}

const TWICE: &str = "tasks.a = { call = 't.work', arguments.x = 1, retries = 2 }\n\
     flow.result = 'a.result'";

#[test]
fn attempts_that_an_interruption_cut_off_cost_no_retry_and_are_kept() {
    for open in [Bench::inline as fn(_) -> _, |invoker| Bench::pool(invoker, 2)] {
        let history = History::new();
        let hangs = || {
            ScriptedInvoker::new(|attempt, _| {
                until("it is stopped", || attempt.cancel.is_cancelled());
                End::new(EndKind::Cancelled, "stopped").into()
            })
        };
        let bench = open(hangs());
        let mut flow = bench.start_new(&history, plan(TWICE));
        let mut benches = vec![bench];
        for round in 0..5 {
            if round > 0 {
                let bench = open(hangs());
                flow = bench.resume(&history, flow.id(), plan(TWICE));
                benches.push(bench);
            }
            let bench = &benches[round];
            until("it runs", || {
                bench.log.events().iter().any(|event| {
                event.run != flow.id()
                    && matches!(&event.kind, EventKind::State(state) if state.kind == StateType::Running)
            })
            });
            interrupt(&flow);
        }
        // It has all its tries left: the first and two more.
        let tries = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tries);
        let bench = open(ScriptedInvoker::new(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            failure("on purpose")
        }));
        let flow = bench.resume(&history, flow.id(), plan(TWICE));
        assert_eq!(flow.wait(PATIENCE).kind, StateType::Failed);
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        let (run, attempts) = record(&history, &flow);
        let ends: Vec<_> = attempts.iter().map(|end| (end.number, &*end.outcome)).collect();
        assert_eq!(run.attempts, 8);
        let expected: Vec<_> = (1..=8)
            .map(|number| (number, if number <= 5 { "cancelled" } else { "failure" }))
            .collect();
        assert_eq!(ends, expected);
    }
}
