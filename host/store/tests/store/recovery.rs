//! Flows that were cut off: what they are marked as, and that doing it again changes nothing.

use std::sync::mpsc::channel;
use std::time::Duration;

use sandmill_core::State;
use sandmill_store::{Recorded, StoreError};
use sandmill_wire::{Outcome, RunId};

use crate::common::{
    at, attempt, count, create, failed, key, new_flow, open, run_through, sql, stage, submit, value,
};

/// Makes a store look as a killed process leaves it: nothing of what is done at an end is done.
fn cut_off(dir: &std::path::Path) -> (RunId, RunId) {
    let store = open(dir);
    let journal = create(&store, new_flow("cut off"));
    journal.flow_state(&State::running(at(1)));
    journal.stage(&stage(0, "work"));
    run_through(&journal, key(0, 0), Outcome::Value(value(1, 1)));
    let run = RunId::new();
    submit(&journal, key(0, 1), run);
    journal.state(key(0, 1), run, &State::running(at(2)));
    journal.attempt(key(0, 1), run, &attempt(1, &failed("x"), Some(at(5))));
    journal.state(key(0, 1), run, &State::retrying(at(5)));
    for index in 2..2500 {
        submit(&journal, key(0, index), RunId::new());
    }
    journal.sync(None).unwrap();
    // A copy of the files now is what a kill leaves.
    let copy = dir.join("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["history.db", "history.db-wal"] {
        std::fs::copy(dir.join("data").join(file), copy.join(file)).unwrap();
    }
    let flow = journal.flow();
    drop(journal);
    store.close();
    for file in ["history.db", "history.db-wal", "history.db-shm"] {
        let _ = std::fs::remove_file(dir.join("data").join(file));
    }
    for file in ["history.db", "history.db-wal"] {
        std::fs::rename(copy.join(file), dir.join("data").join(file)).unwrap();
    }
    (flow, run)
}

#[test]
fn what_was_cut_off_is_interrupted_and_keeps_ids_and_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let (flow, run) = cut_off(dir.path());
    assert_eq!(count(dir.path(), "flows WHERE state = 2"), 1);
    let mut snapshots = Vec::new();
    for _ in 0..3 {
        open(dir.path()).close();
        let sql = sql(dir.path());
        let snapshot: (String, i64, i64, i64) = sql
            .query_row(
                "SELECT (SELECT state || state_name || message || state_at FROM flows),
                        (SELECT paused FROM stages), (SELECT sum(seal % 1048576) FROM runs),
                        (SELECT count(*) FROM changes)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .unwrap();
        assert!(snapshot.0.starts_with("8Interruptedthe process that ran it went away"));
        snapshots.push(snapshot);
    }
    assert_eq!(snapshots[0].1, 2499);
    assert!(snapshots.windows(2).all(|pair| pair[0] == pair[1]), "{snapshots:?}");
    assert_eq!(count(dir.path(), "stages WHERE running = 0 AND pending = 0 AND completed = 1"), 1);

    let store = open(dir.path());
    let journal = store.take_up(flow, at(20)).unwrap();
    let recorded = journal.recorded(key(0, 1)).unwrap();
    assert_eq!(recorded, Some(Recorded::Unfinished { run, attempts: 1 }));
    // The run goes on under its own id, and what was done is not done again.
    submit(&journal, key(0, 1), run);
    journal.state(key(0, 1), run, &State::running(at(21)));
    journal.sync(None).unwrap();
    assert_eq!(count(dir.path(), "runs WHERE attempts = 2 AND tried = 1 AND state = 2"), 1);
    assert_eq!(count(dir.path(), "flows WHERE starts = 2"), 1);
}

#[test]
fn a_journal_that_goes_without_an_end_leaves_its_flow_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("let go"));
    let flow = journal.flow();
    journal.flow_state(&State::running(at(1)));
    let run = RunId::new();
    submit(&journal, key(0, 0), run);
    drop(journal);
    // At once, by the same process.
    let journal = store.take_up(flow, at(2)).unwrap();
    assert_eq!(count(dir.path(), "runs WHERE state_name = 'Interrupted'"), 1);
    assert_eq!(count(dir.path(), "changes WHERE state_name = 'Interrupted' AND run IS NULL"), 1);
    journal.flow_state(&State::interrupted(at(3), "somebody asked"));
    drop(journal);
    store.sync(None).unwrap();
    assert_eq!(count(dir.path(), "flows WHERE message = 'somebody asked'"), 1);
}

#[test]
fn a_flow_that_nobody_runs_is_cancelled_with_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (flow, run) = cut_off(dir.path());
    let store = open(dir.path());
    let journal = store.take_up(flow, at(20)).unwrap();
    assert!(matches!(
        store.cancel_flow(flow, "enough", at(21)),
        Err(StoreError::Running { flow: running }) if running == flow
    ));
    drop(journal);
    store.cancel_flow(flow, "enough", at(21)).unwrap();
    assert_eq!(count(dir.path(), "runs WHERE state = 6 AND message = 'enough'"), 2499);
    assert_eq!(count(dir.path(), "flows WHERE state = 6 AND state_name = 'Cancelled'"), 1);
    assert_eq!(count(dir.path(), "stages WHERE cancelled = 2499 AND completed = 1"), 1);
    assert!(matches!(store.cancel_flow(flow, "x", at(22)), Err(StoreError::Ended { .. })));
    let journal = create(&store, new_flow("again"));
    let earlier = journal.recorded_of(flow, "work", Some(1)).unwrap().unwrap();
    let Recorded::Ended { run: found, outcome, .. } = earlier.recorded else { panic!() };
    assert_eq!((found, outcome.name()), (run, "cancelled"));
}

#[test]
fn runs_that_are_damaged_do_not_keep_a_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let (flow, _) = cut_off(dir.path());
    // More than are marked in one transaction, so that none is left over for the others.
    sql(dir.path())
        .execute_batch("UPDATE runs SET seal = seal + 1 WHERE state <> 3 AND idx <> 2400")
        .unwrap();
    let (sender, opened) = channel();
    let path = dir.path().to_owned();
    // Not on this thread: recovery that finds the same runs again and again does not end.
    std::thread::spawn(move || sender.send(open(&path)).unwrap());
    let store = opened.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(count(dir.path(), "runs WHERE state_name = 'Interrupted'"), 1);
    let journal = store.take_up(flow, at(20)).unwrap();
    assert!(matches!(journal.recorded(key(0, 7)), Ok(Some(Recorded::Corrupt { .. }))));
    assert!(matches!(journal.recorded(key(0, 2400)), Ok(Some(Recorded::Unfinished { .. }))));
}
