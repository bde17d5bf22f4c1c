//! Flows that are written down, stopped somewhere, and taken up again: what had ended is not
//! called again, and they come to the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::history::History;
use crate::support::{Bench, ScriptedInvoker, failure, plan, value};
use parking_lot::Mutex;
use sandmill_core::{EventKind, StateType};
use sandmill_flow::{FlowRunFuture, FlowStopper, JOURNAL_MISMATCH, Plan, Rerun, Reuse};
use sandmill_store::Recorded;
use sandmill_wire::{End, EndKind, Outcome, RunId};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// What an invoker of these tests did, and when it interrupts its flow.
#[derive(Default)]
struct Outside {
    /// How many times each run gave its end.
    ended: Mutex<BTreeMap<String, usize>>,
    calls: AtomicUsize,
    /// With which call, from 0, the flow is interrupted.
    interrupt_at: AtomicUsize,
    flow: Mutex<Option<FlowStopper>>,
}

impl Outside {
    fn new() -> Arc<Self> {
        let outside = Self::default();
        outside.undisturbed();
        Arc::new(outside)
    }

    /// `list` gives `of`, `work` doubles `x`, `merge` gives its arguments back; `fail` fails, but
    /// for an even `x`.
    fn invoker(self: &Arc<Self>) -> Arc<ScriptedInvoker> {
        let outside = Arc::clone(self);
        ScriptedInvoker::new(move |attempt, arguments| {
            let call = outside.calls.fetch_add(1, Ordering::SeqCst);
            if call == outside.interrupt_at.load(Ordering::SeqCst) {
                // The test has it in its hands only after it was started.
                let stopper = loop {
                    if let Some(stopper) = outside.flow.lock().clone() {
                        break stopper;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                };
                stopper.interrupt("by the test");
            }
            if attempt.cancel.is_cancelled() {
                return End::new(EndKind::Cancelled, "stopped").into();
            }
            let outcome = match &*attempt.call.task {
                "list" => value(arguments["of"].clone()),
                "work" => value(json!(arguments["x"].as_i64().unwrap_or(0) * 2)),
                "fail" if arguments["x"].as_i64().is_none_or(|x| x % 2 == 1) => {
                    failure("on purpose")
                }
                _ => value(arguments.clone()),
            };
            let name = attempt.call.run_name().to_string();
            *outside.ended.lock().entry(name).or_default() += 1;
            outcome
        })
    }

    /// Starts a flow that is interrupted with its call number `call`.
    fn interrupted(&self, call: usize, start: impl FnOnce() -> FlowRunFuture) -> FlowRunFuture {
        *self.flow.lock() = None;
        self.interrupt_at.store(self.calls.load(Ordering::SeqCst) + call, Ordering::SeqCst);
        let future = start();
        *self.flow.lock() = Some(future.stopper());
        future
    }

    fn undisturbed(&self) {
        self.interrupt_at.store(usize::MAX, Ordering::SeqCst);
    }
}

const CHAIN: &str = "tasks.a = { call = 't.list', arguments.of = [1, 2, 3, 4, 5] }
     tasks.b = { call = 't.fail', arguments.x = { map = 'a.result' } }
     tasks.c = { call = 't.work', arguments.x = { map = 'a.result' } }
     tasks.d = { call = 't.work', arguments.x = { map = 'c.result' } }
     tasks.e = { call = 't.merge', arguments.all = { from = 'd.result' } }
     flow.result = 'e.result'";
/// How many calls that flow makes.
const CHAIN_CALLS: usize = 17;

fn benches(outside: &Arc<Outside>) -> [Bench; 2] {
    [Bench::inline(outside.invoker()), Bench::pool(outside.invoker(), 3)]
}

fn bytes(future: &FlowRunFuture) -> Vec<u8> {
    future.result(PATIENCE).unwrap_or_else(|error| panic!("{error}")).as_bytes().to_vec()
}

/// The runs of a flow by name, with what the history says of them.
fn states(history: &History, flow: RunId) -> BTreeMap<String, String> {
    let reader = history.reader();
    let stages = reader.stages(flow).unwrap();
    let name = |stage: u32| {
        stages.iter().find(|of| of.stage.stage == stage).map(|of| of.stage.name.to_string())
    };
    let runs = reader.runs(flow, &Default::default()).unwrap();
    let shown = |index: Option<u64>| index.map(|index| format!("[{index}]")).unwrap_or_default();
    runs.iter()
        .map(|run| {
            let name = name(run.key.stage).expect("its stage is known");
            (format!("{name}{}", shown(run.key.index)), run.state.name.to_string())
        })
        .collect()
}

#[test]
fn a_flow_that_is_interrupted_anywhere_goes_on_from_there() {
    let undisturbed = {
        let (outside, history) = (Outside::new(), History::new());
        let bench = Bench::inline(outside.invoker());
        let future = bench.start_new(&history, plan(CHAIN));
        let bytes = bytes(&future);
        assert_eq!(outside.calls.load(Ordering::SeqCst), CHAIN_CALLS);
        (bytes, states(&history, future.id()))
    };
    for executor in 0..2 {
        for call in 0..CHAIN_CALLS {
            let (outside, mut history) = (Outside::new(), History::new());
            let bench = benches(&outside).into_iter().nth(executor).unwrap();
            let start = || bench.start_new(&history, plan(CHAIN));
            let future = outside.interrupted(call, start);
            let state = future.wait(PATIENCE);
            let run = future.id();
            drop((future, bench));
            if state.kind == StateType::Completed {
                // It was done before it came to that.
                assert!(call + 4 > CHAIN_CALLS, "{call}");
                continue;
            }
            assert_eq!(state.kind, StateType::Cancelled, "{state}");
            assert_eq!(state.message.as_deref(), Some("interrupted; by the test"));
            history.reopen();
            let flow = history.reader().flow(run).unwrap().unwrap();
            assert_eq!((flow.state.kind, &*flow.state.name), (StateType::Paused, "Interrupted"));

            outside.undisturbed();
            let bench = benches(&outside).into_iter().nth(executor).unwrap();
            let future = bench.resume(&history, run, plan(CHAIN));
            assert_eq!(bytes(&future), undisturbed.0, "interrupted at {call}");
            assert_eq!(states(&history, run), undisturbed.1, "interrupted at {call}");
            let ended = outside.ended.lock();
            assert_eq!(ended.len(), CHAIN_CALLS);
            assert!(ended.values().all(|times| *times == 1), "interrupted at {call}: {ended:?}");
            let report = future.report();
            assert_eq!(report.done() as usize, CHAIN_CALLS);
            let flow = history.reader().flow(run).unwrap().unwrap();
            assert_eq!(flow.state.kind, StateType::Completed);
        }
    }
}

/// What such a map starts depends on the order in which its runs end, which is another each time.
#[test]
fn a_map_that_ends_by_its_failures_goes_on_with_the_runs_that_it_had_started() {
    const MAP: &str = "tasks.b = { call = 't.fail', arguments.x = \
             { map = [1, 3, 2, 5, 4, 7, 9, 6, 11, 8] }, max_failures = 2 }
         tasks.c = { call = 't.merge', arguments.all = { from = 'b.result', errors = 'skip' } }
         flow.result = 'c.result'";
    for executor in 0..2 {
        for call in 0..8 {
            let (outside, mut history) = (Outside::new(), History::new());
            let bench = benches(&outside).into_iter().nth(executor).unwrap();
            let future = outside.interrupted(call, || bench.start_new(&history, plan(MAP)));
            let state = future.wait(PATIENCE);
            let run = future.id();
            drop((future, bench));
            if state.kind == StateType::Completed {
                continue;
            }
            let started = states(&history, run);
            history.reopen();
            outside.undisturbed();
            let bench = benches(&outside).into_iter().nth(executor).unwrap();
            let future = bench.resume(&history, run, plan(MAP));
            bytes(&future);
            let ended = outside.ended.lock();
            assert!(ended.values().all(|times| *times == 1), "interrupted at {call}: {ended:?}");
            // What waited for a slot when there were failures enough never starts.
            let after = states(&history, run);
            for name in started.keys().filter(|name| name.starts_with("b[")) {
                let swept = after.get(name).is_some_and(|state| state == "Cancelled");
                let what = format!("interrupted at {call}: {name} of {ended:?}");
                assert!(ended.contains_key(name) != swept, "{what}");
            }
        }
    }
}

#[test]
fn runs_that_had_ended_are_told_of_and_counted_as_reused() {
    let (outside, history) = (Outside::new(), History::new());
    let bench = Bench::inline(outside.invoker());
    let future = outside.interrupted(6, || bench.start_new(&history, plan(CHAIN)));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    let run = future.id();
    outside.undisturbed();

    let bench = Bench::inline(outside.invoker());
    let future = bench.resume(&history, run, plan(CHAIN));
    bytes(&future);
    let reused: u64 = future.report().stages.iter().map(|stage| stage.reused).sum();
    assert_eq!(reused, 6);
    // Every run is told of, so that displays are right, and the failed ones have failed.
    assert_eq!(bench.log.ends().len(), CHAIN_CALLS + 1);
    assert_eq!(future.report().failed_count(), 3);
    let ids = |log: &crate::support::Log| -> BTreeMap<String, RunId> {
        let events = log.events();
        let submitted = events.iter().filter_map(|event| match &event.kind {
            EventKind::Submitted(submitted) => Some((submitted.name.to_string(), event.run)),
            _ => None,
        });
        submitted.collect()
    };
    // And they are the runs that they were.
    let recorded = history.reader().runs(run, &Default::default()).unwrap();
    let told = ids(&bench.log);
    for record in recorded {
        assert!(told.values().any(|id| *id == record.run), "{record:?}");
    }
}

#[test]
fn a_run_under_way_keeps_its_id_and_counts_its_attempts() {
    let (outside, history) = (Outside::new(), History::new());
    let bench = Bench::inline(outside.invoker());
    let one = "tasks.a = { call = 't.work', arguments.x = 1 }\nflow.result = 'a.result'";
    let future = outside.interrupted(0, || bench.start_new(&history, plan(one)));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    let Some(Recorded::Unfinished { run, .. }) = history.recorded(future.id(), 0, None) else {
        panic!("the run is under way still");
    };
    outside.undisturbed();
    let again = bench.resume(&history, future.id(), plan(one));
    bytes(&again);
    let records = history.reader().runs(future.id(), &Default::default()).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].run, records[0].attempts), (run, 2));
}

