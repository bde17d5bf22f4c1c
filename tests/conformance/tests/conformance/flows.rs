//! Flows that are code, from a guest that does each thing a flow can do: the same answers on every
//! executor, and ends that are typed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill::flow_file::{ComponentFlow, ComponentSubFlows, FlowRunFuture, StartOptions};
use sandmill::{CallOptions, EndKind, Limits, Outcome, RunId, State, StateType, Value};
use sandmill_test_conformance::{Bench, LONG};
use serde_json::{Value as Json, json};

use crate::examples::granted;
use crate::table::{Case, Expect, Row, checks, defaults, row};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = checks![
        the_component_names_its_flows,
        a_task_cannot_make_calls,
        very_many_squares_are_added_as_they_come,
        a_running_loop_of_a_flow_is_cancelled,
        a_flow_that_computes_for_ever_runs_out_of_its_time,
        what_is_let_go_of_is_cancelled,
        waits_end_with_their_time,
        a_flow_calls_tasks_of_another_component,
        the_census_as_code_is_the_census_as_a_file,
        failures_are_typed,
    ];
    cases.push(row(
        "its_tasks_are_tasks",
        Row {
            guest: "flows",
            task: "add",
            arguments: r#"{"left":20,"right":22}"#,
            options: defaults,
            expect: Expect::Value("42"),
        },
    ));
    cases.extend(
        ANSWERS.iter().map(|answer| Case {
            name: answer.0,
            run: Box::new(move |bench| answers(bench, answer)),
        }),
    );
    cases
}

