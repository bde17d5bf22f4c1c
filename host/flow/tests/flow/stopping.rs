//! Flows that run out of time, and scripts that are woken from elsewhere, cancel what they called,
//! and call flows.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::support::history::History;
use crate::support::{Bench, ScriptedInvoker, component, plan, value};
use parking_lot::Mutex;
use sandmill_core::future::Promise;
use sandmill_core::{CallOptions, Report, StateType, Usage};
use sandmill_flow::{
    Act, Ended, FlowProgram, FlowRunFuture, FlowRunner, Script, StageId, StageSpec, StageTarget,
    StartOptions, SubFlowCall, SubFlows,
};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// `slow` goes on until it is stopped; everything else gives its arguments back.
fn tasks() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, arguments| {
        if &*attempt.call.task != "slow" {
            return value(arguments.clone());
        }
        let deadline = attempt.call.options.deadline;
        while !attempt.cancel.is_cancelled() {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return End::new(EndKind::TimedOut, "the deadline is over").into();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        End::new(EndKind::Cancelled, "stopped").into()
    })
}

#[test]
fn a_flow_that_is_out_of_time_stops_what_runs_and_starts_nothing() {
    let tasks_of = "tasks.a = { call = 't.slow', arguments.x = { map = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] } }
         tasks.b = { call = 't.merge', after = ['a'], trigger = 'all-finished' }
         flow.timeout = '300ms'\nflow.result = 'b.result'";
    for bench in [Bench::inline(tasks()), Bench::pool(tasks(), 2)] {
        let history = History::new();
        let started = Instant::now();
        let future = bench.start_new(&history, plan(tasks_of));
        let state = future.wait(PATIENCE);
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert_eq!((state.kind, &*state.name), (StateType::Failed, "TimedOut"), "{state}");
        assert!(state.message.as_ref().unwrap().contains("within 300ms"), "{state}");
        assert!(bench.log.ends().iter().all(|(name, _)| name != "b"), "{:?}", bench.log.ends());
        // That is its end: there is nothing to take up.
        let flow = history.reader().flow(future.id()).unwrap().unwrap();
        assert_eq!(flow.state.name, "TimedOut");
        let now = bench.events.clock().now();
        assert!(history.store().take_up(future.id(), now).is_err());
    }
}

#[test]
fn the_time_that_a_start_gives_stands_over_the_flows_own() {
    let text = "tasks.a.call = 't.slow'\nflow.timeout = '10m'";
    let bench = Bench::pool(tasks(), 1);
    let soon = Duration::from_millis(100);
    let at = Instant::now().checked_add(soon);
    for (timeout, deadline, words) in
        [(Some(soon), None, "within 100ms"), (None, at, "what it is part of")]
    {
        let options = StartOptions { timeout, deadline, ..StartOptions::default() };
        let state = bench.runner().start_with(plan(text), options).wait(PATIENCE);
        assert_eq!(state.name, "TimedOut");
        assert!(state.message.as_ref().unwrap().contains(words), "{state}");
    }
}

/// A script whose acts come from outside, by whoever has the other end.
#[derive(Clone, Default)]
struct Outside(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    acts: VecDeque<Option<Act>>,
    waker: Option<Waker>,
    done: Vec<(StageId, String)>,
    stopped: Option<Outcome>,
}

impl Outside {
    fn say(&self, act: Option<Act>) {
        let mut state = self.0.lock();
        state.acts.push_back(act);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn run(&self, stage: StageId) {
        let arguments = Value::map_from([("n", &Value::encode(&stage).unwrap())]).unwrap();
        self.say(Some(Act::Run { stage, index: None, arguments }));
    }

    fn done(&self, count: usize) -> Vec<(StageId, String)> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.0.lock().done.len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.0.lock().done);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.lock().done.clone()
    }

    fn start(&self, runner: &FlowRunner) -> FlowRunFuture {
        let program = FlowProgram {
            name: "outside".into(),
            script: Box::new(self.clone()),
            timeout: None,
            on_start: None,
            on_exit: None,
        };
        runner.start_program(program, StartOptions::default())
    }
}

/// The first stage of this kind; those below are tasks that end, up to here tasks that do not.
const FLOWS: StageId = 200;
const SLOW: StageId = 100;

