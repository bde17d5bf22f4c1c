//! A component whose tasks are closures, and a flow run of a text.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

pub(crate) mod history;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::{
    Attempt, Call, Clock, Component, ComponentInfo, Event, EventKind, Events, Executor, Invoker,
    Report, StartContext, TaskDescriptor, Usage,
};
use sandmill_executors::{InlineExecutor, PoolConfig, PoolExecutor};
use sandmill_flow::{ComponentSpec, Faults, FlowFile, FlowRunFuture, FlowRunner, Given, Plan};
use sandmill_wire::{End, Failure, Outcome, Value};

/// What a task of the test does: its name and arguments, to its outcome.
pub(crate) type Script = dyn Fn(&Attempt<'_>, &serde_json::Value) -> Outcome + Send + Sync;

/// Performs calls by a script.
pub(crate) struct ScriptedInvoker {
    script: Box<Script>,
    /// The names of runs, in the order in which they started.
    pub(crate) started: Mutex<Vec<String>>,
}

impl ScriptedInvoker {
    pub(crate) fn new(
        script: impl Fn(&Attempt<'_>, &serde_json::Value) -> Outcome + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), started: Mutex::default() })
    }

    pub(crate) fn started(&self) -> Vec<String> {
        self.started.lock().clone()
    }
}

impl Invoker for ScriptedInvoker {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        let Call { arguments, .. } = attempt.call;
        self.started.lock().push(attempt.call.run_name().to_string());
        let arguments =
            serde_json::from_str(&arguments.to_json_string()).expect("arguments are JSON");
        Report::new((self.script)(&attempt, &arguments), Usage::default())
    }

    fn prepare(&self, _: &Component) -> Result<Arc<ComponentInfo>, End> {
        Ok(Arc::new(info()))
    }
}

pub(crate) fn value(json: serde_json::Value) -> Outcome {
    Outcome::Value(Value::from_json_str(&json.to_string()).expect("the test's value"))
}

pub(crate) fn failure(message: &str) -> Outcome {
    Outcome::Failure(Failure::new("test-failure", message))
}

/// `t` has tasks without schemas worth the name, `typed` has one with them.
pub(crate) fn info() -> ComponentInfo {
    let open = |name: &str| TaskDescriptor {
        name: name.to_owned(),
        doc: None,
        parameters: "{}".to_owned(),
        result: "{}".to_owned(),
    };
    let names = ["list", "work", "more", "merge", "fail", "slow"];
    let mut tasks: Vec<TaskDescriptor> = names.iter().map(|name| open(name)).collect();
    let typed =
        |name: &str, parameters: serde_json::Value, result: serde_json::Value| TaskDescriptor {
            name: name.to_owned(),
            doc: None,
            parameters: parameters.to_string(),
            result: result.to_string(),
        };
    use serde_json::json;
    tasks.push(typed(
        "files",
        json!({"type": "object", "properties": {"directory": {"type": "string"}},
               "required": ["directory"], "additionalProperties": false}),
        json!({"type": "array", "items": {"$ref": "#/$defs/File"},
               "$defs": {"File": {"type": "object", "properties": {
                   "name": {"type": "string"}, "size": {"type": "integer"}}}}}),
    ));
    tasks.push(typed(
        "count",
        json!({"type": "object", "properties": {
                   "name": {"type": "string"}, "width": {"type": "integer", "maximum": 100}},
               "required": ["name"], "additionalProperties": false}),
        json!({"type": "integer"}),
    ));
    tasks.push(typed(
        "total",
        json!({"type": "object", "properties": {
                   "counts": {"type": "array", "items": {"type": "integer"}}},
               "required": ["counts"], "additionalProperties": false}),
        json!({"type": "number"}),
    ));
    tasks.push(typed(
        "farewell",
        json!({"type": "object", "properties": {"word": {"type": "string"}, "flow": {}},
               "required": ["word", "flow"], "additionalProperties": false}),
        json!({}),
    ));
    ComponentInfo { tasks, imports: Vec::new(), flows: Vec::new() }
}

pub(crate) fn component() -> Component {
    Component::new(&b"the component of the tests"[..], "t.wasm")
}

pub(crate) fn source(spec: &ComponentSpec) -> Result<(Component, Arc<ComponentInfo>), String> {
    if spec.path.value.ends_with("missing.wasm") {
        return Err("there is no such file".to_owned());
    }
    Ok((component(), Arc::new(info())))
}

pub(crate) fn given(parameters: &[(&str, &str)]) -> Given {
    let parameters: BTreeMap<String, Value> = parameters
        .iter()
        .map(|(name, json)| ((*name).to_owned(), Value::from_json_str(json).expect("JSON")))
        .collect();
    Given::new().parameters(parameters).environment(|_| None)
}

pub(crate) const HEAD: &str = "flow.name = 'test'\ncomponents.t.path = 't.wasm'\n";

pub(crate) fn check(text: &str, given: &Given) -> Result<Arc<Plan>, Faults> {
    FlowFile::read(Path::new("flow.toml"), text).check(&source, given)
}

/// The plan of a text below [`HEAD`], which has to be right.
pub(crate) fn plan(tasks: &str) -> Arc<Plan> {
    match check(&format!("{HEAD}{tasks}"), &given(&[])) {
        Ok(plan) => plan,
        Err(faults) => panic!("{faults}"),
    }
}

/// Everything that was told of, in order.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<Event>>);

impl Log {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// The final states by run name, in the order in which they were told.
    pub(crate) fn ends(&self) -> Vec<(String, String)> {
        let events = self.events();
        let mut names = BTreeMap::new();
        let mut ends = Vec::new();
        for event in &events {
            match &event.kind {
                EventKind::Submitted(submitted) => {
                    names.insert(event.run, submitted.name.to_string());
                }
                EventKind::State(state) if state.is_final() => {
                    ends.push((names[&event.run].clone(), state.name.to_string()));
                }
                _ => {}
            }
        }
        ends
    }
}

pub(crate) struct Bench {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) events: Events,
    pub(crate) log: Arc<Log>,
}

impl Bench {
    pub(crate) fn inline(invoker: Arc<ScriptedInvoker>) -> Self {
        Self::of(Arc::new(InlineExecutor::new(invoker)))
    }

    pub(crate) fn pool(invoker: Arc<ScriptedInvoker>, slots: usize) -> Self {
        let config = PoolConfig { slots, ..PoolConfig::default() };
        Self::of(Arc::new(PoolExecutor::new(invoker, config)))
    }

    fn of(executor: Arc<dyn Executor>) -> Self {
        let events = Events::new(Clock::system());
        let log = Arc::new(Log::default());
        let sink = Arc::clone(&log);
        events.observe(Arc::new(move |event: &Event| sink.0.lock().push(event.clone())));
        let context = StartContext { events: events.clone() };
        futures::executor::block_on(executor.start(context)).expect("the executor starts");
        Self { executor, events, log }
    }

    pub(crate) fn start(&self, plan: Arc<Plan>) -> FlowRunFuture {
        FlowRunner::new(Arc::clone(&self.executor), self.events.clone()).start(plan)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.executor.abort();
    }
}