/// A flow, its arguments, and what it returns.
type Answer = (&'static str, &'static str, &'static str);

/// Flows that return the same whatever runs them.
const ANSWERS: &[Answer] = &[
    ("sum_of_squares", r#"{"count":1000}"#, "332833500"),
    ("sum_in_task", r#"{"count":1000}"#, "332833500"),
    ("chain", r#"{"number":5}"#, "25"),
    ("pipeline", r#"{"numbers":[1,2,3]}"#, "[2,3,4]"),
    ("pipeline", r#"{"numbers":[]}"#, "[]"),
    ("mapped_result", r#"{"text":"to be or not"}"#, "[2,2,2,3]"),
    ("half_then_rest", r#"{"numbers":[0,1,2,3,4,5,6,7,8,9]}"#, "285"),
    ("nested", r#"{"count":3}"#, "19"),
    ("twice_removed", r#"{"count":3}"#, "19"),
    ("every_option", r#"{"number":3}"#, "9"),
    ("first_error", r#"{"numbers":[3]}"#, r#"["half"]"#),
    ("waits_for", r#"{"takes":0,"timeout":60000}"#, r#"["completed","completed"]"#),
    ("states_of", r#"{"takes":1}"#, r#"["false","failed","Failed"]"#),
    ("results_of", r#"{"times":[3,1,2]}"#, "[7,7,7]"),
    ("naps", r#"{"times":3,"each_millis":1}"#, "5"),
    ("callbacks", r#"{"numbers":[2,3]}"#, r#"["half completed","half failed"]"#),
    ("cancel_one", "{}", r#""cancelled""#),
    ("cancel_list", r#"{"count":50}"#, "50"),
    ("partial", r#"{"numbers":[2,3,4]}"#, r#"{"halves":[1,2],"failed":["half[1]"]}"#),
    ("retried", r#"{"fails":2,"retries":2}"#, "3"),
    ("retried", r#"{"fails":1,"retries":1,"on":["retriable"]}"#, "2"),
    ("submits_without_wait", r#"{"count":2000,"keep":true}"#, "2000"),
    ("submits_without_wait", r#"{"count":2000,"keep":false}"#, "0"),
    ("too_long_result", r#"{"bytes":8}"#, r#""TrappedT""#),
    ("by_variant", r#"{"variant":"ab","millis":0}"#, "40"),
    ("by_variant", r#"{"variant":"ba","millis":0}"#, "40"),
    ("changed_order", r#"{"millis":0}"#, "40"),
    ("other_wait", r#"{"millis":0}"#, "40"),
];

fn answers(bench: &Bench, (flow, arguments, expected): &Answer) {
    let run = start(bench, flow, arguments, |_| {});
    let value = run.result(Some(LONG)).unwrap_or_else(|error| panic!("{flow}: {error}"));
    assert_eq!(value.to_json_string(), *expected, "{flow}");
}

/// Starts a flow of the guest.
fn start(
    bench: &Bench,
    flow: &str,
    arguments: &str,
    change: impl FnOnce(&mut ComponentFlow),
) -> FlowRunFuture {
    start_of(bench, "flows", flow, arguments, change)
}

fn start_of(
    bench: &Bench,
    guest: &str,
    flow: &str,
    arguments: &str,
    change: impl FnOnce(&mut ComponentFlow),
) -> FlowRunFuture {
    let mut flow = ComponentFlow {
        component: bench.guest(guest),
        flow: flow.into(),
        arguments: Value::from_json_str(arguments).unwrap(),
        components: BTreeMap::new(),
        options: Arc::clone(bench.host.options()),
        invoker: Arc::new(bench.host.sandbox().clone()),
        timeout: Some(LONG),
    };
    change(&mut flow);
    flow.check().unwrap();
    let runner = bench.host.flow_runner();
    let sub_flows = ComponentSubFlows::new(
        runner.clone(),
        Arc::clone(&flow.invoker),
        flow.components.clone(),
        None,
    );
    let runner = sub_flows.runner();
    let id = RunId::new();
    let program = flow.program(id, None, runner.events());
    runner.start_program(program, StartOptions { id: Some(id), ..StartOptions::default() })
}

fn failure(run: &FlowRunFuture) -> (String, String) {
    run.wait(Some(LONG));
    match run.outcome() {
        Some(Outcome::Failure(failure)) => (failure.kind, failure.message),
        other => panic!("{} did not fail: {other:?}", run.name()),
    }
}

fn end(run: &FlowRunFuture) -> (EndKind, String) {
    run.wait(Some(LONG));
    match run.outcome() {
        Some(Outcome::Ended(end)) => (end.kind, end.message),
        other => panic!("{} was not ended: {other:?}", run.name()),
    }
}

fn the_component_names_its_flows(bench: &Bench) {
    let info = bench.host.inspect(&bench.guest("flows")).unwrap();
    assert!(info.is_flow("sum_of_squares") && !info.is_flow("square"));
    assert!(info.imports.iter().any(|import| import.starts_with("sandmill:task/futures@")));
    // A component that holds tasks only has nothing of it.
    let info = bench.host.inspect(&bench.guest("probe")).unwrap();
    assert!(info.flows.is_empty());
    assert!(!info.imports.iter().any(|import| import.contains("futures")));
}

fn a_task_cannot_make_calls(bench: &Bench) {
    let ran = bench.run("flows", "chain", r#"{"number":5}"#);
    assert_ne!(ran.future.state().kind, StateType::Completed);
}

fn very_many_squares_are_added_as_they_come(bench: &Bench) {
    // Less than the handles of a hundred thousand runs would take in the flow's memory.
    let limits = Limits { memory: 16 << 20, timeout: LONG, ..bench.host.options().limits.clone() };
    let options = CallOptions { limits, ..CallOptions::clone(bench.host.options()) };
    let count = bench.many(100_000);
    let arguments = format!("{{\"count\":{count}}}");
    let run = start(bench, "sum_of_squares", &arguments, |flow| flow.options = Arc::new(options));
    let value = run.result(Some(LONG)).unwrap();
    let sum: u64 = (0..count).map(|number| number * number).sum();
    assert_eq!(value.decode::<u64>().unwrap(), sum);
}

fn failures_are_typed(bench: &Bench) {
    let of = |flow: &str, arguments: &str| failure(&start(bench, flow, arguments, |_| {}));
    let (kind, message) = of("fail_fast", r#"{"numbers":[2,3,4]}"#);
    assert_eq!(kind, "run-failed");
    assert!(message.contains("half[1]") && message.contains("3 is odd"), "{message}");
    let (kind, message) = of("unequal_lists", "{}");
    assert!(kind == "run-failed" && message.contains("length"), "{kind}: {message}");
    let (_, message) = of("unknown_task", "{}");
    assert!(message.contains("no-such-task"), "{message}");
    let (_, message) = of("unknown_component", "{}");
    assert!(message.contains("no-such-component"), "{message}");
    assert_eq!(of("wrong_type", "{}").0, "wrong-result");
    assert_eq!(of("retried", r#"{"fails":3,"retries":2}"#).0, "run-failed");
    let (kind, message) = end(&start(bench, "panics", r#"{"message":"on purpose"}"#, |_| {}));
    assert!(matches!(kind, EndKind::Trapped(_)) && message.contains("on purpose"), "{message}");
}

/// Whether runs go on beside the flow that called them. The inline executor is at one of them until
/// it has ended, and tells the flow then.
fn runs_go_on_beside(bench: &Bench) -> bool {
    bench.executor.name != "inline"
}

fn waits_end_with_their_time(bench: &Bench) {
    if !runs_go_on_beside(bench) {
        return;
    }
    // Alone: its endless runs would be in the way of others.
    let bench = &Bench::fresh(bench.executor, 2);
    let arguments = r#"{"times":[60000],"timeout":10}"#;
    let (kind, message) = failure(&start(bench, "results_of", arguments, |_| {}));
    assert_eq!((&*kind, &*message), ("wait-timeout", "1 (of 1) futures unfinished"));
    let said = start(bench, "timed_out_watch", r#"{"quick":1,"endless":2,"timeout":200}"#, |_| {});
    let said: Vec<String> = said.result(Some(LONG)).unwrap().decode().unwrap();
    let unfinished = 4 - said.len();
    assert_eq!(said.last().unwrap(), &format!("{unfinished} (of 3) futures unfinished"));
    let run = start(bench, "waits_for", r#"{"takes":500,"timeout":1}"#, |_| {});
    let seen: Vec<String> = run.result(Some(LONG)).unwrap().decode().unwrap();
    assert!(seen.len() == 3 && seen[1] == "timeout" && seen[2] == "completed", "{seen:?}");
    // The short one may wait behind the long one at its host, until it is asked back.
    let ends_first = || {
        let run = start(bench, "order_of_ends", r#"{"times":[2000,1]}"#, |_| {});
        run.result(Some(LONG)).unwrap().to_json_string() == "[1,0]"
    };
    assert!((0..5).any(|_| ends_first()));
    let run = start(bench, "first_of", r#"{"times":[1,60000]}"#, |_| {});
    assert_eq!(run.result(Some(LONG)).unwrap().to_json_string(), "[true,false]");
}

fn a_running_loop_of_a_flow_is_cancelled(bench: &Bench) {
    for flow in ["loops", "never_ends"] {
        let run = start(bench, flow, "{}", |_| {});
        let before = Instant::now();
        while run.state().kind != StateType::Running {
            assert!(before.elapsed() < LONG, "{flow} does not start");
            std::thread::yield_now();
        }
        run.cancel();
        assert_eq!(end(&run).0, EndKind::Cancelled, "{flow}");
    }
}

fn a_flow_that_computes_for_ever_runs_out_of_its_time(bench: &Bench) {
    let run = start(bench, "loops", "{}", |flow| flow.timeout = Some(Duration::from_millis(200)));
    assert_eq!(end(&run).0, EndKind::TimedOut);
}

/// `patience` ends only once it is cancelled: stopped, or with a failure of its own where it notices
/// first.
fn what_is_let_go_of_is_cancelled(bench: &Bench) {
    if !runs_go_on_beside(bench) {
        return;
    }
    for flow in ["dropped", "left_behind"] {
        let bench = Bench::fresh(bench.executor, 2);
        let run = start(&bench, flow, "{}", |_| {});
        run.result(Some(LONG)).unwrap();
        bench.wait_for("patience", State::is_final);
    }
    // A run with a callback too, when its flow fails.
    let bench = Bench::fresh(bench.executor, 2);
    let (kind, _) = failure(&start(&bench, "fails_with_callback", "{}", |_| {}));
    assert_eq!(kind, "on-purpose");
    bench.wait_for("patience", State::is_final);
}

fn a_flow_calls_tasks_of_another_component(bench: &Bench) {
    let arguments = r#"{"component":"other","task":"half","parameter":"number","values":[2,4]}"#;
    let run = start(bench, "nested_by_name", arguments, |flow| {
        flow.components.insert("other".to_owned(), bench.guest("probe"));
    });
    assert_eq!(run.result(Some(LONG)).unwrap().to_json_string(), "[1,1,2]");
}

fn the_census_as_code_is_the_census_as_a_file(bench: &Bench) {
    let mut options = CallOptions::clone(bench.host.options());
    options.grants = granted("census", "sample", "/src");
    let run = start_of(bench, "census", "census", r#"{"directory":"/src"}"#, |flow| {
        flow.options = Arc::new(options);
    });
    let table = run.result(Some(LONG)).unwrap().to_json_string();
    let table: Json = serde_json::from_str(&table).unwrap();
    // What `expect.toml` says of the file.
    let expect =
        std::fs::read_to_string(sandmill_test_artifacts::example("census").join("expect.toml"))
            .unwrap();
    let (_, expected) = expect.split_once("result = '''").unwrap();
    let expected: Json = serde_json::from_str(expected.trim_end().trim_end_matches("'''")).unwrap();
    assert_eq!(table, expected);
    assert_eq!(table["total"]["files"], json!(4));
}