impl Script for Outside {
    fn poll_act(&mut self, context: &mut Context<'_>) -> Poll<Option<Act>> {
        let mut state = self.0.lock();
        match state.acts.pop_front() {
            Some(act) => Poll::Ready(act),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn stage(&self, stage: StageId) -> StageSpec {
        let component = component();
        let target = match stage {
            FLOWS.. => StageTarget::Flow { component, flow: "inner".into() },
            SLOW.. => StageTarget::Task { component, task: "slow".into() },
            _ => StageTarget::Task { component, task: "merge".into() },
        };
        let options = Arc::new(CallOptions::default());
        StageSpec { name: format!("s{stage}").into(), target, options, mapped: false }
    }

    fn on_done(&mut self, stage: StageId, _: Option<u64>, _: RunId, ended: Ended) {
        let what = match ended {
            Ended::Value(value) => value.to_json_string(),
            Ended::Skipped => "skipped".to_owned(),
            Ended::Failed(blame) => blame.state.to_string(),
        };
        self.0.lock().done.push((stage, what));
    }

    fn stop(&mut self, why: &Outcome) {
        self.0.lock().stopped = Some(why.clone());
    }

    fn conclusion(&mut self) -> Outcome {
        let stopped = self.0.lock().stopped.clone();
        stopped.unwrap_or_else(|| value(json!("over")))
    }

    fn known_stages(&self) -> Vec<StageId> {
        Vec::new()
    }
}

#[test]
fn a_script_is_woken_from_elsewhere_and_cancels_what_it_called() {
    for bench in [Bench::pool(tasks(), 3), Bench::pool(tasks(), 8)] {
        let outside = Outside::default();
        let future = outside.start(&bench.runner());
        for stage in 0..5 {
            std::thread::sleep(Duration::from_millis(5));
            outside.run(stage);
            assert_eq!(outside.done(stage as usize + 1).len(), stage as usize + 1);
        }
        outside.run(SLOW);
        outside.run(SLOW + 1);
        outside.say(Some(Act::Cancel { stage: SLOW, index: None }));
        let done = outside.done(6);
        assert_eq!(done[5], (SLOW, "Cancelled".to_owned()));
        assert_eq!(done[2], (2, r#"{"n":2}"#.to_owned()));
        assert!(!future.is_done());
        outside.say(Some(Act::Cancel { stage: SLOW + 1, index: None }));
        outside.done(7);
        outside.say(None);
        assert_eq!(future.result(PATIENCE).unwrap().to_json_string(), r#""over""#);
        assert_eq!(future.report().done(), 7);
    }
}

#[test]
fn a_script_that_waits_is_stopped() {
    let bench = Bench::pool(tasks(), 1);
    let outside = Outside::default();
    let future = outside.start(&bench.runner());
    outside.run(SLOW);
    while future.report().stages.iter().all(|stage| stage.running == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    future.cancel();
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    assert!(outside.0.lock().stopped.is_some());
}

/// Runs a plan in place of a component's flow.
struct Plans(FlowRunner, Mutex<Vec<SubFlowCall>>);
impl SubFlows for Plans {
    fn start(&self, call: SubFlowCall) -> FlowRunFuture {
        let slow = call.arguments.path("n").unwrap() == Value::encode(&(FLOWS + 1)).unwrap();
        let task = if slow { "slow" } else { "merge" };
        let part = sandmill_flow::Part {
            submitted: call.submitted(),
            cancel: call.options.cancel.clone().unwrap(),
        };
        let options =
            StartOptions { id: Some(call.run), part: Some(part), ..StartOptions::default() };
        self.1.lock().push(call);
        let text = format!("tasks.a.call = 't.{task}'\nflow.result = 'a.result'");
        self.0.start_with(plan(&text), options)
    }
}

#[test]
fn flows_that_call_flows_need_something_that_runs_them() {
    let bench = Bench::pool(tasks(), 1);
    let outside = Outside::default();
    let future = outside.start(&bench.runner());
    outside.run(FLOWS);
    assert_eq!(outside.done(1), [(FLOWS, "Refused".to_owned())]);
    outside.say(None);
    future.result(PATIENCE).unwrap();

    for interrupt in [true, false] {
        let plans = Arc::new(Plans(bench.runner(), Mutex::default()));
        let outside = Outside::default();
        let sub_flows: Arc<dyn SubFlows> = plans.clone();
        let future = outside.start(&bench.runner().with_sub_flows(sub_flows));
        outside.run(FLOWS);
        assert_eq!(outside.done(1), [(FLOWS, "{}".to_owned())]);
        outside.run(FLOWS + 1);
        while plans.1.lock().len() < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        if interrupt {
            future.interrupt("for later");
        } else {
            future.cancel();
        }
        let state = future.wait(PATIENCE);
        assert_eq!(state.kind, StateType::Cancelled);
        let calls = plans.1.lock();
        assert!(calls.iter().all(|call| call.options.parent == Some(future.id())));
        let inner = bench.log.events();
        let inner = inner.iter().filter(|event| event.run == calls[1].run);
        let mut last = inner.filter_map(|event| match &event.kind {
            sandmill_core::EventKind::State(state) => Some(state.clone()),
            _ => None,
        });
        let last = last.next_back().unwrap();
        // What is inside is left for later with what is around it.
        let message = last.message.clone().unwrap();
        assert_eq!(message.starts_with("interrupted; for later"), interrupt, "{message}");
    }
}

#[test]
fn a_part_of_a_flow_that_was_cancelled_before_it_began_does_nothing() {
    let invoker = tasks();
    let bench = Bench::pool(Arc::clone(&invoker), 1);
    let outer = sandmill_core::CancelToken::new();
    outer.cancel();
    let (promise, around) = Promise::of_flow(RunId::new(), "outer", &bench.events);
    let submitted = sandmill_core::Submitted {
        name: "inner".into(),
        stage: "inner".into(),
        map_index: None,
        parent: Some(around.id()),
        component: None,
    };
    let part = Some(sandmill_flow::Part { submitted, cancel: outer });
    let options = StartOptions { part, ..StartOptions::default() };
    let future = bench.runner().start_with(plan("tasks.a.call = 't.merge'"), options);
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
    assert!(invoker.started().is_empty());
    promise.finish(Report::new(value(json!(null)), Usage::default()));
}

#[test]
fn what_is_inside_is_interrupted_whenever_that_is_noticed() {
    let bench = Bench::pool(tasks(), 3);
    for round in 0..200_u64 {
        let plans = Arc::new(Plans(bench.runner(), Mutex::default()));
        let outside = Outside::default();
        let sub_flows: Arc<dyn SubFlows> = plans.clone();
        let future = outside.start(&bench.runner().with_sub_flows(sub_flows));
        outside.run(FLOWS + 1);
        // Calls end all the time, so that some rounds are interrupted while one is settled.
        (0..1_000).for_each(|_| outside.run(1));
        outside.done(1);
        std::thread::sleep(Duration::from_micros(20 * round));
        future.interrupt("for later");
        let state = future.wait(Some(Duration::from_secs(20)));
        assert_eq!(state.kind, StateType::Cancelled, "round {round}: {state}");
    }
}

/// Calls something that goes on, and panics when something else ends.
struct Panics(Outside);

impl Script for Panics {
    fn poll_act(&mut self, context: &mut Context<'_>) -> Poll<Option<Act>> {
        self.0.poll_act(context)
    }

    fn stage(&self, stage: StageId) -> StageSpec {
        self.0.stage(stage)
    }

    fn on_done(&mut self, _: StageId, _: Option<u64>, _: RunId, _: Ended) {
        panic!("a script with a fault");
    }

    fn stop(&mut self, why: &Outcome) {
        self.0.stop(why);
    }

    fn conclusion(&mut self) -> Outcome {
        self.0.conclusion()
    }

    fn known_stages(&self) -> Vec<StageId> {
        Vec::new()
    }
}

#[test]
fn a_flow_whose_script_panics_ends_and_can_be_taken_up() {
    let (history, bench) = (History::new(), Bench::pool(tasks(), 2));
    let outside = Outside::default();
    outside.run(SLOW);
    outside.run(0);
    let program = FlowProgram {
        name: "panics".into(),
        script: Box::new(Panics(outside)),
        timeout: None,
        on_start: None,
        on_exit: None,
    };
    let journal = Some(crate::support::history::create(history.store(), RunId::new(), None));
    let options = StartOptions { journal, ..StartOptions::default() };
    let runner = bench.runner();
    let future = runner.start_program(program, options);
    assert_eq!(future.wait(PATIENCE).kind, StateType::Crashed);
    // Nothing in this process holds on to it.
    history.take_up(future.id());
    drop(runner);
}

#[test]
fn a_flow_that_was_killed_while_it_was_cancelled_is_cancelled() {
    let (history, late) = (History::new(), Arc::new(std::sync::Barrier::new(2)));
    let (held, begun) = (Arc::clone(&late), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&begun);
    let invoker = ScriptedInvoker::new(move |attempt, arguments| {
        *count.lock() += 1;
        while !attempt.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if arguments["x"] == json!(2) {
            held.wait();
        }
        End::new(EndKind::Cancelled, "stopped").into()
    });
    let text = "tasks.a = { call = 't.slow', arguments.x = { map = [1, 2, 3, 4] } }
         tasks.b = { call = 't.merge', after = ['a'], trigger = 'all-finished' }";
    let bench = Bench::pool(invoker, 2);
    let future = bench.start_new(&history, plan(text));
    while *begun.lock() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    future.cancel();
    // One run is over, and the other is not, so neither is the flow.
    let over = || history.reader().runs(future.id(), &Default::default()).unwrap();
    while !over().iter().any(|run| run.state.kind == StateType::Cancelled) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!future.is_done());
    let (dir, ours) = (tempfile::tempdir().unwrap(), std::fs::Permissions::from_mode(0o700));
    std::fs::set_permissions(dir.path(), ours).unwrap();
    for file in std::fs::read_dir(history.path()).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("history.db") {
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
    }
    late.wait();
    assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);

    // What a kill would have left behind.
    let store = crate::support::history::open(dir.path());
    let bench = Bench::pool(tasks(), 2);
    let journal = Some(store.take_up(future.id(), bench.events.clock().now()).unwrap());
    let options = StartOptions { journal, ..StartOptions::default() };
    let again = bench.runner().start_with(plan(text), options);
    let state = again.wait(PATIENCE);
    assert_eq!(state.kind, StateType::Cancelled, "{state}");
    assert!(bench.log.ends().iter().all(|(name, _)| name != "b"), "{:?}", bench.log.ends());
}
