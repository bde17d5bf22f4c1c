//! Flows on real executors, with tasks that are scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Bench, ScriptedInvoker, failure, plan, value};
use sandmill_core::{EventKind, StateType};
use sandmill_flow::FlowRunFuture;
use sandmill_wire::{EndKind, Outcome};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// `list` gives `of`, `work` doubles `x`, `more` gives `x` and its run's name, `merge` gives its
/// arguments back; `fail` fails, but for an even `x`.
fn arithmetic() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, arguments| match &*attempt.call.task {
        "list" => value(arguments["of"].clone()),
        "work" => value(json!(arguments["x"].as_i64().unwrap_or(0) * 2)),
        "more" => value(json!({ "x": arguments["x"], "name": attempt.call.run_name() })),
        "fail" if arguments["x"].as_i64().is_none_or(|x| x % 2 == 1) => failure("on purpose"),
        _ => value(arguments.clone()),
    })
}

fn json_of(future: &FlowRunFuture) -> serde_json::Value {
    let result = future.result(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(future.state().kind, StateType::Completed);
    serde_json::from_str(&result.to_json_string()).unwrap()
}

fn result_on_every_executor(tasks: &str) -> serde_json::Value {
    let run = |bench: Bench| json_of(&bench.start(plan(tasks)));
    let inline = run(Bench::inline(arithmetic()));
    assert_eq!(inline, run(Bench::pool(arithmetic(), 1)));
    assert_eq!(inline, run(Bench::pool(arithmetic(), 4)));
    inline
}

/// How a flow failed, on the inline executor, and how its runs ended.
fn failure_of(tasks: &str) -> (String, Vec<(String, String)>) {
    let bench = Bench::inline(arithmetic());
    let future = bench.start(plan(tasks));
    let state = future.wait(PATIENCE);
    assert_eq!(state.kind, StateType::Failed, "{state}");
    let mut ends = bench.log.ends();
    assert_eq!(ends.pop(), Some(("test".to_owned(), "Failed".to_owned())));
    (state.message.unwrap_or_default().to_string(), ends)
}

fn pairs(ends: &[(&str, &str)]) -> Vec<(String, String)> {
    ends.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn a_mapped_flow_gives_its_results_in_order() {
    let result = result_on_every_executor(
        "tasks.a = { call = 't.list', arguments.of = [1, 2, 3] }
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.c = { call = 't.work', arguments.x = { map = 'b.result' } }
         tasks.d = { call = 't.merge', arguments.all = { from = 'c.result' }, arguments.second = { from = 'c.result.1' } }
         flow.result = 'd.result'",
    );
    assert_eq!(result, json!({ "all": [4, 8, 12], "second": 8 }));
}

#[test]
fn arguments_take_every_form() {
    let result = result_on_every_executor(
        "parameters.list = { type = 'array', default = [[1, 2], [], [3]] }
         tasks.a = { call = 't.list', arguments.of = [[1, 2], [3]] }
         tasks.m = { call = 't.list', arguments.of = { map = [[1], [2, 3]] } }
         tasks.o = { call = 't.more', arguments.x = { map = 'parameters.list.0' } }
         tasks.flat = { call = 't.merge', arguments.x = { flatten = 'a.result' }, arguments.same = { unmapped = 'a.result' } }
         tasks.flatmapped = { call = 't.work', arguments.x = { flatten = 'm.result' } }
         tasks.flatknown = { call = 't.work', arguments.x = { flatten = 'parameters.list' } }
         tasks.path = { call = 't.merge', arguments.x = { map = 'o.result.name' }, arguments.text = { unmapped = 'plain' } }
         tasks.lit = { call = 't.merge', arguments.x = { literal = { from = 'a.result' } }, arguments.t = { from = 1, to = 2 } }
         tasks.all = { call = 't.merge', arguments = { flat = { from = 'flat.result' }, flatmapped = { from = 'flatmapped.result' }, flatknown = { from = 'flatknown.result' }, path = { from = 'path.result' }, lit = { from = 'lit.result' }, deep = { from = 'o.result.1.name' } } }
         flow.result = 'all.result'",
    );
    let all = json!([[1, 2], [3]]);
    let expected = json!({
        "flat": [{ "x": 1, "same": all }, { "x": 2, "same": all }, { "x": 3, "same": all }],
        "flatmapped": [2, 4, 6],
        "flatknown": [2, 4, 6],
        "path": [{ "x": "o[0]", "text": "plain" }, { "x": "o[1]", "text": "plain" }],
        "lit": { "x": { "from": "a.result" }, "t": { "from": 1, "to": 2 } },
        "deep": "o[1]",
    });
    assert_eq!(result, expected);
}

#[test]
fn several_maps_zip() {
    let tasks = "tasks.a = { call = 't.list', arguments.of = [1, 2, 3] }
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.c = { call = 't.merge', arguments.x = { map = 'b.result' }, arguments.y = { map = ['p', 'q'] }, zip = 'shortest' }
         tasks.d = { call = 't.merge', arguments.x = { map = 'c.result.y' }, arguments.y = { map = 'c.result.x' } }
         flow.result = 'd.result'";
    let expected = json!([{ "x": "p", "y": 2 }, { "x": "q", "y": 4 }]);
    assert_eq!(result_on_every_executor(tasks), expected);
    let (message, ends) = failure_of(&tasks.replace(", zip = 'shortest'", ""));
    assert!(message.contains("`b.result` has 3, `arguments.y` has 2"), "{message}");
    let (c, d) = (ends.iter().find(|end| end.0 == "c"), ends.iter().find(|end| end.0 == "d"));
    assert_eq!(c.unwrap().1, "Failed");
    assert_eq!(d.unwrap().1, "TriggerFailed");
}

#[test]
fn an_empty_map_runs_nothing_and_gives_an_empty_list() {
    let invoker = arithmetic();
    let bench = Bench::inline(Arc::clone(&invoker));
    let future = bench.start(plan(
        "tasks.a = { call = 't.list', arguments.of = [] }
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.c = { call = 't.work', arguments.x = { map = 'b.result' } }
         tasks.d = { call = 't.merge', arguments.x = { from = 'c.result' } }
         flow.result = 'd.result'",
    ));
    assert_eq!(json_of(&future), json!({ "x": [] }));
    assert_eq!(invoker.started(), ["a", "d"]);
    assert_eq!(future.report().stages[1].total, Some(0));
}

#[test]
fn a_flow_without_a_result_gives_nil_and_follows_its_last_tasks() {
    let bench = Bench::inline(arithmetic());
    let future = bench.start(plan("tasks.a.call = 't.merge'\ntasks.b.call = 't.merge'"));
    assert_eq!(json_of(&future), json!(null));
    let (message, _) =
        failure_of("tasks.a.call = 't.merge'\ntasks.b.call = 't.fail'\ntasks.c.call = 't.fail'");
    assert!(message.contains("2 of 3 last tasks did not complete"), "{message}");
    assert!(message.contains("`b`") && message.contains("on purpose"), "{message}");
}

#[test]
fn with_one_slot_maps_go_depth_first() {
    let invoker = arithmetic();
    let bench = Bench::inline(Arc::clone(&invoker));
    let tasks = "tasks.a = { call = 't.work', arguments.x = { map = [1, 2, 3] } }
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.c = { call = 't.work', arguments.x = { map = 'b.result' } }";
    bench.start(plan(tasks)).wait(PATIENCE);
    assert_eq!(
        invoker.started(),
        ["a[0]", "b[0]", "c[0]", "a[1]", "b[1]", "c[1]", "a[2]", "b[2]", "c[2]"]
    );
    // A pool has a few calls waiting for its slot, so it is off by as much, and no more.
    let invoker = arithmetic();
    let bench = Bench::pool(Arc::clone(&invoker), 1);
    let long: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    bench.start(plan(&tasks.replace("1, 2, 3", &long.join(",")))).wait(PATIENCE);
    let started = invoker.started();
    assert_eq!(started.len(), 3000);
    let first = |name: &str| started.iter().position(|started| started == name).unwrap();
    assert!(first("c[0]") < 30, "{:?}", &started[..40]);
    assert!(first("c[900]") < 2760);
}

#[test]
fn a_failure_poisons_only_what_depends_on_it() {
    let (message, ends) = failure_of(
        "tasks.a = { call = 't.fail', arguments.x = { map = [2, 1, 4] } }
         tasks.b = { call = 't.merge', arguments.x = { map = 'a.result.x' } }
         tasks.c = { call = 't.merge', arguments.x = { from = 'b.result' } }
         tasks.d = { call = 't.merge', arguments.x = { map = 'c.result' } }
         tasks.e = { call = 't.merge', after = ['c'] }
         tasks.f = { call = 't.merge' }
         flow.result = 'c.result'",
    );
    assert!(
        message.contains("the result task `c` did not complete, because of `a[1]` (run"),
        "{message}"
    );
    assert_eq!(
        ends,
        pairs(&[
            ("a[0]", "Completed"),
            ("b[0]", "Completed"),
            ("a[1]", "Failed"),
            ("b[1]", "TriggerFailed"),
            ("a[2]", "Completed"),
            ("b[2]", "Completed"),
            ("c", "TriggerFailed"),
            ("d", "TriggerFailed"),
            ("e", "TriggerFailed"),
            ("f", "Completed"),
        ])
    );
}

#[test]
fn the_report_counts_states_and_lists_what_failed() {
    let bench = Bench::pool(arithmetic(), 2);
    let future = bench.start(plan(
        "tasks.a = { call = 't.fail', arguments.x = { map = [2, 1, 4] } }
         tasks.b = { call = 't.merge', arguments.x = { map = 'a.result.x' } }
         tasks.c = { call = 't.merge' }
         flow.result = 'c.result'",
    ));
    // The result's task completed, and so did the flow; what failed is told all the same.
    assert_eq!(json_of(&future), json!({}));
    let report = future.report();
    let ended = |stage: usize| {
        report.stages[stage].ended.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>()
    };
    assert_eq!(ended(0), ["Completed 2", "Failed 1"]);
    assert_eq!(ended(1), ["Completed 2", "TriggerFailed 1"]);
    assert_eq!(ended(2), ["Completed 1"]);
    assert_eq!((report.failed_count(), report.done()), (2, 7));
    let message = report.failed[1].state.message.clone().unwrap();
    assert!(
        message.starts_with(&format!("it depends on `a[1]` (run {})", report.failed[0].run)),
        "{message}"
    );
}

#[test]
fn what_is_wrong_with_a_result_fails_the_task_that_takes_it() {
    for (tasks, words) in [
        (
            "tasks.b = { call = 't.work', arguments.x = { from = 'a.result.z' } }",
            "`a.result.z` leads nowhere",
        ),
        (
            "tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }",
            "`a.result` is of kind map",
        ),
        (
            "tasks.b = { call = 't.work', arguments.x = { flatten = 'a.result.l' } }",
            "element of `a.result.l` is of kind integer",
        ),
        (
            "tasks.m = { call = 't.merge', arguments.x = { map = [1] } }\n\
          tasks.b = { call = 't.work', arguments.x = { map = 'm.result.y' } }",
            "`m.result.y` leads nowhere",
        ),
        (
            "tasks.m = { call = 't.merge', arguments.x = { map = [1] } }\n\
          tasks.b = { call = 't.work', arguments.x = { from = 'm.result.7' } }",
            "`m.result.7` leads nowhere",
        ),
    ] {
        let (message, ends) =
            failure_of(&format!("tasks.a = {{ call = 't.merge', arguments.l = [1] }}\n{tasks}"));
        assert!(message.contains(words), "{message}");
        assert!(
            ends.last().unwrap().0.starts_with('b') && ends.last().unwrap().1 == "Failed",
            "{ends:?}"
        );
    }
    let (message, _) = failure_of("tasks.a = { call = 't.merge' }\nflow.result = 'a.result.no'");
    assert!(message.contains("`a.result.no` leads nowhere"), "{message}");
}

#[test]
fn control_edges_are_waited_for() {
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let invoker = ScriptedInvoker::new(move |attempt, _| {
        if &*attempt.call.task == "slow" {
            std::thread::sleep(Duration::from_millis(5));
            count.fetch_add(1, Ordering::SeqCst);
        }
        value(json!(count.load(Ordering::SeqCst)))
    });
    let bench = Bench::pool(invoker, 4);
    let future = bench.start(plan(
        "tasks.s = { call = 't.slow', arguments.x = { map = [1, 2, 3, 4, 5, 6] } }
         tasks.e = { call = 't.merge', after = ['s'] }\nflow.result = 'e.result'",
    ));
    assert_eq!(json_of(&future), json!(6));
}

#[test]
fn events_tell_of_the_flow_and_of_the_size_of_its_maps() {
    let bench = Bench::inline(arithmetic());
    let future = bench.start(plan(
        "tasks.a = { call = 't.work', arguments.x = { map = [1, 2] }, tags = ['resource:gpu=2'] }",
    ));
    future.wait(PATIENCE);
    let events = bench.log.events();
    let of_flow: Vec<String> = events
        .iter()
        .filter(|event| event.run == future.id())
        .filter_map(|event| match &event.kind {
            EventKind::Submitted(submitted) => Some(format!("submitted {}", submitted.name)),
            EventKind::State(state) => Some(state.name.to_string()),
            EventKind::Mapped(mapped) => Some(format!("{} {}", mapped.stage, mapped.total)),
            _ => None,
        })
        .collect();
    assert_eq!(of_flow, ["submitted test", "Pending", "Running", "a 2", "Completed"]);
    let tasks = events.iter().filter_map(|event| match &event.kind {
        EventKind::Submitted(submitted) if event.run != future.id() => Some(submitted),
        _ => None,
    });
    for (index, submitted) in tasks.enumerate() {
        assert_eq!(submitted.parent, Some(future.id()));
        assert_eq!((&*submitted.stage, submitted.map_index), ("a", Some(index as u64)));
    }
}

/// A task that runs until it is told to stop.
fn endless() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, arguments| {
        if arguments["x"].as_i64() == Some(0) {
            return value(json!(0));
        }
        while !attempt.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Outcome::Ended(sandmill_wire::End::new(EndKind::Cancelled, "stopped"))
    })
}

