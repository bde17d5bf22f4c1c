//! Flow components on real executors: what they call, wait for, cancel and let go of, with and
//! without a history, and flows inside of flows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::guest::{Guest, at, detached, each, json_of, known, one, result, target, value};
use crate::support::history::{History, create};
use sandmill_core::{
    Clock, Events, Executor, FlowArgument, FlowCalls, FlowElements, FlowInvoker, FlowNext,
    FlowReturnWhen, FlowWatched, Invoker, StartContext,
};
use sandmill_executors::{InlineExecutor, PoolConfig, PoolExecutor};
use sandmill_flow::{
    ComponentFlow, ComponentSubFlows, FlowRunFuture, FlowRunner, MAX_FLOW_DEPTH, Rerun, Reuse,
    StartOptions, SubFlowJournals,
};
use sandmill_store::Journal;
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};
use serde_json::{Value as Json, json};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn pool(guest: &Arc<Guest>) -> Arc<dyn Executor> {
    let invoker = Arc::clone(guest) as Arc<dyn Invoker>;
    Arc::new(PoolExecutor::new(invoker, PoolConfig { slots: 4, ..PoolConfig::default() }))
}

fn runner(executor: Arc<dyn Executor>) -> FlowRunner {
    let events = Events::new(Clock::system());
    let context = StartContext { events: events.clone() };
    futures::executor::block_on(executor.start(context)).expect("the executor starts");
    FlowRunner::new(executor, events)
}

fn start(runner: &FlowRunner, flow: ComponentFlow, journal: Option<Journal>) -> FlowRunFuture {
    let run = journal.as_ref().map_or_else(RunId::new, Journal::flow);
    let program = flow.program(run, journal.as_ref(), runner.events());
    runner
        .start_program(program, StartOptions { id: Some(run), journal, ..StartOptions::default() })
}

fn run(runner: &FlowRunner, guest: &Arc<Guest>) -> Outcome {
    let future = start(runner, guest.flow(), None);
    assert!(future.wait(PATIENCE).is_final(), "the flow does not end");
    future.outcome().expect("it has ended")
}

fn number(outcome: &Outcome) -> Json {
    outcome.value().map_or_else(|| panic!("{outcome:?}"), json_of)
}

/// Maps, takes results as completed, and reduces.
fn map_and_sum(calls: &mut dyn FlowCalls, count: u64) -> Result<Json, End> {
    let list: Vec<u64> = (0..count).collect();
    let map = calls.map(target("double"), vec![each("n", &json!(list))], vec![])?;
    let set = calls.watch()?;
    calls.add_watched(set, FlowWatched::All(map))?;
    calls.let_go(FlowWatched::All(map));
    let mut sum = 0;
    while let FlowNext::Completed { key, .. } = calls.next(set, None)? {
        sum += result(calls, key)?.as_u64().expect("a number");
        calls.let_go(FlowWatched::One(key));
    }
    calls.unwatch(set);
    Ok(json!(sum))
}

#[test]
fn a_flow_maps_and_reduces_on_both_executors() {
    for inline in [true, false] {
        let guest = Guest::new(|_, calls| {
            let list: Vec<u64> = (0..100).collect();
            let map = calls.map(target("double"), vec![each("n", &json!(list))], vec![])?;
            let more = vec![("n".to_owned(), FlowElements::Results(map))];
            let more = calls.map(target("double"), more, vec![])?;
            let sum = vec![("numbers".to_owned(), FlowArgument::Results(more))];
            let sum = calls.submit(target("sum"), sum)?;
            Ok(Outcome::Value(value(&result(calls, one(sum))?)))
        });
        let executor: Arc<dyn Executor> = match inline {
            true => Arc::new(InlineExecutor::new(Arc::clone(&guest) as Arc<dyn Invoker>)),
            false => pool(&guest),
        };
        assert_eq!(number(&run(&runner(executor), &guest)), json!(19_800));
        assert_eq!(guest.started().len(), 201);
    }
}

