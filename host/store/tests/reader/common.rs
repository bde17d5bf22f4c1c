//! What these tests share: a store, and flows with runs to write into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use sandmill_core::{State, Timestamp, Usage};
use sandmill_store::{
    Created, FlowSource, Journal, NewFlow, Reader, RunEnd, RunKey, StageRecord, Store, StoreConfig,
};
use sandmill_wire::{Digest, Outcome, RunId, Value};

pub(crate) struct Fixture {
    pub(crate) _root: tempfile::TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        let store = open(&dir);
        Self { _root: root, dir, store }
    }

    pub(crate) fn reader(&self) -> Reader {
        self.store.sync(None).unwrap();
        Reader::open(&self.dir).unwrap()
    }

    pub(crate) fn create(&self, flow: NewFlow, created: Timestamp) -> Journal {
        match self.store.create_flow(flow, created).unwrap() {
            Created::New(journal) => journal,
            Created::Exists(run) => panic!("{run} has the key"),
        }
    }

    pub(crate) fn flow(&self, name: &str, created: u64) -> Journal {
        self.create(new_flow(name), at(created))
    }

    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.dir.join("history.db")).unwrap()
    }
}

pub(crate) fn open(dir: &Path) -> Store {
    let wait = Duration::from_secs(30);
    Store::open(StoreConfig { dir: dir.to_owned(), wait, holder: "a test".to_owned() }).unwrap()
}

pub(crate) fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + micros)
}

pub(crate) fn new_flow(name: &str) -> NewFlow {
    NewFlow {
        run: RunId::new(),
        name: name.into(),
        source: FlowSource {
            text: Some("[flow]".to_owned()),
            path: "/flows/flow.toml".to_owned(),
            flow: None,
            parameters: Value::from_json_str(r#"{"dir":"/texts"}"#).unwrap(),
            components: Vec::new(),
            overrides: "{}".to_owned(),
            reuse_completed: false,
        },
        parent: None,
        based_on: None,
        idempotency_key: None,
        labels: Vec::new(),
    }
}

pub(crate) fn stage(number: u32, name: &str, mapped: bool, total: Option<u64>) -> StageRecord {
    let component = Some(Digest::of(b"component"));
    StageRecord { stage: number, name: name.into(), component, task: name.into(), mapped, total }
}

pub(crate) const fn key(stage: u32, index: u64) -> RunKey {
    RunKey { stage, index: Some(index) }
}

pub(crate) fn value(json: &str) -> Outcome {
    Outcome::Value(Value::from_json_str(json).unwrap())
}

pub(crate) fn submit(journal: &Journal, key: RunKey, time: u64) -> RunId {
    let run = RunId::new();
    journal.submitted(key, run, &Arc::from("count"), [7; 16], at(time));
    run
}

pub(crate) fn end(journal: &Journal, key: RunKey, run: RunId, outcome: &Outcome, time: u64) {
    let usage = Usage { wall_micros: 5, output: 3, ..Usage::default() };
    let end = RunEnd {
        state: State::from_outcome(outcome, at(time)),
        outcome: outcome.clone(),
        usage,
        attempts: 1,
        value_of: None,
        cache: None,
    };
    journal.ended(key, run, end);
}

/// Submitted at `time`, started one later, ended two later.
pub(crate) fn whole_run(journal: &Journal, key: RunKey, outcome: &Outcome, time: u64) -> RunId {
    let run = submit(journal, key, time);
    journal.state(key, run, &State::running(at(time + 1)));
    end(journal, key, run, outcome, time + 2);
    run
}

pub(crate) fn end_flow(journal: &Journal, outcome: &Outcome, time: u64) {
    journal.flow_ended(&State::from_outcome(outcome, at(time)), outcome);
}
