//! A store for the flows of tests, and what is written in it.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sandmill_core::Clock;
use sandmill_flow::{FlowRunFuture, FlowRunner, Plan, Rerun, StartOptions};
use sandmill_store::{
    Created, FlowSource, Journal, NewFlow, Reader, Recorded, RunKey, Store, StoreConfig,
};
use sandmill_wire::{RunId, Value};

use super::Bench;

/// A store in a directory of its own.
pub(crate) struct History {
    dir: tempfile::TempDir,
    store: Option<Store>,
}

pub(crate) fn open(dir: &Path) -> Store {
    let wait = Duration::from_secs(30);
    Store::open(StoreConfig { dir: dir.to_owned(), wait, holder: "a test".to_owned() })
        .expect("the store opens")
}

pub(crate) fn create(store: &Store, run: RunId, based_on: Option<RunId>) -> Journal {
    let source = FlowSource {
        text: None,
        path: String::new(),
        flow: None,
        parameters: Value::map_from(std::iter::empty()).expect("an empty map"),
        components: Vec::new(),
        overrides: String::new(),
        reuse_completed: false,
    };
    let new = NewFlow {
        run,
        name: "test".into(),
        source,
        parent: None,
        based_on,
        idempotency_key: None,
        labels: Vec::new(),
    };
    match store.create_flow(new, Clock::system().now()).expect("the flow is made") {
        Created::New(journal) => journal,
        Created::Exists(other) => panic!("{other} has the key of a flow without one"),
    }
}

impl History {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Some(open(&dir.path().join("data")));
        Self { dir, store }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    /// Closes the store and opens it again, as another process would.
    pub(crate) fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open(&self.path()));
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.path()).expect("the store can be read")
    }

    pub(crate) fn take_up(&self, run: RunId) -> Journal {
        self.store().take_up(run, Clock::system().now()).expect("the flow can be taken up")
    }

    /// What is recorded of a run of a flow that nobody runs.
    pub(crate) fn recorded(&self, flow: RunId, stage: u32, index: Option<u64>) -> Option<Recorded> {
        let journal = self.take_up(flow);
        journal.recorded(RunKey { stage, index }).expect("the store can be read")
    }
}

impl Bench {
    pub(crate) fn runner(&self) -> FlowRunner {
        FlowRunner::new(Arc::clone(&self.executor), self.events.clone())
    }

    pub(crate) fn start_new(&self, history: &History, plan: Arc<Plan>) -> FlowRunFuture {
        let journal = Some(create(history.store(), RunId::new(), None));
        self.runner().start_with(plan, StartOptions { journal, ..StartOptions::default() })
    }

    pub(crate) fn resume(&self, history: &History, run: RunId, plan: Arc<Plan>) -> FlowRunFuture {
        let journal = Some(history.take_up(run));
        self.runner().start_with(plan, StartOptions { journal, ..StartOptions::default() })
    }

    pub(crate) fn rerun(&self, history: &History, rerun: Rerun, plan: Arc<Plan>) -> FlowRunFuture {
        let journal = Some(create(history.store(), RunId::new(), Some(rerun.of)));
        let rerun = Some(rerun);
        self.runner().start_with(plan, StartOptions { journal, rerun, ..StartOptions::default() })
    }
}