#[test]
fn waits_end_with_what_they_wait_for_or_with_their_time() {
    let guest = Guest::new(|_, calls| {
        let slow = calls.submit(target("slow"), vec![])?;
        let quick = calls.submit(target("double"), vec![known("n", &json!(4))])?;
        let bad = calls.submit(target("fail"), vec![])?;
        let brief = Some(Duration::from_millis(20));
        assert!(calls.end(one(slow), brief)?.is_none());
        assert_eq!(calls.wait(&[one(slow)], brief, FlowReturnWhen::All)?, [false]);
        let keys = [one(slow), one(quick)];
        assert!(calls.wait(&keys, None, FlowReturnWhen::First)?[1]);
        let keys = [one(slow), one(quick), one(bad)];
        assert!(calls.wait(&keys, None, FlowReturnWhen::FirstError)?[2]);
        let set = calls.watch()?;
        for key in keys {
            calls.add_watched(set, FlowWatched::One(key))?;
            // A run comes once, however often it was added.
            calls.add_watched(set, FlowWatched::One(key))?;
        }
        // What has ended comes in the order in which it was added.
        let FlowNext::Completed { key, source } = calls.next(set, brief)? else { panic!("none") };
        assert_eq!((key, source), (one(quick), 2));
        calls.wait(&[one(bad)], None, FlowReturnWhen::All)?;
        let FlowNext::Completed { key, .. } = calls.next(set, Some(Duration::ZERO))? else {
            panic!("what has ended comes whatever the timeout")
        };
        assert_eq!(key, one(bad));
        assert_eq!(calls.next(set, brief)?, FlowNext::Timeout { unfinished: 1, total: 3 });
        assert_eq!(calls.state(one(slow))?.name, "Running");
        calls.cancel(FlowWatched::One(one(slow)))?;
        assert_eq!(result(calls, one(slow))?, "Cancelled");
        assert_eq!(calls.next(set, None)?, FlowNext::Completed { key: one(slow), source: 0 });
        assert_eq!(calls.next(set, None)?, FlowNext::Exhausted);
        let (run, name) = calls.identity(one(quick))?;
        let end = calls.end(one(quick), None)?.expect("it has ended");
        assert_eq!((end.run, &*end.name), (run, &*name));
        Ok(Outcome::Value(Value::nil()))
    });
    let outcome = run(&runner(pool(&guest)), &guest);
    assert!(outcome.is_success(), "{outcome:?}");
}

#[test]
fn what_cannot_be_called_is_refused_with_words() {
    let guest = Guest::new(|_, calls| {
        let mut elsewhere = target("double");
        elsewhere.component = Some("nowhere".to_owned());
        let mut there = target("double");
        there.component = Some("other".to_owned());
        let mut told = Vec::new();
        for (target, argument) in
            [(target("missing"), "n"), (elsewhere, "n"), (target("double"), "m"), (there, "m")]
        {
            let run = calls.submit(target, vec![known(argument, &json!(1))])?;
            let end = calls.end(one(run), None)?.expect("it has ended");
            told.push(format!("{}", end.state));
        }
        Ok(Outcome::Value(value(&json!(told))))
    });
    let told = number(&run(&runner(pool(&guest)), &guest));
    let told: Vec<&str> =
        told.as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    assert!(told[0].starts_with("Refused: ") && told[0].contains("no task `missing`"), "{told:?}");
    assert!(told[1].starts_with("Refused: ") && told[1].contains("no component `nowhere`"));
    assert!(told[2].starts_with("Refused: ") && told[2].contains("no parameter `m`"), "{told:?}");
    assert_eq!(told[3], "Completed");
    assert_eq!(guest.started(), ["double"]);
}

#[test]
fn a_cancelled_flow_cancels_its_runs() {
    let guest = Guest::new(|_, calls| {
        let slow = calls.map(target("slow"), vec![each("n", &json!([1, 2]))], vec![])?;
        calls.end(at(slow, 0), None)?;
        panic!("the flow goes on");
    });
    let runner = runner(pool(&guest));
    let future = start(&runner, guest.flow(), None);
    while guest.started().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    future.cancel();
    assert_eq!(future.wait(PATIENCE).name, "Cancelled");
    assert_eq!(future.report().stages[0].name.as_ref(), "slow");
}

