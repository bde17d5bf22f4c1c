//! Where a scenario plays: a host of its own on one of the executors, with the real sandbox and
//! the guest `probe`, and a record of the states that runs go through.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sandmill::core::{AttemptEnd, MAX_RETRIES};
use sandmill::flow_file::{FlowRunFuture, Given, Plan};
use sandmill::{
    Call, CallOptions, Component, FlowStart, Host, HostBuilder, Observer, Outcome, PlannedFlow,
    RetryDelay, RetryPolicy, StartedFlow, State, TaskFuture, Value,
};
use sandmill_test_artifacts as artifacts;
use sandmill_test_conformance::{ExecutorUnderTest, Others, Record};

/// Longer than anything takes that works: what is not there by then has hung.
pub const LONG: Duration = Duration::from_secs(60);
/// How long to wait for what is not to come.
pub const SHORT: Duration = Duration::from_millis(50);

/// Runs at a time in a pool: more than any scenario holds at once.
const SLOTS: usize = 4;
/// What runs are called that wait for a gate.
pub const HELD: &str = "held";
/// How often they look whether it is open: for 40 s in all, by the most retries that there can be.
const GATE_POLL: Duration = Duration::from_millis(40);

/// A host on one executor.
pub struct Stage {
    /// The executor.
    pub executor: &'static ExecutorUnderTest,
    /// The host.
    pub host: Host,
    /// The guest `probe`.
    pub probe: Component,
    record: Arc<Record>,
    folder: Arc<tempfile::TempDir>,
    /// How many gates there are.
    gates: AtomicU32,
    /// After the host, so that they go after it.
    _others: Others,
}

impl Stage {
    /// A stage without history.
    ///
    /// # Panics
    /// When the host cannot be opened.
    #[must_use]
    pub fn new(executor: &'static ExecutorUnderTest) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        Self::open(executor, Arc::new(folder), |host| host)
    }

    /// Another stage on the same executor, whose host is set up further.
    #[must_use]
    pub fn with(&self, set_up: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        Self::open(self.executor, Arc::clone(&self.folder), set_up)
    }

    /// Another stage with history, in the data directory that all of this scenario share. Only one
    /// can have it at a time.
    #[must_use]
    pub fn with_history(&self) -> Self {
        let data = self.data();
        self.with(|host| host.data_dir(data))
    }

    fn open(
        executor: &'static ExecutorUnderTest,
        folder: Arc<tempfile::TempDir>,
        set_up: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let record = Arc::new(Record::default());
        let (builder, others) = (executor.choose)(Host::builder(), SLOTS);
        let builder = builder
            .cache_dir(artifacts::scratch().join("prefect-cache"))
            .observer(Arc::clone(&record) as Arc<dyn Observer>);
        let host = set_up(builder).build().expect("the host opens");
        let probe = host.load(artifacts::guest("probe")).expect("the guest can be read");
        Self { executor, host, probe, record, folder, gates: AtomicU32::new(0), _others: others }
    }

    /// The data directory of stages with history.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A path in the scenario's folder.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A call of a task of `probe`, with arguments in JSON.
    ///
    /// # Panics
    /// When `arguments` is not JSON.
    #[must_use]
    pub fn call(&self, task: &str, arguments: &str) -> Call {
        let arguments = Value::from_json_str(arguments).expect("the arguments are JSON");
        Call::new(&self.probe, task, arguments)
    }

    /// A call with other options.
    #[must_use]
    pub fn call_with(
        &self,
        task: &str,
        arguments: &str,
        change: impl FnOnce(&mut CallOptions),
    ) -> Call {
        let mut options = CallOptions::default();
        change(&mut options);
        self.call(task, arguments).with_options(options)
    }

    /// Submits a call with the default options.
    #[must_use]
    pub fn submit(&self, task: &str, arguments: &str) -> TaskFuture {
        self.host.submit(self.call(task, arguments))
    }

    /// Submits a call with other options.
    #[must_use]
    pub fn submit_with(
        &self,
        task: &str,
        arguments: &str,
        change: impl FnOnce(&mut CallOptions),
    ) -> TaskFuture {
        self.host.submit(self.call_with(task, arguments, change))
    }

    /// A run that returns `number`.
    #[must_use]
    pub fn number(&self, number: i64) -> TaskFuture {
        self.submit("add", &format!("{{\"left\":{number},\"right\":0}}"))
    }

