//! Flows on real executors, with tasks that are scripts.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandmill_core::{EventKind, StateType};
use sandmill_wire::Outcome;
use serde_json::json;
use support::{Bench, ScriptedInvoker, failure, plan, value};

/// Long enough for anything that ends at all.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// `list` gives `of`, `work` doubles `x`, `merge` gives its arguments back.
fn arithmetic() -> Arc<ScriptedInvoker> {
    ScriptedInvoker::new(|attempt, arguments| match &*attempt.call.task {
        "list" => value(arguments["of"].clone()),
        "work" => value(json!(arguments["x"].as_i64().unwrap_or(0) * 2)),
        "more" => value(json!({ "x": arguments["x"], "name": attempt.call.run_name() })),
        "fail" => failure("on purpose"),
        _ => value(arguments.clone()),
    })
}

fn result_on_every_executor(tasks: &str) -> serde_json::Value {
    let run = |bench: Bench| {
        let future = bench.start(plan(tasks));
        let result = future.result(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(future.state().kind, StateType::Completed);
        serde_json::from_str::<serde_json::Value>(&result.to_json_string()).unwrap()
    };
    let inline = run(Bench::inline(arithmetic()));
    assert_eq!(inline, run(Bench::pool(arithmetic(), 1)));
    assert_eq!(inline, run(Bench::pool(arithmetic(), 4)));
    inline
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
