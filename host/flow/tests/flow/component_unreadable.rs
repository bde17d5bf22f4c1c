//! A flow component whose journal cannot be read for a moment: it is left as it is, and goes on once
//! the journal can be read again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::guest::{Guest, LARGE, one, result, target, value};
use crate::support::history::{History, create};
use sandmill_core::{Clock, Events, Executor, Invoker, StartContext};
use sandmill_executors::{PoolConfig, PoolExecutor};
use sandmill_flow::{FlowRunFuture, FlowRunner, StartOptions};
use sandmill_store::Journal;
use sandmill_wire::{End, EndKind, Outcome, RunId};
use serde_json::json;

/// Long enough for anything that ends at all.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(guest: &Arc<Guest>, journal: Journal) -> FlowRunFuture {
    let invoker = Arc::clone(guest) as Arc<dyn Invoker>;
    let executor: Arc<dyn Executor> =
        Arc::new(PoolExecutor::new(invoker, PoolConfig { slots: 2, ..PoolConfig::default() }));
    let events = Events::new(Clock::system());
    let context = StartContext { events: events.clone() };
    futures::executor::block_on(executor.start(context)).expect("the executor starts");
    let runner = FlowRunner::new(executor, events);
    let run = journal.flow();
    let program = guest.flow().program(run, Some(&journal), runner.events());
    let options = StartOptions { id: Some(run), journal: Some(journal), ..StartOptions::default() };
    runner.start_program(program, options)
}

fn end_of(future: &FlowRunFuture) -> Outcome {
    assert!(future.wait(Some(PATIENCE)).is_final(), "the flow does not end");
    future.outcome().expect("it has ended")
}

/// The only file with a large value.
fn blob(history: &History) -> PathBuf {
    let folders = std::fs::read_dir(history.path().join("blobs")).expect("a folder");
    let folders = folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let mut files = folders.flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let blob = files.next().expect("one").expect("an entry").path();
    assert!(files.next().is_none(), "there is another one");
    blob
}

#[test]
fn a_read_that_fails_leaves_the_flow_to_be_taken_up() {
    let (waits, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let guest = {
        let (waits, goes_on) = (Arc::clone(&waits), Arc::clone(&goes_on));
        Guest::new(move |flow, calls| {
            let large = calls.submit(target("large"), vec![])?;
            let length = result(calls, one(large))?.as_str().map_or(0, str::len);
            waits.store(true, Ordering::SeqCst);
            if !goes_on.load(Ordering::SeqCst) {
                let _cancelled = flow.cancel.wait_until(Instant::now() + PATIENCE);
                return Err(End::new(EndKind::Cancelled, "stopped"));
            }
            Ok(Outcome::Value(value(&json!(length))))
        })
    };
    let mut history = History::new();
    let run = RunId::new();
    let future = start(&guest, create(history.store(), run, None));
    let begun = Instant::now();
    while !waits.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < PATIENCE, "its results do not come");
        std::thread::sleep(Duration::from_millis(2));
    }
    future.interrupt("by the test");
    drop(end_of(&future));
    drop(future);
    history.reopen();

    // The device gives no bytes of it for now; that is not as if it were gone.
    let blob = blob(&history);
    let away = history.path().join("away");
    std::fs::rename(&blob, &away).expect("it can be moved");
    std::fs::create_dir(&blob).expect("it can be made");
    let future = start(&guest, history.take_up(run));
    let Outcome::Ended(end) = end_of(&future) else { panic!("{:?}", future.outcome()) };
    assert_eq!(end.kind, EndKind::HostError, "{end}");
    assert!(end.message.starts_with("the journal of the flow cannot be read: "), "{end}");
    drop(future);
    std::fs::remove_dir(&blob).expect("it is empty");
    std::fs::rename(&away, &blob).expect("it can be moved back");
    history.reopen();
    let record = history.reader().flow(run).expect("it can be read").expect("it is there");
    assert!(!record.state.is_final(), "{:?}", record.state);

    goes_on.store(true, Ordering::SeqCst);
    let future = start(&guest, history.take_up(run));
    assert_eq!(end_of(&future), Outcome::Value(value(&json!(LARGE))));
    assert_eq!(guest.started().len(), 1, "nothing was done twice: {:?}", guest.started());
}
