//! A component whose flows and tasks are closures: flows call [`FlowCalls`] as the sandbox does on
//! behalf of a guest.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_core::{
    Attempt, CallOptions, Component, ComponentInfo, FlowArgument, FlowCallOptions, FlowCalls,
    FlowElements, FlowEnd, FlowInstance, FlowInvoker, FlowTarget, FutureKey, Invoker, Report,
    TaskDescriptor, Usage,
};
use sandmill_flow::ComponentFlow;
use sandmill_wire::{End, EndKind, Failure, Outcome, Value};
use serde_json::{Value as Json, json};

/// What a flow of the test does.
pub(crate) type Flow =
    dyn Fn(&FlowInstance<'_>, &mut dyn FlowCalls) -> Result<Outcome, End> + Send + Sync;

/// Performs tasks and runs flows by closures.
pub(crate) struct Guest {
    flow: Box<Flow>,
    /// Runs of tasks by name, in the order in which they started.
    pub(crate) started: Mutex<Vec<String>>,
    pub(crate) flows_started: AtomicUsize,
}

impl Guest {
    pub(crate) fn new(
        flow: impl Fn(&FlowInstance<'_>, &mut dyn FlowCalls) -> Result<Outcome, End>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Self> {
        let flow = Box::new(flow);
        Arc::new(Self { flow, started: Mutex::default(), flows_started: AtomicUsize::new(0) })
    }

    pub(crate) fn flow(self: &Arc<Self>) -> ComponentFlow {
        ComponentFlow {
            component: component(),
            flow: "main".into(),
            arguments: value(&json!({})),
            components: BTreeMap::from([("other".to_owned(), other())]),
            options: Arc::new(CallOptions::default()),
            invoker: Arc::clone(self) as Arc<dyn FlowInvoker>,
            timeout: None,
        }
    }

    pub(crate) fn started(&self) -> Vec<String> {
        self.started.lock().clone()
    }
}

impl Invoker for Guest {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        self.started.lock().push(attempt.call.run_name().to_string());
        let outcome = task(&attempt.call.task, &attempt.call.arguments, || {
            attempt.cancel.wait_until(std::time::Instant::now() + Duration::from_secs(60))
        });
        Report::new(outcome, Usage::default())
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        let task = |name: &str, parameters: &str| TaskDescriptor {
            name: name.to_owned(),
            doc: None,
            parameters: parameters.to_owned(),
            result: "{}".to_owned(),
        };
        if component.digest() == other().digest() {
            let tasks = vec![task("double", "{}")];
            return Ok(Arc::new(ComponentInfo { tasks, imports: Vec::new(), flows: Vec::new() }));
        }
        let closed =
            r#"{"properties": {"n": {}}, "required": ["n"], "additionalProperties": false}"#;
        let tasks = vec![
            task("double", closed),
            task("sum", "{}"),
            task("list", "{}"),
            task("large", "{}"),
            task("fail", "{}"),
            task("slow", "{}"),
            task("main", "{}"),
            task("inner", "{}"),
        ];
        let flows = vec!["main".to_owned(), "inner".to_owned()];
        Ok(Arc::new(ComponentInfo { tasks, imports: Vec::new(), flows }))
    }
}

impl FlowInvoker for Guest {
    fn run_flow(&self, flow: FlowInstance<'_>, mut calls: Box<dyn FlowCalls>) -> Report {
        self.flows_started.fetch_add(1, Ordering::SeqCst);
        let outcome = (self.flow)(&flow, &mut *calls).unwrap_or_else(Outcome::Ended);
        Report::new(outcome, Usage::default())
    }
}

/// Bytes of what the task `large` gives: more than a store keeps in a row.
pub(crate) const LARGE: usize = 2 * sandmill_store::MAX_INLINE_RESULT;

/// What the tasks do. `cancelled` waits until the run is cancelled.
pub(crate) fn task(name: &str, arguments: &Value, cancelled: impl FnOnce() -> bool) -> Outcome {
    let arguments: Json = serde_json::from_str(&arguments.to_json_string()).expect("JSON");
    match name {
        "double" => Outcome::Value(value(&json!(arguments["n"].as_i64().unwrap_or(0) * 2))),
        "sum" => {
            let numbers = arguments["numbers"].as_array().cloned().unwrap_or_default();
            let sum: i64 = numbers.iter().filter_map(Json::as_i64).sum();
            Outcome::Value(value(&json!(sum)))
        }
        "large" => Outcome::Value(value(&json!("x".repeat(LARGE)))),
        "list" => Outcome::Value(value(&json!([1, 2, 3]))),
        "fail" => Outcome::Failure(Failure::new("test-failure", "as told")),
        "slow" => {
            assert!(cancelled(), "nobody cancelled it");
            End::new(EndKind::Cancelled, "the run was cancelled").into()
        }
        other => panic!("no task `{other}`"),
    }
}

pub(crate) fn component() -> Component {
    Component::new(&b"the component of the flows"[..], "flows.wasm")
}

pub(crate) fn other() -> Component {
    Component::new(&b"another component"[..], "other.wasm")
}

pub(crate) fn value(json: &Json) -> Value {
    Value::from_json_str(&json.to_string()).expect("the test's value")
}

pub(crate) fn json_of(value: &Value) -> Json {
    serde_json::from_str(&value.to_json_string()).expect("JSON")
}

pub(crate) fn target(task: &str) -> FlowTarget {
    FlowTarget { component: None, task: task.to_owned(), options: FlowCallOptions::default() }
}

pub(crate) fn detached(task: &str) -> FlowTarget {
    let mut target = target(task);
    target.options.detach = true;
    target
}

pub(crate) fn known(name: &str, json: &Json) -> (String, FlowArgument) {
    (name.to_owned(), FlowArgument::Value(value(json)))
}

pub(crate) fn each(name: &str, json: &Json) -> (String, FlowElements) {
    (name.to_owned(), FlowElements::Values(value(json)))
}

pub(crate) const fn one(command: u32) -> FutureKey {
    FutureKey { command, index: None }
}

pub(crate) const fn at(command: u32, index: u64) -> FutureKey {
    FutureKey { command, index: Some(index) }
}

/// Waits for a result: its JSON, or the name of the state that the run ended in.
pub(crate) fn result(calls: &mut dyn FlowCalls, key: FutureKey) -> Result<Json, End> {
    let end: Box<FlowEnd> = calls.end(key, None)?.expect("there is no timeout");
    Ok(match &end.outcome {
        Outcome::Value(value) => json_of(value),
        _ => json!(end.state.name),
    })
}
