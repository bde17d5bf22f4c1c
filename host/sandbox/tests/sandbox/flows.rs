//! Flow components in the sandbox: what they ask goes to whoever makes their calls, what it says is
//! what they see, and nothing of it is a task's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{end, flow, guest, limits, number, sandbox};
use sandmill_core::{
    CallOptions, CancelToken, Component, Events, FlowArgument, FlowCalls, FlowElements, FlowEnd,
    FlowInstance, FlowInvoker as _, FlowNext, FlowReturnWhen, FlowTarget, FlowWatched, FutureKey,
    Grants, Invoker as _, Limits, Report, State,
};
use sandmill_sandbox::{FLOW_HANDLES, Sandbox};
use sandmill_wire::{End, EndKind, Failure, Outcome, RunId, TrapKind, Value};

/// Imports of the functions that these flows call.
const IMPORTS: &str = r#"
    (import "sandmill:task/futures@0.1.0" "sleep" (func $sleep (param i64)))
    (import "sandmill:task/futures@0.1.0" "[constructor]completions" (func $watch (result i32)))
    (import "sandmill:task/futures@0.1.0" "[method]completions.next"
        (func $next (param i32 i32 i64 i32)))
    (import "sandmill:task/futures@0.1.0" "[resource-drop]completions" (func $drop (param i32)))
    (import "sandmill:task/context@0.1.0" "attempt" (func $attempt (result i32)))
    (import "sandmill:task/context@0.1.0" "is-cancelled" (func $cancelled (result i32)))
    (import "sandmill:task/context@0.1.0" "deadline" (func $deadline (param i32)))
    (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#;

/// What a flow asks for: only to sleep and to watch nothing.
struct Calls<F> {
    sleep: F,
    dropped: Arc<AtomicU32>,
}

impl<F: FnMut(Duration) -> Result<(), End> + Send> FlowCalls for Calls<F> {
    fn submit(&mut self, _: FlowTarget, _: Vec<(String, FlowArgument)>) -> Result<u32, End> {
        unreachable!("these flows call nothing")
    }

    fn map(
        &mut self,
        _: FlowTarget,
        _: Vec<(String, FlowElements)>,
        _: Vec<(String, FlowArgument)>,
    ) -> Result<u32, End> {
        unreachable!("these flows call nothing")
    }

    fn length(&mut self, _: u32) -> Result<Result<u64, Box<FlowEnd>>, End> {
        unreachable!("there is no map")
    }

    fn identity(&mut self, _: FutureKey) -> Result<(RunId, Arc<str>), End> {
        unreachable!("there is no run")
    }

    fn state(&mut self, _: FutureKey) -> Result<State, End> {
        unreachable!("there is no run")
    }

    fn end(&mut self, _: FutureKey, _: Option<Duration>) -> Result<Option<Box<FlowEnd>>, End> {
        unreachable!("there is no run")
    }

    fn wait(
        &mut self,
        keys: &[FutureKey],
        _: Option<Duration>,
        _: FlowReturnWhen,
    ) -> Result<Vec<bool>, End> {
        Ok(vec![true; keys.len()])
    }

    fn watch(&mut self) -> Result<u32, End> {
        Ok(7)
    }

    fn add_watched(&mut self, _: u32, _: FlowWatched) -> Result<(), End> {
        Ok(())
    }

    fn next(&mut self, set: u32, timeout: Option<Duration>) -> Result<FlowNext, End> {
        assert_eq!((set, timeout), (7, Some(Duration::from_nanos(9))));
        Ok(FlowNext::Timeout { unfinished: 3, total: 5 })
    }

    fn unwatch(&mut self, set: u32) {
        assert_eq!(set, 7);
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }

    fn cancel(&mut self, _: FlowWatched) -> Result<(), End> {
        Ok(())
    }

    fn hold(&mut self, _: FlowWatched) {}

    fn let_go(&mut self, _: FlowWatched) {}

    fn sleep(&mut self, time: Duration) -> Result<(), End> {
        (self.sleep)(time)
    }
}

fn run_with(
    sandbox: &Sandbox,
    component: &Component,
    options: CallOptions,
    cancel: &CancelToken,
    sleep: impl FnMut(Duration) -> Result<(), End> + Send + 'static,
) -> (Report, u32) {
    let dropped = Arc::new(AtomicU32::new(0));
    let calls = Box::new(Calls { sleep, dropped: Arc::clone(&dropped) });
    let arguments = Value::check(vec![0x80], &Default::default()).unwrap();
    let instance = FlowInstance {
        run: RunId::new(),
        component,
        flow: &"t".into(),
        arguments: &arguments,
        options: &Arc::new(options),
        cancel,
        events: &Events::default(),
    };
    let report = sandbox.run_flow(instance, calls);
    let dropped = dropped.load(Ordering::SeqCst);
    (report, dropped)
}

fn run(
    component: &Component,
    options: CallOptions,
    sleep: impl FnMut(Duration) -> Result<(), End> + Send + 'static,
) -> Report {
    run_with(&sandbox(), component, options, &CancelToken::new(), sleep).0
}

fn options(timeout: Duration) -> CallOptions {
    limits(Limits { timeout, ..Limits::default() })
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_component_says_which_of_its_tasks_are_flows() {
    let sandbox = sandbox();
    let body = "(call $value (i32.const 18) (i32.const 1))";
    let info = sandbox.prepare(&flow(IMPORTS, "t", body)).unwrap();
    assert_eq!(info.flows, ["t"]);
    assert!(info.is_flow("t") && !info.is_flow("u"));
    assert!(info.imports.contains(&"sandmill:task/futures@0.1.0".to_owned()));
    assert!(sandbox.prepare(&flow("", "", body)).unwrap().flows.is_empty());
    for (names, told) in [("u", "`u` is none of its tasks"), ("tt", "`t` is named twice")] {
        let end = sandbox.prepare(&flow("", names, body)).unwrap_err();
        assert_eq!(end.kind, EndKind::Refused);
        assert!(end.message.contains(told), "{}", end.message);
    }
}

#[test]
fn a_task_must_not_use_futures() {
    let body = "(call $sleep (i64.const 1)) (call $value (i32.const 18) (i32.const 1))";
    let told = "only a flow may call tasks";
    // Also where its component has flows: it is run as a task.
    for component in [guest(IMPORTS, "", body), flow(IMPORTS, "t", body)] {
        let ran = crate::support::run(&sandbox(), &crate::support::call(&component));
        let (kind, message) = end(&ran.report);
        assert_eq!(kind, EndKind::Trapped(TrapKind::Contract));
        assert!(message.contains(told), "{message}");
    }
}

#[test]
fn a_flow_is_told_what_its_calls_say() {
    // The third and the fifth word of the error that `next` gives, and then what it slept.
    let body = "(local $set i32)
        (local.set $set (call $watch))
        (call $next (local.get $set) (i32.const 1) (i64.const 9) (i32.const 512))
        (call $drop (local.get $set))
        (call $sleep (i64.const 5000))
        (call $number (i64.add
            (i64.mul (i64.load (i32.const 520)) (i64.const 10)) (i64.load (i32.const 528))))";
    let component = flow(IMPORTS, "t", body);
    let sleep = |time| {
        assert_eq!(time, Duration::from_micros(5));
        Ok(())
    };
    let cancel = CancelToken::new();
    let (report, dropped) = run_with(&sandbox(), &component, options(LONG), &cancel, sleep);
    assert_eq!((number(&report), dropped), (35, 1));
}

#[test]
fn an_end_from_outside_is_the_end_of_the_flow() {
    let body = "(call $sleep (i64.const 1)) (call $sleep (i64.const 2)) unreachable";
    let component = flow(IMPORTS, "t", body);
    let mut asked = 0;
    let report = run(&component, options(LONG), move |_| {
        asked += 1;
        assert_eq!(asked, 1, "the flow goes on");
        Err(End::new(EndKind::UpstreamFailed, "just so"))
    });
    assert_eq!(end(&report), (EndKind::UpstreamFailed, "just so"));
}

#[test]
fn waiting_does_not_count_against_the_time_of_a_flow_and_computing_does() {
    let waits = "(call $sleep (i64.const 1)) (call $value (i32.const 18) (i32.const 1))";
    let sleep = |_| {
        std::thread::sleep(Duration::from_millis(1_500));
        Ok(())
    };
    let report = run(&flow(IMPORTS, "t", waits), options(Duration::from_secs(1)), sleep);
    assert!(report.outcome.is_success(), "{report:?}");
    let loops = "(call $sleep (i64.const 1)) (loop $again (br $again)) unreachable";
    let report = run(&flow(IMPORTS, "t", loops), options(Duration::from_millis(200)), sleep);
    assert_eq!(end(&report).0, EndKind::TimedOut);
    // A loop of questions is a loop as well.
    let asks = "(loop $again (call $sleep (i64.const 0)) (br $again)) unreachable";
    let report = run(&flow(IMPORTS, "t", asks), options(Duration::from_millis(200)), |_| Ok(()));
    assert_eq!(end(&report).0, EndKind::TimedOut);
}

#[test]
fn a_busy_flow_is_cancelled() {
    let component = flow(IMPORTS, "t", "(loop $again (br $again)) unreachable");
    let cancel = CancelToken::new();
    let other = cancel.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        other.cancel();
    });
    let start = Instant::now();
    let (report, _) = run_with(&sandbox(), &component, options(LONG), &cancel, |_| Ok(()));
    thread.join().unwrap();
    assert_eq!(end(&report).0, EndKind::Cancelled);
    assert!(start.elapsed() < LONG);
}

