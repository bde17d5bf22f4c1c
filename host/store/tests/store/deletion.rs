//! Deleting: what goes, what stays, and that nobody waits long meanwhile.

use std::time::{Duration, Instant};

use sandmill_core::State;
use sandmill_store::{Journal, MAX_INLINE_RESULT, StoreError};
use sandmill_wire::{Digest, Outcome};

use crate::common::{
    at, count, create, key, new_flow, open, run_through, sql, stage, value, with_component,
};

fn finish(journal: &Journal, micros: u64) {
    let outcome = Outcome::Value(value(1, 1));
    journal.flow_ended(&State::from_outcome(&outcome, at(micros)), &outcome);
    journal.sync(None).unwrap();
}

fn blobs(dir: &std::path::Path) -> usize {
    let folders = std::fs::read_dir(dir.join("data/blobs")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn a_flow_goes_with_its_blobs_and_what_others_name_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let component = store.put_blob(b"component").unwrap();
    let (shared, own) = (value(1, MAX_INLINE_RESULT + 1), value(2, MAX_INLINE_RESULT + 1));
    let first = create(&store, with_component(new_flow("first"), component));
    let second = create(&store, with_component(new_flow("second"), component));
    run_through(&first, key(0, 0), Outcome::Value(shared.clone()));
    run_through(&first, key(0, 1), Outcome::Value(own));
    run_through(&second, key(0, 0), Outcome::Value(shared));
    first.step(0, vec![1]);
    first.note(at(1), "hook", "started");
    assert!(matches!(store.delete_flow(first.flow()), Err(StoreError::Running { .. })));
    finish(&first, 9);
    finish(&second, 9);
    store.close();
    assert_eq!(blobs(dir.path()), 3);

    // Though the journals are held still, the directory is free.
    let store = open(dir.path());
    let (first, second) = (first.flow(), second.flow());
    let pruned = store.delete_flow(first).unwrap();
    assert_eq!((pruned.flows, pruned.runs, pruned.blobs), (1, 2, 1));
    assert!(pruned.blob_bytes > MAX_INLINE_RESULT as u64);
    assert!(matches!(store.delete_flow(first), Err(StoreError::NoSuchFlow { .. })));
    for table in ["sources", "stages", "components"] {
        assert_eq!(count(dir.path(), table), 1, "{table}");
    }
    for table in ["steps", "notes"] {
        assert_eq!(count(dir.path(), table), 0, "{table}");
    }
    let pruned = store.delete_flow(second).unwrap();
    assert_eq!((pruned.flows, pruned.runs, pruned.blobs), (1, 1, 2));
    assert_eq!(blobs(dir.path()), 0);
    // What somebody has just put is no garbage, though nothing names it yet.
    let digest = store.put_blob(b"component").unwrap();
    assert_eq!(digest, Digest::of(b"component"));
    store.prune(at(u64::MAX / 2), at(0)).unwrap();
    assert_eq!(blobs(dir.path()), 1);
    store.close();
    let pruned = open(dir.path()).prune(at(0), at(0)).unwrap();
    assert_eq!((pruned.blobs, pruned.blob_bytes), (1, 9));
}

#[test]
fn pruning_takes_what_ended_before_and_leaves_what_can_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = create(&store, new_flow("old"));
    let recent = create(&store, new_flow("recent"));
    let running = create(&store, new_flow("running"));
    let paused = create(&store, new_flow("paused")).flow();
    let mut child = new_flow("child of old");
    child.parent = Some(old.flow());
    let child = create(&store, child);
    for (journal, micros) in [(&old, 100), (&recent, 500), (&child, 900)] {
        run_through(journal, key(0, 0), Outcome::Value(value(1, 1)));
        finish(journal, micros);
    }
    drop((old, child));
    let pruned = store.prune(at(300), at(0)).unwrap();
    assert_eq!((pruned.flows, pruned.runs), (2, 2), "the sub-flow goes with its flow");
    assert_eq!(count(dir.path(), "flows"), 3);
    assert!(store.take_up(paused, at(1)).is_ok());
    drop((recent, running));
}

#[test]
fn a_deletion_that_was_cut_off_is_seen_by_nobody_and_ends_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut keyed = new_flow("half gone");
    keyed.idempotency_key = Some("k".to_owned());
    let journal = create(&store, keyed);
    run_through(&journal, key(0, 0), Outcome::Value(value(1, 1)));
    finish(&journal, 9);
    let flow = journal.flow();
    drop(journal);
    store.close();
    // As after the first part of a deletion, but for the seal, which does not fit either then.
    sql(dir.path()).execute_batch("UPDATE flows SET deleted = 1, idempotency_key = NULL").unwrap();
    let error = sql(dir.path()).execute("UPDATE flows SET deleted = 0", []).unwrap_err();
    assert!(error.to_string().contains("cannot be changed"), "{error}");
    let store = open(dir.path());
    assert!(store.take_up(flow, at(1)).is_err());
    let mut keyed = new_flow("anew");
    keyed.idempotency_key = Some("k".to_owned());
    drop(create(&store, keyed));
    assert_eq!(store.prune(at(0), at(0)).unwrap().flows, 1);
    assert_eq!(count(dir.path(), "flows"), 1);
    assert_eq!(count(dir.path(), "runs"), 0);
}

#[test]
fn records_are_written_while_a_large_flow_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let large = create(&store, new_flow("large"));
    large.stage(&stage(0, "work"));
    for index in 0..30_000 {
        run_through(&large, key(0, index), Outcome::Value(value(index, 1)));
    }
    finish(&large, 9);
    let flow = large.flow();
    drop(large);
    let other = create(&store, new_flow("other"));
    let (pruned, syncs) = std::thread::scope(|scope| {
        let deletion = scope.spawn(|| store.delete_flow(flow).unwrap());
        let mut syncs = 0;
        let began = Instant::now();
        while !deletion.is_finished() {
            run_through(&other, key(0, syncs), Outcome::Value(value(1, 1)));
            other.sync(None).unwrap();
            syncs += 1;
            assert!(began.elapsed() < Duration::from_secs(300), "the deletion does not end");
        }
        (deletion.join().unwrap(), syncs)
    });
    assert_eq!((pruned.flows, pruned.runs), (1, 30_000));
    // It took fifteen parts, and between any two of them there is a turn for records.
    assert!(syncs >= 5, "only {syncs} records came through");
    assert_eq!(count(dir.path(), "runs"), i64::try_from(syncs).unwrap());
}
