//! A store for the flows of tests, what is written in it, and how it is made to stall, to find its
//! disk full and to fail.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sandmill_core::{Clock, State};
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

/// More blobs than a test writes, each try at one counted.
const BLOBS: usize = 500;

impl History {
    /// From now on every large value meets a disk that is full, until [`History::free_disk`]. For a
    /// store that has written no blob yet.
    pub(crate) fn fill_disk(&self) {
        self.blobs_are(Path::new("/dev/full"));
    }

    /// From now on no large value can be written, and not for want of room.
    pub(crate) fn break_blobs(&self) {
        self.blobs_are(Path::new("/"));
    }

    /// Has the files that blobs are written to before they get their names lead elsewhere.
    fn blobs_are(&self, target: &Path) {
        for number in 0..BLOBS {
            std::os::unix::fs::symlink(target, self.unfinished(number)).expect("a link");
        }
    }

    fn unfinished(&self, number: usize) -> std::path::PathBuf {
        self.path().join(format!("blobs/.new-{}-{number}", std::process::id()))
    }

    pub(crate) fn free_disk(&self) {
        // From the end, so that no link is met after one that is gone.
        (0..BLOBS).rev().for_each(|number| drop(std::fs::remove_file(self.unfinished(number))));
    }

    /// Has the writer of the store do nothing until the answer is dropped.
    pub(crate) fn stall(&self) -> Stall {
        let journal = create(self.store(), RunId::new(), None);
        let gate: Arc<Gate> = Arc::default();
        let waker = Waker::from(Arc::clone(&gate));
        let (key, run) = (RunKey { stage: 0, index: None }, RunId::new());
        let now = Clock::system().now();
        // The writer wakes who waits for room, and does nothing else meanwhile.
        while journal.poll_room(&mut Context::from_waker(&waker)).is_ready() {
            (0..1_000).for_each(|_| journal.state(key, run, &State::running(now)));
        }
        let mut held = gate.held.lock();
        while *held == Held::NotYet {
            gate.changed.wait(&mut held);
        }
        drop(held);
        Stall { gate, _journal: journal }
    }
}

/// The writer of a store that does nothing.
pub(crate) struct Stall {
    gate: Arc<Gate>,
    _journal: Journal,
}

impl Drop for Stall {
    fn drop(&mut self) {
        *self.gate.held.lock() = Held::NoMore;
        self.gate.changed.notify_all();
    }
}

#[derive(Default)]
struct Gate {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default, PartialEq)]
enum Held {
    #[default]
    NotYet,
    Now,
    NoMore,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        let mut held = self.held.lock();
        if *held == Held::NotYet {
            *held = Held::Now;
            self.changed.notify_all();
        }
        while *held == Held::Now {
            self.changed.wait(&mut held);
        }
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
