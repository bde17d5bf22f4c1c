//! What these tests share: stores in directories of their own, and records to write.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{AttemptEnd, State, Timestamp, Usage};
use sandmill_store::{
    Created, FlowSource, Journal, NewFlow, RunEnd, RunKey, SourceComponent, StageRecord, Store,
    StoreConfig, StoreError,
};
use sandmill_wire::{Digest, End, EndKind, Outcome, RunId, Value};

pub(crate) fn config(dir: &Path) -> StoreConfig {
    // Waits for the locks that children of other tests hold for a moment between fork and exec.
    let wait = Duration::from_secs(5);
    StoreConfig { dir: dir.join("data"), wait, holder: "a test".to_owned() }
}

pub(crate) fn open(dir: &Path) -> Store {
    try_open(dir).unwrap()
}

pub(crate) fn try_open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(config(dir))
}

pub(crate) fn sql(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("data/history.db")).unwrap()
}

pub(crate) fn count(dir: &Path, of: &str) -> i64 {
    sql(dir).query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap()
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
            parameters: Value::nil(),
            components: Vec::new(),
            overrides: "{}".to_owned(),
            reuse_completed: false,
        },
        parent: None,
        based_on: None,
        idempotency_key: None,
        labels: vec!["nightly".to_owned()],
    }
}

pub(crate) fn with_component(mut flow: NewFlow, digest: Digest) -> NewFlow {
    let (name, origin) = ("c".to_owned(), "file".to_owned());
    flow.source.components.push(SourceComponent { name, digest, origin });
    flow
}

pub(crate) fn create(store: &Store, flow: NewFlow) -> Journal {
    match store.create_flow(flow, at(0)).unwrap() {
        Created::New(journal) => journal,
        Created::Exists(run) => panic!("{run} has the key"),
    }
}

pub(crate) fn stage(number: u32, name: &str) -> StageRecord {
    StageRecord {
        stage: number,
        name: name.into(),
        component: Some(Digest::of(b"component")),
        task: "task".into(),
        mapped: true,
        total: None,
    }
}

pub(crate) const fn key(stage: u32, index: u64) -> RunKey {
    RunKey { stage, index: Some(index) }
}

/// A value of about so many bytes, which follows from `seed`.
pub(crate) fn value(seed: u64, bytes: usize) -> Value {
    let text = format!("{seed}:{}", "x".repeat(bytes));
    Value::from_msgpack(rmp_serde::to_vec(&text).unwrap()).unwrap()
}

pub(crate) const fn usage(wall_micros: u64) -> Usage {
    Usage {
        wall_micros,
        peak_memory: 65_536,
        input: 10,
        output: 20,
        fuel: None,
        read_context: false,
    }
}

pub(crate) fn end(at: Timestamp, outcome: Outcome) -> RunEnd {
    let state = State::from_outcome(&outcome, at);
    RunEnd { state, outcome, usage: usage(1000), attempts: 1, value_of: None, cache: None }
}

pub(crate) fn failed(message: &str) -> Outcome {
    Outcome::Ended(End::new(EndKind::TimedOut, message))
}

/// A run from its submission to its end, at one go.
pub(crate) fn run_through(journal: &Journal, key: RunKey, outcome: Outcome) -> RunId {
    let run = RunId::new();
    submit(journal, key, run);
    journal.state(key, run, &State::running(at(2)));
    journal.attempt(key, run, &attempt(1, &outcome, None));
    journal.ended(key, run, end(at(1002), outcome));
    run
}

pub(crate) fn submit(journal: &Journal, key: RunKey, run: RunId) {
    let name: Arc<str> = match key.index {
        Some(index) => format!("work[{index}]").into(),
        None => "work".into(),
    };
    journal.submitted(key, run, &name, [7; 16], at(1));
}

pub(crate) fn attempt(number: u32, outcome: &Outcome, retry_at: Option<Timestamp>) -> AttemptEnd {
    let message = State::from_outcome(outcome, at(0)).message;
    AttemptEnd {
        number,
        started: at(2),
        ended: at(1002),
        outcome: outcome.name().to_owned(),
        message,
        usage: usage(1000),
        retry_at,
    }
}