    /// A run that fails: its kind is `odd`.
    #[must_use]
    pub fn failing(&self) -> TaskFuture {
        self.submit("half", r#"{"number":5}"#)
    }

    /// The call of a run that goes on until its gate is opened, and completes then. Not where
    /// `submit` returns when runs have ended: it would not.
    ///
    /// # Panics
    /// There.
    #[must_use]
    pub fn holding(&self) -> (Call, Gate) {
        assert!(!self.executor.runs_in_submit, "nobody would be there to open the gate");
        let number = self.gates.fetch_add(1, Ordering::Relaxed);
        let folder = self.path(format!("gate-{number}"));
        std::fs::create_dir(&folder).expect("there is room for a folder");
        let grant = format!("{}::/gate", folder.display());
        // It reads a file that is not there yet, again and again.
        let call = self.call_with("read", r#"{"path":"/gate/open"}"#, |options| {
            options.name = Some(HELD.into());
            options.grants.dirs = vec![grant.parse().expect("it has the form of a grant")];
            options.retries = RetryPolicy {
                delay: RetryDelay::List(vec![GATE_POLL]),
                ..RetryPolicy::times(MAX_RETRIES)
            };
        });
        (call, Gate(folder.join("open")))
    }

    /// Such a run.
    ///
    /// # Panics
    /// See [`Stage::holding`].
    #[must_use]
    pub fn held(&self) -> Held {
        let (call, gate) = self.holding();
        Held(self.host.submit(call), gate)
    }

    /// The name of the state that a run ends in, and of those before it.
    ///
    /// # Panics
    /// When the run does not end.
    #[must_use]
    pub fn states(&self, future: &TaskFuture) -> Vec<String> {
        self.history(future).0.iter().map(|state| state.name.to_string()).collect()
    }

    /// The states that a run went through, and how its attempts ended. Each is told of once.
    ///
    /// # Panics
    /// When the run does not end.
    #[must_use]
    pub fn history(&self, future: &TaskFuture) -> (Vec<State>, Vec<AttemptEnd>) {
        ended(future);
        let told = self.record.take(future.id());
        (told.states, told.attempts)
    }

    /// What a run wrote to its log.
    ///
    /// # Panics
    /// When the run does not end.
    #[must_use]
    pub fn log(&self, future: &TaskFuture) -> Vec<String> {
        ended(future);
        self.record.take(future.id()).lines.into_iter().map(|line| line.message).collect()
    }

    /// A flow file that uses `probe`.
    ///
    /// # Panics
    /// When it has faults.
    #[must_use]
    pub fn plan(&self, text: &str) -> Arc<Plan> {
        self.host
            .plan(self.flow_file(text), &Given::new())
            .unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// The faults of a flow file that uses `probe`.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn faults(&self, text: &str) -> String {
        let planned = self.host.plan(self.flow_file(text), &Given::new());
        planned.expect_err("the flow has faults").to_string()
    }

    /// Writes a flow file that uses `probe`, and says where it is.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn flow_file(&self, text: &str) -> PathBuf {
        let path = self.path("flow.toml");
        let probe = artifacts::guest("probe");
        let text = format!("components.probe.path = '{}'\n{text}", probe.display());
        std::fs::write(&path, text).expect("there is room for a file");
        path
    }

    /// A flow file that uses `probe`, to be written down.
    ///
    /// # Panics
    /// When it has faults.
    #[must_use]
    pub fn plan_flow(&self, text: &str) -> PlannedFlow {
        let planned = self.host.plan_flow(self.flow_file(text), &Given::new());
        planned.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Runs a flow and writes it down.
    ///
    /// # Panics
    /// When the stage has no history.
    #[must_use]
    pub fn start(&self, flow: &PlannedFlow) -> FlowRunFuture {
        match self.host.start_flow(flow, FlowStart::default()) {
            Ok(StartedFlow::New(future)) => future,
            other => panic!("the flow does not start: {other:?}"),
        }
    }

    /// Runs a flow file that uses `probe`.
    ///
    /// # Panics
    /// When it has faults.
    #[must_use]
    pub fn flow(&self, text: &str) -> FlowRunFuture {
        self.host.run_flow(self.plan(text))
    }
}

/// What a run waits for.
pub struct Gate(PathBuf);

impl Gate {
    /// Lets the run go.
    ///
    /// # Panics
    /// When the gate's folder is gone.
    pub fn open(&self) {
        std::fs::write(&self.0, "open").expect("there is room for a file");
    }
}

/// A run that goes on until it is let go, and its gate.
pub struct Held(pub TaskFuture, pub Gate);

impl Held {
    /// Lets it go, and waits until it has completed.
    ///
    /// # Panics
    /// When it does not.
    pub fn let_go(&self) {
        self.release();
        assert!(ended(&self.0).value().is_some(), "{:?}", self.0);
    }

    /// Lets it go.
    ///
    /// # Panics
    /// See [`Gate::open`].
    pub fn release(&self) {
        self.1.open();
    }
}

fn ended(future: &TaskFuture) -> Outcome {
    let state = future.wait(Some(LONG));
    assert!(state.is_final(), "{future:?} has not ended");
    future.outcome().expect("it has ended")
}
