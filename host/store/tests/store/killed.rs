//! A process killed at each point before and after each write, or with a device that fails there:
//! what was acknowledged is there, the store opens, and the work can be ended by the next process,
//! killed in its turn.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Output};

use sandmill_core::State;
use sandmill_store::{Created, MAX_INLINE_RESULT, NewFlow, Recorded, Store, failpoint};
use sandmill_wire::{Outcome, RunId};

use crate::common::{at, key, new_flow, open, run_through, stage, submit, value};

/// Set for the child that does the work: the directory.
const WORK: &str = "SANDMILL_TEST_WORK";

const SIGKILL: i32 = 9;
const RUNS: u64 = 6;
/// Hits of every point at which a device can fail: there are four blobs.
const EIO_AT: [u64; 3] = [1, 2, 4];

fn outcome(index: u64) -> Outcome {
    // Each second one is a blob.
    let bytes = if index.is_multiple_of(2) { 5 } else { MAX_INLINE_RESULT + 1 };
    Outcome::Value(value(index, bytes))
}

/// Not a test of its own: the child. Does what is not done yet, and writes down outside of the
/// store what the store has acknowledged.
#[test]
fn child_that_works() {
    let Some(dir) = std::env::var_os(WORK) else { return };
    let dir = Path::new(&dir);
    let store = open(dir);
    let mut done = fs::OpenOptions::new().create(true).append(true).open(dir.join("done")).unwrap();
    let mut flow = new_flow("killed");
    flow.idempotency_key = Some("work".to_owned());
    let journal = match store.create_flow(flow, at(0)).unwrap() {
        Created::New(journal) => journal,
        Created::Exists(run) => match store.take_up(run, at(1)) {
            Ok(journal) => journal,
            // It had ended: there is only the rest to do.
            Err(_) => return tidy(&store),
        },
    };
    journal.flow_state(&State::running(at(1)));
    journal.stage(&stage(0, "work"));
    for index in 0..RUNS {
        if let Some(Recorded::Ended { .. }) = journal.recorded(key(0, index)).unwrap() {
            continue;
        }
        run_through(&journal, key(0, index), outcome(index));
        // One that is open, for recovery to find.
        submit(&journal, key(1, index), RunId::new());
        journal.sync(None).unwrap();
        writeln!(done, "{index}").unwrap();
    }
    for index in 0..RUNS {
        run_through(&journal, key(1, index), outcome(index));
    }
    let end = outcome(0);
    journal.flow_ended(&State::from_outcome(&end, at(9)), &end);
    journal.sync(None).unwrap();
    drop(journal);
    tidy(&store);
}

fn tidy(store: &Store) {
    let flow = NewFlow { idempotency_key: None, ..new_flow("gone") };
    let run = flow.run;
    if let Created::New(journal) = store.create_flow(flow, at(0)).unwrap() {
        run_through(&journal, key(0, 0), Outcome::Value(value(77, MAX_INLINE_RESULT + 7)));
    }
    store.sync(None).unwrap();
    store.delete_flow(run).unwrap();
    store.prune(at(0), at(0)).unwrap();
}

fn work(dir: &Path, point: Option<&str>) -> ExitStatus {
    output(dir, point).status
}

fn output(dir: &Path, point: Option<&str>) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "killed::child_that_works"]).env(WORK, dir);
    child.env_remove(failpoint::VARIABLE);
    if let Some(point) = point {
        child.env(failpoint::VARIABLE, point);
    }
    child.output().unwrap()
}

/// What the store had acknowledged is in it.
fn compare(dir: &Path, what: &str) {
    let done = fs::read_to_string(dir.join("done")).unwrap_or_default();
    let done: Vec<u64> = done.lines().map(|line| line.parse().unwrap()).collect();
    let each: BTreeSet<u64> = done.iter().copied().collect();
    assert_eq!(each.len(), done.len(), "{what}: something was done twice: {done:?}");
    let store = open(dir);
    let mut flow = new_flow("killed");
    flow.idempotency_key = Some("work".to_owned());
    let run = match store.create_flow(flow, at(0)).unwrap() {
        Created::Exists(run) => run,
        Created::New(journal) => {
            assert!(done.is_empty(), "{what}: the flow is gone");
            // As if it had never been asked for.
            let flow = journal.flow();
            drop(journal);
            store.delete_flow(flow).unwrap();
            return;
        }
    };
    let Created::New(reader) = store.create_flow(new_flow("reader"), at(0)).unwrap() else {
        panic!("{what}")
    };
    for index in each {
        let earlier = reader.recorded_of(run, "work", Some(index)).unwrap().unwrap();
        let Recorded::Ended { outcome: kept, .. } = earlier.recorded else { panic!("{what}") };
        assert_eq!(kept, outcome(index), "{what}");
    }
    let reader_run = reader.flow();
    drop(reader);
    store.delete_flow(reader_run).unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_or_done_twice_at_any_point() {
    for point in failpoint::POINTS {
        let dir = tempfile::tempdir().unwrap();
        // Some of it is only done where something was cut off.
        if point.starts_with("recovery") || *point == "flow-taken-up" {
            let cut = work(dir.path(), Some("batch-committed=kill@4"));
            assert_eq!(cut.signal(), Some(SIGKILL));
        }
        let mut killed = 0;
        for hit in [1, 2, 5] {
            let status = work(dir.path(), Some(&format!("{point}=kill@{hit}")));
            match status.signal() {
                Some(SIGKILL) => killed += 1,
                None => assert!(status.success(), "{point}@{hit}: {status}"),
                signal => panic!("{point}@{hit}: {signal:?}"),
            }
            compare(dir.path(), &format!("{point}@{hit}"));
        }
        assert!(killed > 0, "nothing comes by the point {point}");
        assert!(work(dir.path(), None).success(), "{point}: the work cannot be ended");
        compare(dir.path(), point);
        // Now all of it is there, also what was on disk and not yet acknowledged.
        let all: String = (0..RUNS).map(|index| format!("{index}\n")).collect();
        fs::write(dir.path().join("done"), all).unwrap();
        compare(dir.path(), point);
    }
}

#[test]
fn a_device_that_fails_once_is_written_to_anew_and_nothing_is_lost() {
    for point in failpoint::FAILING {
        for hit in EIO_AT {
            let what = format!("{point}=eio@{hit}");
            let dir = tempfile::tempdir().unwrap();
            let done = output(dir.path(), Some(&what));
            // Whoever works hears nothing of it.
            let words = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success(), "{what}: {words}");
            compare(dir.path(), &what);
            let lines = fs::read_to_string(dir.path().join("done")).unwrap();
            assert_eq!(lines.lines().count() as u64, RUNS, "{what}");
        }
    }
}

#[test]
fn a_device_that_fails_for_good_stops_the_store_in_words_and_loses_nothing_acknowledged() {
    for point in failpoint::FAILING {
        for hit in EIO_AT {
            let what = format!("{point}=eio@{hit}+");
            let dir = tempfile::tempdir().unwrap();
            let failed = output(dir.path(), Some(&what));
            assert!(!failed.status.success(), "{what}: it went unnoticed");
            assert_eq!(failed.status.signal(), None, "{what}");
            let words = [failed.stdout, failed.stderr].concat();
            let words = String::from_utf8_lossy(&words);
            assert!(words.contains("os error 5") || words.contains("code: 5"), "{what}: {words}");
            compare(dir.path(), &what);
            assert!(work(dir.path(), None).success(), "{what}: the work cannot be ended");
            compare(dir.path(), &what);
        }
    }
}
