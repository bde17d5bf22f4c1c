//! Flows whose store does not keep up, finds its disk full, or fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::support::history::{History, create};
use crate::support::{Bench, ScriptedInvoker, component, plan, value};
use parking_lot::Mutex;
use sandmill_core::{CallOptions, State, StateType};
use sandmill_flow::{
    Act, Ended, FlowProgram, FlowRunFuture, FlowRunner, Part, Script, StageId, StageSpec,
    StageTarget, StartOptions, SubFlowCall, SubFlows,
};
use sandmill_store::{Health, Journal, MAX_BACKLOG, MAX_INLINE_RESULT, Reader, Recorded};
use sandmill_wire::{EndKind, Outcome, RunId, Value};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE.unwrap(), "{what}: not so for a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `slow` gives a value that does not fit into a row; everything else its arguments.
fn tasks() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, arguments| match &*attempt.call.task {
        "slow" => value(json!("x".repeat(2 * MAX_INLINE_RESULT))),
        _ => value(arguments.clone()),
    })
}

/// Runs a plan in place of a component's flow, with a journal of its own.
struct Inner(FlowRunner, Mutex<Option<Journal>>, Mutex<Option<RunId>>);

impl SubFlows for Inner {
    fn start(&self, call: SubFlowCall) -> FlowRunFuture {
        let cancel = call.options.cancel.clone().unwrap();
        let part = Some(Part { submitted: call.submitted(), cancel });
        let journal = self.1.lock().take();
        let options = StartOptions { journal, part, ..StartOptions::default() };
        let future = self.0.start_with(plan("tasks.a.call = 't.slow'"), options);
        *self.2.lock() = Some(future.id());
        future
    }
}

/// Calls one flow, and waits for it.
#[derive(Default)]
struct Outer(bool, Option<Outcome>);

impl Script for Outer {
    fn poll_act(&mut self, _: &mut Context<'_>) -> Poll<Option<Act>> {
        let arguments = Value::map_from(std::iter::empty()).unwrap();
        let act = Act::Run { stage: 0, index: None, arguments };
        Poll::Ready((!std::mem::replace(&mut self.0, true)).then_some(act))
    }

    fn stage(&self, _: StageId) -> StageSpec {
        let target = StageTarget::Flow { component: component(), flow: "inner".into() };
        let options = Arc::new(CallOptions::default());
        StageSpec { name: "inner".into(), target, options, mapped: false }
    }

    fn on_done(&mut self, _: StageId, _: Option<u64>, _: RunId, _: Ended) {}

    fn stop(&mut self, why: &Outcome) {
        self.1 = Some(why.clone());
    }

    fn conclusion(&mut self) -> Outcome {
        self.1.clone().unwrap_or_else(|| value(json!(null)))
    }

    fn known_stages(&self) -> Vec<StageId> {
        Vec::new()
    }
}

#[test]
fn what_is_inside_leaves_a_full_disk_with_what_is_around_it() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    for interrupt in [true, false] {
        let history = History::new();
        history.fill_disk();
        let bench = Bench::pool(tasks(), 1);
        let journal = create(history.store(), RunId::new(), None);
        let inner = Arc::new(Inner(bench.runner(), Mutex::new(Some(journal)), Mutex::default()));
        let program = FlowProgram {
            name: "outer".into(),
            script: Box::new(Outer::default()),
            timeout: None,
            on_start: None,
            on_exit: None,
        };
        let sub_flows: Arc<dyn SubFlows> = inner.clone();
        let runner = bench.runner().with_sub_flows(sub_flows);
        let outer = runner.start_program(program, StartOptions::default());
        until("the disk is full", || matches!(history.store().health(), Health::Full { .. }));
        until("the inner flow has done all", || bench.log.ends().iter().any(|end| end.0 == "a"));
        // As often as Ctrl-C, or a cancel, is to be said before nothing is waited for.
        let started = Instant::now();
        if interrupt {
            (0..2).for_each(|_| outer.interrupt("for later"));
        } else {
            (0..3).for_each(|_| outer.cancel());
        }
        assert_eq!(outer.wait(PATIENCE).kind, StateType::Cancelled);
        assert!(interrupt || started.elapsed() < PATIENCE.unwrap());
        let inner = inner.2.lock().unwrap();
        let told = bench.log.events().into_iter().rfind(|event| {
            let is_end = |state: &State| state.is_final();
            event.run == inner
                && matches!(&event.kind, sandmill_core::EventKind::State(state) if is_end(state))
        });
        assert!(told.is_some(), "the inner flow has ended");
        history.free_disk();
    }
}

/// Counts how often each run was called.
type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

const MANY: usize = 30_000;