#[test]
fn runs_that_a_flow_lets_go_of_are_cancelled_and_detached_ones_are_done() {
    let guest = Guest::new(|_, calls| {
        calls.submit(target("slow"), vec![])?;
        calls.map(target("slow"), vec![each("n", &json!([1, 2, 3, 4, 5, 6, 7, 8, 9]))], vec![])?;
        let last = calls.submit(detached("double"), vec![known("n", &json!(1))])?;
        calls.let_go(FlowWatched::One(one(last)));
        Ok(Outcome::Value(value(&json!("over"))))
    });
    let runner = runner(pool(&guest));
    assert_eq!(number(&run(&runner, &guest)), json!("over"));
    assert!(guest.started().contains(&"double".to_owned()));
}

#[test]
fn a_flow_that_panics_ends_with_words() {
    let guest = Guest::new(|_, _| panic!("a fault of the test"));
    let Outcome::Ended(end) = run(&runner(pool(&guest)), &guest) else { panic!("no end") };
    assert_eq!(end.kind, EndKind::HostError);
}

#[test]
fn an_interrupted_flow_goes_on_where_it_stood() {
    let guest = Guest::new(|_, calls| {
        let sum = map_and_sum(calls, 50)?;
        let slow = calls.submit(target("slow"), vec![])?;
        // Only the second time there is somebody who cancels it.
        calls.end(one(slow), None)?;
        let last = calls.submit(target("double"), vec![known("n", &sum)])?;
        Ok(Outcome::Value(value(&result(calls, one(last))?)))
    });
    let mut history = History::new();
    let run = RunId::new();
    {
        let runner = runner(pool(&guest));
        let journal = create(history.store(), run, None);
        let future = start(&runner, guest.flow(), Some(journal));
        while !guest.started().contains(&"slow".to_owned()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        future.interrupt("the test interrupts it");
        future.wait(PATIENCE);
    }
    assert_eq!(guest.started().len(), 51);
    history.reopen();
    let runner = runner(pool(&guest));
    let future = start(&runner, guest.flow(), Some(history.take_up(run)));
    while guest.started().iter().filter(|name| *name == "slow").count() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(guest.started().len(), 52, "something completed was run again");
    future.cancel();
    assert_eq!(future.wait(PATIENCE).name, "Cancelled");
}

#[test]
fn a_flow_whose_step_is_damaged_ends_with_words_and_can_be_run_again() {
    let guest = Guest::new(|_, calls| {
        let sum = map_and_sum(calls, 20)?;
        let slow = calls.submit(target("slow"), vec![])?;
        calls.end(one(slow), Some(Duration::from_secs(5)))?;
        calls.cancel(FlowWatched::One(one(slow)))?;
        Ok(Outcome::Value(value(&sum)))
    });
    let mut history = History::new();
    let run = RunId::new();
    {
        let runner = runner(pool(&guest));
        let journal = create(history.store(), run, None);
        // Of two steps with the same number the first stays: this is what comes to be read.
        journal.step(3, vec![0xc1]);
        let future = start(&runner, guest.flow(), Some(journal));
        while !guest.started().contains(&"slow".to_owned()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        future.interrupt("the test interrupts it");
        future.wait(PATIENCE);
    }
    history.reopen();
    let future = start(&runner(pool(&guest)), guest.flow(), Some(history.take_up(run)));
    assert_eq!(future.wait(PATIENCE).name, "Crashed");
    let Some(Outcome::Ended(end)) = future.outcome() else { panic!("it has ended") };
    assert_eq!(end.kind, EndKind::HostError);
    for words in ["step 3 of the flow is damaged", "run it again", "what has completed"] {
        assert!(end.message.contains(words), "{end}");
    }
    // That is written down as its end, so nobody takes it up once more.
    let flow = history.reader().flow(run).unwrap().unwrap();
    assert_eq!(flow.state.name, "Crashed");
    assert!(history.store().take_up(run, Clock::system().now()).is_err());
    assert_eq!(guest.started().iter().filter(|name| *name != "slow").count(), 20);

    // Run again, it has the results of what completed, and comes to its end.
    drop(future);
    let runner = runner(pool(&guest));
    let journal = create(history.store(), RunId::new(), Some(run));
    let program = guest.flow().program(journal.flow(), Some(&journal), runner.events());
    let rerun = Some(Rerun { of: run, reuse: Reuse::Completed });
    let options = StartOptions { journal: Some(journal), rerun, ..StartOptions::default() };
    let future = runner.start_program(program, options);
    future.wait(PATIENCE);
    assert_eq!(number(&future.outcome().unwrap()), json!(380));
    assert_eq!(guest.started().iter().filter(|name| *name != "slow").count(), 20);
}

#[test]
fn a_flow_that_is_over_is_told_everything_again() {
    // As far as its runs go: the flow's own end was not written down.
    let guest = Guest::new(|_, calls| Ok(Outcome::Value(value(&map_and_sum(calls, 200)?))));
    let mut history = History::new();
    let run = RunId::new();
    let first = {
        let runner = runner(pool(&guest));
        let journal = create(history.store(), run, None);
        // The journal is held once more, and the end of the flow with it.
        let future = start(&runner, guest.flow(), Some(journal));
        future.wait(PATIENCE);
        future.outcome().unwrap()
    };
    assert_eq!(number(&first), json!(39_800));
    history.reopen();
    let outcome = history.reader().flow_outcome(run).unwrap();
    assert_eq!(outcome, Some(first));
    assert_eq!(guest.started().len(), 200);
}

#[test]
fn a_hundred_thousand_mapped_calls_are_taken_as_completed() {
    let guest = Guest::new(|_, calls| Ok(Outcome::Value(value(&map_and_sum(calls, 100_000)?))));
    let outcome = run(&runner(pool(&guest)), &guest);
    assert_eq!(number(&outcome), json!(9_999_900_000_u64));
}

#[test]
fn flows_call_flows_with_histories_of_their_own() {
    let guest = Guest::new(|instance, calls| {
        if &**instance.flow == "inner" {
            return Ok(Outcome::Value(value(&map_and_sum(calls, 10)?)));
        }
        let inner = calls.map(target("inner"), vec![each("n", &json!([1, 2]))], vec![])?;
        let sum = vec![("numbers".to_owned(), FlowArgument::Results(inner))];
        let sum = calls.submit(target("sum"), sum)?;
        Ok(Outcome::Value(value(&result(calls, one(sum))?)))
    });
    let history = History::new();
    let journals: Arc<dyn SubFlowJournals> = Arc::new(history.store().clone());
    let plain = runner(pool(&guest));
    let invoker = Arc::clone(&guest) as Arc<dyn FlowInvoker>;
    let sub_flows = ComponentSubFlows::new(plain, invoker, guest.flow().components, Some(journals));
    let runner = sub_flows.runner();
    let run = RunId::new();
    let future = start(&runner, guest.flow(), Some(create(history.store(), run, None)));
    assert!(future.wait(PATIENCE).is_final());
    assert_eq!(number(&future.outcome().unwrap()), json!(180));
    assert_eq!(guest.flows_started.load(Ordering::SeqCst), 3);
    let flows = history.reader().flows(&sandmill_store::FlowFilter::default()).unwrap();
    let inner: Vec<_> = flows.iter().filter(|flow| flow.parent == Some(run)).collect();
    // Sub-flows are listed or not, as the reader has it; each is there by its id.
    assert!(inner.len() <= 2);
}

#[test]
fn flows_that_call_themselves_come_to_an_end() {
    let guest = Guest::new(|_, calls| {
        let again = calls.submit(target("main"), vec![])?;
        let end = calls.end(one(again), None)?.expect("it ends");
        match end.outcome {
            Outcome::Value(value) => {
                let depth = json_of(&value).as_u64().expect("a number") + 1;
                Ok(Outcome::Value(crate::guest::value(&json!(depth))))
            }
            Outcome::Ended(end) => {
                assert_eq!(end.kind, EndKind::Refused);
                assert!(end.message.contains("deep"), "{}", end.message);
                Ok(Outcome::Value(crate::guest::value(&json!(1))))
            }
            Outcome::Failure(failure) => panic!("{failure}"),
        }
    });
    let plain = runner(pool(&guest));
    let invoker = Arc::clone(&guest) as Arc<dyn FlowInvoker>;
    let sub_flows = ComponentSubFlows::new(plain, invoker, guest.flow().components, None);
    let outcome = run(&sub_flows.runner(), &guest);
    assert_eq!(number(&outcome), json!(MAX_FLOW_DEPTH));
}

#[test]
fn what_the_inline_executor_runs_is_cancelled_by_its_flow_at_once() {
    let guest = Guest::new(|_, calls| {
        let brief = Some(Duration::from_millis(20));
        // Nothing but the flow ends these runs, and the runner's thread is busy with them.
        let slow = calls.submit(target("slow"), vec![])?;
        assert!(calls.end(one(slow), brief)?.is_none());
        calls.cancel(FlowWatched::One(one(slow)))?;
        let ended = vec![result(calls, one(slow))?];
        let map = calls.map(target("slow"), vec![each("x", &json!([1, 2]))], vec![])?;
        assert!(calls.end(at(map, 0), brief)?.is_none());
        calls.cancel(FlowWatched::All(map))?;
        let mapped = [result(calls, at(map, 0))?, result(calls, at(map, 1))?];
        let dropped = calls.submit(target("slow"), vec![])?;
        assert!(calls.end(one(dropped), brief)?.is_none());
        calls.let_go(FlowWatched::One(one(dropped)));
        let last = calls.submit(target("double"), vec![known("n", &json!(3))])?;
        let last = result(calls, one(last))?;
        Ok(Outcome::Value(value(&json!([ended, mapped, last]))))
    });
    let executor = Arc::new(InlineExecutor::new(Arc::clone(&guest) as Arc<dyn Invoker>));
    let future = start(&runner(executor), guest.flow(), None);
    // Less than what a task waits for before it says that nobody cancelled it.
    assert!(future.wait(Some(Duration::from_secs(20))).is_final(), "the flow does not end");
    let expected = json!([["Cancelled"], ["Cancelled", "Cancelled"], 6]);
    assert_eq!(number(&future.outcome().expect("it has ended")), expected);
}

#[test]
fn what_a_flow_is_told_of_a_run_that_was_not_called_is_in_its_journal_before() {
    let history = History::new();
    let journal = create(history.store(), RunId::new(), None);
    let (seen, looking) = (Arc::new(parking_lot::Mutex::new(None)), journal.clone());
    let sink = Arc::clone(&seen);
    let guest = Guest::new(move |_, calls| {
        // More than the executor takes, so that the runner waits.
        let list: Vec<u64> = (0..100).collect();
        let slow = calls.map(target("slow"), vec![each("x", &json!(list))], vec![])?;
        assert!(calls.end(at(slow, 0), Some(Duration::from_millis(50)))?.is_none());
        let early = calls.submit(target("double"), vec![known("n", &json!(4))])?;
        calls.cancel(FlowWatched::One(one(early)))?;
        let told = result(calls, one(early))?;
        looking.sync(None).expect("it is written");
        let key = sandmill_store::RunKey { stage: early, index: None };
        *sink.lock() = looking.recorded(key).expect("it is read");
        calls.cancel(FlowWatched::All(slow))?;
        Ok(Outcome::Value(value(&told)))
    });
    let future = start(&runner(pool(&guest)), guest.flow(), Some(journal));
    assert!(future.wait(PATIENCE).is_final(), "the flow does not end");
    assert_eq!(number(&future.outcome().expect("it has ended")), json!("Cancelled"));
    let seen = seen.lock().take();
    let Some(sandmill_store::Recorded::Ended { outcome, .. }) = seen else {
        panic!("the flow was told of an end that is not in the journal: {seen:?}")
    };
    assert!(matches!(outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled));
    // And it is there once, as what it is.
    let runs = history.reader().runs(future.id(), &Default::default()).expect("it is read");
    assert_eq!(runs.len(), 101);
    assert!(runs.iter().all(|run| run.state.kind == sandmill_core::StateType::Cancelled));
    assert_eq!(future.report().stages.iter().map(|stage| stage.reused).sum::<u64>(), 0);
    let stages = history.reader().stages(future.id()).expect("it is read");
    let names: Vec<String> = stages.iter().map(|of| of.stage.name.to_string()).collect();
    assert_eq!(names, ["slow", "double"]);
}