#[test]
fn what_a_flow_sees_is_the_same_each_time() {
    let body = "(call $deadline (i32.const 512))
        (call $number (i64.add (call $random) (i64.extend_i32_u (i32.add
            (i32.load8_u (i32.const 512))
            (i32.add (i32.mul (call $attempt) (i32.const 2)) (call $cancelled))))))";
    let component = flow(IMPORTS, "t", body);
    let first = number(&run(&component, options(LONG), |_| Ok(())));
    // Another run, with another deadline.
    let second = number(&run(&component, options(2 * LONG), |_| Ok(())));
    assert_eq!(first, second);
}

#[test]
fn nothing_but_flows_is_run_as_a_flow_and_nothing_is_granted_to_one() {
    let body = "(call $value (i32.const 18) (i32.const 1))";
    let report = run(&guest(IMPORTS, "", body), options(LONG), |_| Ok(()));
    let (kind, message) = end(&report);
    assert_eq!(kind, EndKind::Refused);
    assert!(message.contains("`t` is a task and no flow"), "{message}");
    let component = flow(IMPORTS, "t", body);
    for (grants, name) in [
        (Grants { clock: true, ..Grants::default() }, "clock"),
        (Grants { random: true, ..Grants::default() }, "random"),
    ] {
        let options = CallOptions { grants, ..CallOptions::default() };
        let report = run(&component, options, |_| Ok(()));
        let (kind, message) = end(&report);
        assert_eq!(kind, EndKind::Refused);
        assert!(message.contains(name) && message.contains("the tasks that it calls"), "{message}");
    }
    let mut grants = Grants::default();
    grants.env.insert("NAME".to_owned(), "value".to_owned());
    let options = CallOptions { grants, ..CallOptions::default() };
    assert!(run(&component, options, |_| Ok(())).outcome.is_success());
}

#[test]
fn handles_of_a_flow_have_a_bound() {
    let body = "(loop $again (drop (call $watch)) (br $again)) unreachable";
    let report = run(&flow(IMPORTS, "t", body), options(LONG), |_| Ok(()));
    let (kind, message) = end(&report);
    assert_eq!(kind, EndKind::Trapped(TrapKind::Handles), "{message}");
    assert!(message.contains(&FLOW_HANDLES.to_string()), "{message}");
}

#[test]
fn a_panic_of_whoever_makes_the_calls_is_an_end() {
    let component = flow(IMPORTS, "t", "(call $sleep (i64.const 1)) unreachable");
    let report = run(&component, options(LONG), |_| panic!("a fault of the host"));
    let (kind, message) = end(&report);
    assert_eq!(kind, EndKind::HostError);
    assert!(message.contains("a fault of the host"), "{message}");
    // A failure is the author's word, as ever.
    let failure = Failure::new("kind", "message");
    assert!(!matches!(report.outcome, Outcome::Failure(other) if other == failure));
}