#[test]
fn intake_pauses_while_the_journal_does_not_keep_up() {
    let list: Vec<usize> = (0..MANY).collect();
    let text = format!("tasks.a = {{ call = 't.work', arguments.x = {{ map = {list:?} }} }}");
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let invoker = ScriptedInvoker::new(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        value(json!(1))
    });
    let history = History::new();
    let bench = Bench::pool(invoker, 2);
    let journal = create(history.store(), RunId::new(), None);
    let stall = history.stall();
    let options = StartOptions { journal: Some(journal.clone()), ..StartOptions::default() };
    let flow = bench.runner().start_with(plan(&text), options);
    until("too much waits for the writer", || journal.backlog() > MAX_BACKLOG);
    // What was called by then ends; nothing new is called, however long it takes.
    std::thread::sleep(Duration::from_millis(100));
    let paused_at = calls.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(calls.load(Ordering::SeqCst), paused_at);
    assert!(paused_at < MANY && !flow.is_done(), "{paused_at} calls were made");
    // Each call has a few records, and no more calls fly than the runner's window.
    assert!(journal.backlog() < MAX_BACKLOG + 1_000, "{}", journal.backlog());
    drop(journal);
    drop(stall);
    assert_eq!(flow.wait(PATIENCE).kind, StateType::Completed);
    assert_eq!(calls.load(Ordering::SeqCst), MANY);
    let stages = history.reader().stages(flow.id()).unwrap();
    assert_eq!(stages[0].counts.completed, MANY as u64);
}

const FAILING: &str = "tasks.a = { call = 't.work', arguments.x = { map = [1, 2, 3, 4] } }
     tasks.b = { call = 't.work', arguments.x = { map = 'a.result.x' } }
     tasks.c = { call = 't.slow', after = ['b'] }
     tasks.d = { call = 't.work', arguments.x = 1, after = ['c'] }
     flow.result = 'd.result'";

/// Counts calls; `slow` comes only after everything before it is on disk.
fn counting(counts: &Counts, history: &History) -> Arc<ScriptedInvoker> {
    let (counts, path) = (Arc::clone(counts), history.path());
    ScriptedInvoker::new(move |attempt, arguments| {
        let name = attempt.call.run_name().to_string();
        *counts.lock().entry(name).or_default() += 1;
        if &*attempt.call.task != "slow" {
            return value(arguments.clone());
        }
        let flow = attempt.call.options.parent.expect("it is a flow's");
        let reader = Reader::open(&path).expect("the store can be read");
        until("what was before it is on disk", || {
            let runs = reader.runs(flow, &Default::default()).expect("runs");
            runs.iter().filter(|run| run.state.kind == StateType::Completed).count() >= 8
        });
        value(json!("x".repeat(2 * MAX_INLINE_RESULT)))
    })
}

#[test]
fn a_store_that_fails_leaves_its_flow_to_be_taken_up_and_nothing_is_done_twice() {
    let mut history = History::new();
    history.break_blobs();
    let counts = Counts::default();
    let bench = Bench::pool(counting(&counts, &history), 2);
    let flow = bench.start_new(&history, plan(FAILING));
    assert_eq!(flow.wait(PATIENCE).kind, StateType::Crashed);
    let Some(Outcome::Ended(end)) = flow.outcome() else { panic!("it has ended") };
    assert_eq!(end.kind, EndKind::HostError);
    assert!(end.message.starts_with("the history of the flow could not be written: "), "{end}");
    assert!(matches!(history.store().health(), Health::Failed(_)));
    let id = flow.id();
    drop((flow, bench));

    // Mended, it goes on: what was written down as ended is not called again.
    history.free_disk();
    history.reopen();
    let reader = history.reader();
    let record = reader.flow(id).unwrap().unwrap();
    assert!(!record.state.is_final(), "{:?}", record.state);
    let recorded = history.recorded(id, 2, None);
    assert!(!matches!(recorded, Some(Recorded::Ended { .. })), "{recorded:?}");
    let bench = Bench::pool(counting(&counts, &history), 2);
    let flow = bench.resume(&history, id, plan(FAILING));
    assert_eq!(flow.result(PATIENCE).unwrap().to_json_string(), r#"{"x":1}"#);
    let counts = counts.lock();
    let once = counts.iter().filter(|(name, _)| name.starts_with(['a', 'b']));
    assert!(once.clone().count() == 8 && once.clone().all(|(_, times)| *times == 1), "{counts:?}");
    assert_eq!(counts["c"], 2, "its end was not written: {counts:?}");
    let names: BTreeSet<_> =
        reader.stages(id).unwrap().into_iter().map(|of| of.stage.name).collect();
    assert_eq!(names.len(), 4);
}