#[test]
fn cancelled_is_for_good_and_interrupted_is_not() {
    let history = History::new();
    let slow = ScriptedInvoker::new(|attempt, _| {
        while !attempt.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        End::new(EndKind::Cancelled, "stopped").into()
    });
    let tasks = "tasks.a = { call = 't.slow', arguments.x = { map = [1, 2, 3, 4, 5, 6, 7, 8] } }";
    for interrupt in [true, false] {
        let bench = Bench::pool(Arc::clone(&slow), 1);
        let future = bench.start_new(&history, plan(tasks));
        while !future.report().stages.iter().any(|stage| stage.running > 0) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if interrupt {
            future.interrupt("for later");
        } else {
            future.cancel();
        }
        assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
        let names: Vec<String> = states(&history, future.id()).into_values().collect();
        let expected = if interrupt { "Interrupted" } else { "Cancelled" };
        assert!(!names.is_empty() && names.iter().all(|name| name == expected), "{names:?}");
        let taken_up = history.store().take_up(future.id(), bench.events.clock().now());
        assert_eq!(taken_up.is_ok(), interrupt, "{taken_up:?}");
    }
}

#[test]
fn a_flow_that_says_other_things_than_its_journal_ends_with_both() {
    let (outside, history) = (Outside::new(), History::new());
    let bench = Bench::inline(outside.invoker());
    let tasks = "tasks.a = { call = 't.work', arguments.x = 1 }
         tasks.b = { call = 't.work', arguments.x = { from = 'a.result' } }
         tasks.c = { call = 't.work', arguments.x = { from = 'b.result' } }";
    let future = outside.interrupted(2, || bench.start_new(&history, plan(tasks)));
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    let changed = plan(&tasks.replace("x = 1", "x = 2"));
    let future = bench.resume(&history, future.id(), changed);
    let error = future.result(PATIENCE).unwrap_err().to_string();
    assert!(error.contains(JOURNAL_MISMATCH), "{error}");
    assert!(error.contains("`a`") && error.contains(r#"{"x":2}"#), "{error}");
    assert_eq!(outside.calls.load(Ordering::SeqCst), 3, "nothing was called");
}

/// Five runs of which the odd ones fail the first time, and one that depends on them.
const PARTLY: &str = "tasks.a = { call = 't.fail', arguments.x = { map = [1, 2, 3, 4, 5] } }
     tasks.g = { call = 't.fail', arguments.x = { map = [2, 4] }, grants.clock = true }
     tasks.e = { call = 't.merge', arguments.all = { from = 'a.result' } }
     flow.result = 'e.result'";

fn mending(broken: &Arc<AtomicBool>) -> Arc<ScriptedInvoker> {
    let broken = Arc::clone(broken);
    ScriptedInvoker::new(move |attempt, arguments| {
        let odd = arguments["x"].as_i64().is_some_and(|x| x % 2 == 1);
        match &*attempt.call.task {
            "fail" if odd && broken.load(Ordering::SeqCst) => failure("on purpose"),
            _ => value(arguments.clone()),
        }
    })
}

#[test]
fn a_flow_run_again_uses_what_still_applies() {
    let history = History::new();
    let broken = Arc::new(AtomicBool::new(true));
    let bench = Bench::inline(mending(&broken));
    let first = bench.start_new(&history, plan(PARTLY));
    assert_eq!(first.wait(PATIENCE).kind, StateType::Failed);
    broken.store(false, Ordering::SeqCst);
    let started = |reuse: Reuse, plan: Arc<Plan>| {
        let invoker = mending(&broken);
        let bench = Bench::inline(Arc::clone(&invoker));
        let future = bench.rerun(&history, Rerun { of: first.id(), reuse }, plan);
        bytes(&future);
        let states = states(&history, future.id());
        let cached = states.iter().filter(|(_, state)| *state == "Cached");
        (invoker.started(), cached.map(|(name, _)| name.clone()).collect::<Vec<_>>(), future)
    };
    // What nothing was granted to is the same again; what failed, or was granted something, is not
    // used.
    let (calls, cached, future) = started(Reuse::Pure, plan(PARTLY));
    assert_eq!(calls, ["a[0]", "a[2]", "a[4]", "e", "g[0]", "g[1]"]);
    assert_eq!(cached, ["a[1]", "a[3]"]);
    assert_eq!(future.report().stages[0].reused, 2);
    let old = history.reader().runs(first.id(), &Default::default()).unwrap();
    let new = history.reader().runs(future.id(), &Default::default()).unwrap();
    for record in new.iter().filter(|record| &*record.state.name == "Cached") {
        let of = old.iter().find(|old| old.key == record.key).unwrap();
        assert_eq!(record.value_of, Some(of.run));
        assert_ne!(record.run, of.run);
        assert!(record.state.message.as_ref().unwrap().contains(&of.run.to_string()));
    }
    // All that completed.
    let (calls, cached, _) = started(Reuse::Completed, plan(PARTLY));
    assert_eq!(calls, ["a[0]", "a[2]", "a[4]", "e"]);
    assert_eq!(cached, ["a[1]", "a[3]", "g[0]", "g[1]"]);
    // Other arguments are another call.
    let other = plan(&PARTLY.replace("[1, 2, 3, 4, 5]", "[1, 6, 3, 4, 5]"));
    let (calls, cached, _) = started(Reuse::Completed, other);
    assert_eq!(calls, ["a[0]", "a[1]", "a[2]", "a[4]", "e"]);
    assert_eq!(cached, ["a[3]", "g[0]", "g[1]"]);
    // And so is another task.
    let other =
        plan(&PARTLY.replace("tasks.g = { call = 't.fail'", "tasks.g = { call = 't.merge'"));
    let (calls, cached, _) = started(Reuse::Completed, other);
    assert_eq!(calls, ["a[0]", "a[2]", "a[4]", "e", "g[0]", "g[1]"]);
    assert_eq!(cached, ["a[1]", "a[3]"]);
}

#[test]
fn what_a_wrapping_executor_grants_keeps_results_from_being_taken_for_pure() {
    let history = History::new();
    let broken = Arc::new(AtomicBool::new(false));
    let bench = Bench::inline(mending(&broken));
    let first = bench.start_new(&history, plan(PARTLY));
    bytes(&first);
    let invoker = mending(&broken);
    let bench = Bench::inline(Arc::clone(&invoker));
    let journal = crate::support::history::create(history.store(), RunId::new(), Some(first.id()));
    let options = sandmill_flow::StartOptions {
        journal: Some(journal),
        rerun: Some(Rerun { of: first.id(), reuse: Reuse::Pure }),
        granted: true,
        ..Default::default()
    };
    bytes(&bench.runner().start_with(plan(PARTLY), options));
    assert_eq!(invoker.started().len(), 8);
}

#[test]
fn a_flow_based_on_another_goes_on_with_what_it_had_used() {
    let history = History::new();
    let broken = Arc::new(AtomicBool::new(true));
    let bench = Bench::inline(mending(&broken));
    let first = bench.start_new(&history, plan(PARTLY));
    assert_eq!(first.wait(PATIENCE).kind, StateType::Failed);
    let (outside, rerun) = (Outside::new(), Rerun { of: first.id(), reuse: Reuse::Completed });
    let bench = Bench::inline(outside.invoker());
    let second = outside.interrupted(1, || bench.rerun(&history, rerun, plan(PARTLY)));
    assert_eq!(second.wait(PATIENCE).kind, StateType::Cancelled);
    broken.store(false, Ordering::SeqCst);
    let invoker = mending(&broken);
    let bench = Bench::inline(Arc::clone(&invoker));
    let options = sandmill_flow::StartOptions {
        journal: Some(history.take_up(second.id())),
        rerun: Some(rerun),
        ..Default::default()
    };
    let third = bench.runner().start_with(plan(PARTLY), options);
    // The first run of `a` had failed by then, and that is its end.
    assert_eq!(third.wait(PATIENCE).kind, StateType::Failed);
    assert_eq!(invoker.started(), ["a[2]", "a[4]"]);
    assert_eq!(states(&history, second.id())["a[1]"], "Cached");
}

#[test]
fn a_long_map_is_written_down_in_bounded_memory_and_taken_up_quickly() {
    const RUNS: usize = 100_000;
    let (calls, history) = (Arc::new(AtomicUsize::new(0)), History::new());
    let invoker = |calls: &Arc<AtomicUsize>| {
        let calls = Arc::clone(calls);
        ScriptedInvoker::new(move |attempt, arguments| match &*attempt.call.task {
            "list" => value(json!((0..RUNS).collect::<Vec<_>>())),
            "work" => {
                calls.fetch_add(1, Ordering::SeqCst);
                value(json!(arguments["x"].as_i64().unwrap_or(0) * 2))
            }
            "slow" => {
                while !attempt.cancel.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Outcome::Ended(End::new(EndKind::Cancelled, "stopped"))
            }
            _ => value(json!(arguments["x"].as_array().map_or(0, Vec::len))),
        })
    };
    let tasks = "tasks.a.call = 't.list'
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.s = { call = 't.slow', after = ['b'] }
         tasks.d = { call = 't.merge', arguments.x = { from = 'b.result' }, after = ['s'] }
         flow.result = 'd.result'";
    let before = resident();
    let bench = Bench::pool(invoker(&calls), 2);
    let future = bench.start_new(&history, plan(tasks));
    while future.report().stages[1].done() < RUNS as u64 {
        assert!(!future.is_done(), "{}", future.state());
        std::thread::sleep(Duration::from_millis(5));
    }
    future.interrupt("enough");
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    // The invoker of the tests keeps 100,000 names, and the log as many events.
    let grown = resident().saturating_sub(before);
    assert!(grown < 400 << 20, "{} MiB", grown >> 20);
    drop(bench);

    let quick = ScriptedInvoker::new(|_, arguments| {
        value(json!(arguments["x"].as_array().map_or(0, Vec::len)))
    });
    let bench = Bench::pool(Arc::clone(&quick), 2);
    let started = std::time::Instant::now();
    let future = bench.resume(&history, future.id(), plan(tasks));
    assert_eq!(future.result(PATIENCE).unwrap().to_json_string(), RUNS.to_string());
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(quick.started(), ["s", "d"]);
    assert_eq!(calls.load(Ordering::SeqCst), RUNS);
    assert_eq!(future.report().stages[1].reused, RUNS as u64);
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|n| n.parse().ok());
    kib.unwrap_or(0_usize) << 10
}