#[test]
fn cancel_stops_everything() {
    for bench in [Bench::inline(endless()), Bench::pool(endless(), 2)] {
        let future = bench.start(plan(
            "tasks.a = { call = 't.work', arguments.x = { map = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] } }
             tasks.b = { call = 't.merge', arguments.x = { from = 'a.result' } }",
        ));
        while bench.log.ends().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        future.cancel();
        assert_eq!(future.wait(PATIENCE).kind, StateType::Cancelled);
        let ends = bench.log.ends();
        assert!(ends.iter().skip(1).all(|(_, state)| state == "Cancelled"), "{ends:?}");
        assert!(!ends.iter().any(|(name, _)| name == "b" || name == "a[15]"), "{ends:?}");
        assert_eq!(future.report().stages[0].running, 0);
        // The executor is none the worse for it.
        assert!(bench.executor.slots() > 0);
    }
}

#[test]
fn a_flow_that_nobody_holds_is_cancelled() {
    let invoker = endless();
    let bench = Bench::pool(Arc::clone(&invoker), 1);
    drop(bench.start(plan("tasks.a = { call = 't.work', arguments.x = 1 }")));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !bench.log.ends().iter().any(|(name, state)| name == "test" && state == "Cancelled") {
        assert!(std::time::Instant::now() < deadline, "{:?}", bench.log.ends());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_flow_can_be_awaited_and_calls_back() {
    let bench = Bench::pool(arithmetic(), 1);
    let future = bench
        .start(plan("tasks.a = { call = 't.merge', arguments.x = 1 }\nflow.result = 'a.result.x'"));
    let (sender, receiver) = std::sync::mpsc::channel();
    future.on_done(move |future| sender.send(future.report().done()).unwrap());
    assert_eq!(futures::executor::block_on(future).unwrap().to_json_string(), "1");
    assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(1));
}

#[test]
fn a_hundred_thousand_runs_pass_through() {
    let invoker = ScriptedInvoker::new(|attempt, arguments| match &*attempt.call.task {
        "list" => value(json!((0..100_000).collect::<Vec<u32>>())),
        "work" => value(json!(arguments["x"].as_i64().unwrap_or(0) * 2)),
        _ => value(json!(arguments["x"].as_array().map_or(0, Vec::len))),
    });
    let bench = Bench::pool(invoker, 2);
    let future = bench.start(plan(
        "tasks.a.call = 't.list'
         tasks.b = { call = 't.work', arguments.x = { map = 'a.result' } }
         tasks.c = { call = 't.work', arguments.x = { map = 'b.result' } }
         tasks.d = { call = 't.merge', arguments.x = { from = 'c.result' } }
         flow.result = 'd.result'",
    ));
    assert_eq!(json_of(&future), json!(100_000));
    assert_eq!(future.report().stages[2].completed, 100_000);
}

#[test]
fn an_executor_that_is_closed_fails_the_flow_and_not_the_process() {
    let bench = Bench::pool(arithmetic(), 1);
    bench.executor.abort();
    let state = bench.start(plan("tasks.a.call = 't.merge'")).wait(PATIENCE);
    assert_eq!(state.kind, StateType::Failed, "{state}");
    assert!(state.message.unwrap().contains("Refused"));
}

#[test]
fn a_list_may_be_as_large_as_the_task_that_takes_it_says() {
    let invoker = ScriptedInvoker::new(|attempt, arguments| match &*attempt.call.task {
        "work" => value(json!("x".repeat(1 << 20))),
        _ => value(json!(arguments["x"].as_array().map_or(0, Vec::len))),
    });
    let bench = Bench::inline(invoker);
    let numbers: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let tasks = format!(
        "tasks.b = {{ call = 't.work', arguments.x = {{ map = [{}] }} }}
         tasks.c = {{ call = 't.merge', arguments.x = {{ from = 'b.result' }} }}",
        numbers.join(",")
    );
    let state = bench.start(plan(&tasks)).wait(PATIENCE);
    let message = state.message.unwrap();
    assert!(message.contains("the list `b.result` is too large"), "{message}");
    let larger = format!("{tasks}\ntasks.c.limits.input = '64MiB'\nflow.result = 'c.result'")
        .replace(
            "tasks.c = { call",
            "tasks.c.call = 't.merge'\ntasks.c.arguments.x.from = 'b.result' #",
        );
    assert_eq!(json_of(&bench.start(plan(&larger))), json!(20));
}
