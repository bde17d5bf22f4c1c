//! Journals: what is written, how few rows it takes, and what is read again.

use std::sync::Arc;

use sandmill_core::{CancelToken, State, StateType};
use sandmill_store::{Created, MAX_INLINE_RESULT, NewCached, Recorded, RunKey, StoreError};
use sandmill_wire::{Digest, End, EndKind, Outcome, RunId};

use crate::common::{
    at, attempt, count, create, end, failed, key, new_flow, open, run_through, sql, stage, submit,
    value,
};

#[test]
fn what_was_recorded_is_read_again_by_whoever_takes_the_flow_up() {
    let dir = tempfile::tempdir().unwrap();
    let outcomes = [
        Outcome::Value(value(1, 10)),
        Outcome::Value(value(2, MAX_INLINE_RESULT)),
        failed("no time"),
        Outcome::Failure(sandmill_wire::Failure {
            details: Some(value(3, 5)),
            ..sandmill_wire::Failure::new("odd", "words")
        }),
    ];
    let store = open(dir.path());
    let journal = create(&store, new_flow("census"));
    assert!(!journal.is_taken_up());
    let flow = journal.flow();
    journal.flow_state(&State::running(at(1)));
    journal.stage(&stage(0, "work"));
    let runs: Vec<RunId> = (0..)
        .zip(&outcomes)
        .map(|(index, outcome)| run_through(&journal, key(0, index), outcome.clone()))
        .collect();
    let alone = RunKey { stage: 1, index: None };
    let open_run = RunId::new();
    submit(&journal, alone, open_run);
    journal.state(alone, open_run, &State::running(at(3)));
    journal.attempt(alone, open_run, &attempt(1, &failed("x"), Some(at(9))));
    journal.state(alone, open_run, &State::awaiting_retry(at(4), "x"));
    for seq in 0..5 {
        journal.step(seq, vec![u8::try_from(seq).unwrap(); 3]);
    }
    journal.sync(None).unwrap();
    assert!(matches!(store.take_up(flow, at(5)), Err(StoreError::Running { .. })));
    drop(journal);
    store.close();

    let store = open(dir.path());
    let journal = store.take_up(flow, at(6)).unwrap();
    assert!(journal.is_taken_up());
    for (index, (run, outcome)) in runs.iter().zip(&outcomes).enumerate() {
        let recorded = journal.recorded(key(0, index as u64)).unwrap();
        let expected = Recorded::Ended { run: *run, arguments: [7; 16], outcome: outcome.clone() };
        assert_eq!(recorded, Some(expected));
    }
    let unfinished = Recorded::Unfinished { run: open_run, attempts: 1 };
    assert_eq!(journal.recorded(alone).unwrap(), Some(unfinished));
    assert_eq!(journal.recorded(key(0, 99)).unwrap(), None);
    let steps = journal.steps(1, 3).unwrap();
    assert_eq!(steps, [(1, vec![1; 3]), (2, vec![2; 3]), (3, vec![3; 3])]);
    let earlier = create(&store, new_flow("again")).recorded_of(flow, "work", Some(0)).unwrap();
    let earlier = earlier.unwrap();
    assert_eq!(earlier.component, Some(Digest::of(b"component")));
    assert_eq!((&*earlier.task, earlier.mapped), ("task", true));
    assert!(matches!(earlier.recorded, Recorded::Ended { run, .. } if run == runs[0]));
    assert_eq!(journal.recorded_of(flow, "other", Some(0)).unwrap(), None);
    let nobody = RunId::new();
    assert!(matches!(
        journal.recorded_of(nobody, "work", None),
        Err(StoreError::NoSuchFlow { flow }) if flow == nobody
    ));

    journal.flow_ended(&State::from_outcome(&outcomes[0], at(9)), &outcomes[0]);
    drop(journal);
    assert!(matches!(
        store.take_up(flow, at(10)),
        Err(StoreError::Ended { state: StateType::Completed, .. })
    ));
    assert!(matches!(store.take_up(nobody, at(10)), Err(StoreError::NoSuchFlow { .. })));
}

#[test]
fn a_run_that_starts_and_ends_within_a_batch_is_one_row_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("map"));
    journal.stage(&stage(0, "work"));
    for index in 0..500 {
        let outcome = if index % 10 == 0 { failed("slow") } else { Outcome::Value(value(1, 1)) };
        run_through(&journal, key(0, index), outcome);
    }
    journal.sync(None).unwrap();
    assert_eq!(count(dir.path(), "runs"), 500);
    // A batch may end in the middle of a run, whose start is then written by itself. Of 500 runs
    // that happens to few, however slow the machine is.
    for apart in ["runs WHERE name IS NOT NULL", "attempts", "changes WHERE run IS NOT NULL"] {
        let apart = count(dir.path(), apart);
        assert!(apart <= 50, "{apart} runs of 500 were written in parts");
    }
    let (completed, failed, names): (i64, i64, String) = sql(dir.path())
        .query_row("SELECT completed, failed, names FROM stages", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((completed, failed), (450, 50));
    assert_eq!(names, r#"{"Completed":450,"TimedOut":50}"#);
}

#[test]
fn every_attempt_and_every_unusual_state_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("retries"));
    journal.stage(&stage(0, "work"));
    let (key, run) = (key(0, 0), RunId::new());
    let (bad, good) = (failed("slow"), Outcome::Value(value(1, 1)));
    submit(&journal, key, run);
    journal.state(key, run, &State::running(at(2)));
    journal.attempt(key, run, &attempt(1, &bad, Some(at(5))));
    journal.state(key, run, &State::awaiting_retry(at(3), "slow"));
    // In two batches, so that the row is read again in between.
    journal.sync(None).unwrap();
    journal.state(key, run, &State::retrying(at(5)));
    journal.attempt(key, run, &attempt(2, &bad, Some(at(9))));
    journal.state(key, run, &State::awaiting_retry(at(6), "slow"));
    journal.state(key, run, &State::retrying(at(9)));
    journal.attempt(key, run, &attempt(3, &good, None));
    journal.ended(key, run, sandmill_store::RunEnd { attempts: 3, ..end(at(10), good.clone()) });
    // What comes late changes nothing.
    journal.ended(key, run, end(at(11), bad.clone()));
    journal.state(key, run, &State::cancelling(at(12)));
    submit(&journal, key, RunId::new());
    journal.sync(None).unwrap();
    assert_eq!(count(dir.path(), "attempts"), 2, "the last is in the run's row");
    assert_eq!(count(dir.path(), "changes WHERE run IS NOT NULL"), 4);
    assert_eq!(count(dir.path(), "runs WHERE attempts = 3 AND state = 3"), 1);
    assert_eq!(count(dir.path(), "stages WHERE retried = 2 AND completed = 1"), 1);
    let recorded = journal.recorded(key).unwrap();
    assert_eq!(recorded, Some(Recorded::Ended { run, arguments: [7; 16], outcome: good }));
}

#[test]
fn what_has_ended_cannot_be_changed_by_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("final"));
    run_through(&journal, key(0, 0), Outcome::Value(value(1, 1)));
    journal.step(0, vec![1]);
    // Of two steps by one number the first stays.
    journal.step(0, vec![2]);
    journal.flow_ended(&State::from_outcome(&failed("x"), at(5)), &failed("x"));
    journal.flow_state(&State::running(at(6)));
    journal.sync(None).unwrap();
    assert_eq!(journal.steps(0, 9).unwrap(), [(0, vec![1])]);
    let sql = sql(dir.path());
    for change in [
        "UPDATE runs SET state = 4",
        "UPDATE runs SET result = x'c0'",
        "UPDATE runs SET seal = 0",
        "UPDATE flows SET state = 3, state_name = 'Completed'",
        "UPDATE flows SET message = NULL",
        "UPDATE steps SET body = x'00'",
    ] {
        let error = sql.execute(change, []).unwrap_err().to_string();
        assert!(error.contains("cannot be changed"), "{change}: {error}");
    }
    assert_eq!(sql.query_row("SELECT state FROM flows", [], |r| r.get::<_, i64>(0)).unwrap(), 4);
}

#[test]
fn a_run_that_is_taken_up_knows_how_often_it_ran_out_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("grows"));
    journal.stage(&stage(0, "work"));
    let run = RunId::new();
    submit(&journal, key(0, 0), run);
    let out: Outcome = End::new(EndKind::OutOfMemory, "it needed more").into();
    let outcomes = [out.clone(), failed("no luck"), out];
    for (number, outcome) in (1..).zip(&outcomes) {
        journal.attempt(key(0, 0), run, &attempt(number, outcome, Some(at(2000))));
    }
    let flow = journal.flow();
    drop(journal);
    store.close();
    let store = open(dir.path());
    let past = store.take_up(flow, at(3000)).unwrap().past(key(0, 0)).unwrap();
    assert_eq!((past.attempts, past.cut_off, past.out_of_memory), (3, 0, 2), "{past:?}");
}

#[test]
fn an_idempotency_key_is_of_one_flow_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keyed = || {
        let mut flow = new_flow("daily");
        flow.idempotency_key = Some("2026-11-21".to_owned());
        flow
    };
    let journal = create(&store, keyed());
    let exists = |created| match created {
        Created::Exists(run) => run,
        Created::New(journal) => panic!("made {journal:?} anew"),
    };
    assert_eq!(exists(store.create_flow(keyed(), at(1)).unwrap()), journal.flow());
    let flow = journal.flow();
    drop((journal, store));
    let store = open(dir.path());
    assert_eq!(exists(store.create_flow(keyed(), at(1)).unwrap()), flow);
    // The key goes with the flow, and an id cannot be used twice.
    store.delete_flow(flow).unwrap();
    let first = keyed();
    let again = sandmill_store::NewFlow { idempotency_key: None, ..first.clone() };
    let journal = create(&store, first);
    assert!(store.create_flow(again, at(2)).is_err());
    assert_ne!(journal.flow(), flow);
}

#[test]
fn two_flows_write_at_once_and_a_value_comes_to_the_cache_with_its_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journals = [create(&store, new_flow("a")), create(&store, new_flow("b"))];
    std::thread::scope(|scope| {
        for journal in &journals {
            scope.spawn(move || {
                journal.stage(&stage(0, "work"));
                for index in 0..2000 {
                    run_through(journal, key(0, index), Outcome::Value(value(index, 10)));
                }
            });
        }
    });
    let run = RunId::new();
    let entry = NewCached {
        key: sandmill_store::CacheKey::new(Digest::of(b"component"), "task", &value(1, 1), None),
        run,
        flow: Some(journals[0].flow()),
        value: value(9, 9),
        created: at(1),
        expires: None,
    };
    submit(&journals[0], key(1, 0), run);
    let cache = Some(Arc::new(entry));
    let outcome = Outcome::Value(value(9, 9));
    journals[0].ended(key(1, 0), run, sandmill_store::RunEnd { cache, ..end(at(3), outcome) });
    store.sync(None).unwrap();
    assert_eq!(count(dir.path(), "runs"), 4001);
    assert_eq!(count(dir.path(), "cache"), 1);
    for journal in &journals {
        for index in (0..2000).step_by(97) {
            let recorded = journal.recorded(key(0, index)).unwrap().unwrap();
            let Recorded::Ended { outcome, .. } = recorded else { panic!("{recorded:?}") };
            assert_eq!(outcome, Outcome::Value(value(index, 10)));
        }
    }
}

#[test]
fn what_is_said_after_the_store_is_closed_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("closed"));
    let before = RunId::new();
    submit(&journal, key(0, 0), before);
    store.clone().close();
    submit(&journal, key(0, 1), RunId::new());
    assert!(matches!(store.create_flow(new_flow("late"), at(1)), Err(StoreError::Closed)));
    assert!(matches!(store.take_up(journal.flow(), at(1)), Err(StoreError::Running { .. })));
    assert!(matches!(journal.sync(Some(&CancelToken::new())), Err(StoreError::Closed)));
    assert_eq!(count(dir.path(), "runs"), 1, "what came before is written");
}

#[test]
fn what_has_ended_stays_whoever_submits_it_again_and_however_often_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("twice"));
    let run = run_through(&journal, key(0, 0), Outcome::Value(value(1, 8)));
    journal.sync(None).unwrap();
    // Both in one batch: the second by another id.
    submit(&journal, key(0, 0), run);
    submit(&journal, key(0, 0), RunId::new());
    journal.sync(None).unwrap();
    let recorded = journal.recorded(key(0, 0)).unwrap();
    assert!(matches!(recorded, Some(Recorded::Ended { run: kept, .. }) if kept == run));
}

#[test]
fn nothing_but_the_database_is_left_of_it_when_a_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let left = || {
        let names = std::fs::read_dir(dir.path().join("data")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut of_it: Vec<String> = names.filter(|name| name.starts_with("history.db")).collect();
        of_it.sort();
        of_it
    };
    let store = open(dir.path());
    let journal = create(&store, new_flow("f"));
    let flow = journal.flow();
    journal.stage(&stage(0, "work"));
    run_through(&journal, key(0, 0), Outcome::Value(value(1, 3)));
    journal.sync(None).unwrap();
    assert!(journal.recorded(key(0, 0)).unwrap().is_some());
    assert_eq!(left(), ["history.db", "history.db-shm", "history.db-wal"]);
    // Although the journal is there still, and has read.
    store.close();
    assert_eq!(left(), ["history.db"]);
    drop(journal);
    assert_eq!(left(), ["history.db"]);
    // Nor when the store goes with the last journal.
    let journal = open(dir.path()).take_up(flow, at(9)).unwrap();
    assert!(journal.recorded(key(0, 0)).unwrap().is_some());
    drop(journal);
    assert_eq!(left(), ["history.db"]);
    // One who reads meanwhile is neither waited for nor disturbed.
    let store = open(dir.path());
    let reader = sandmill_store::Reader::open(&dir.path().join("data")).unwrap();
    let filter = sandmill_store::FlowFilter::default();
    assert_eq!(reader.flows(&filter).unwrap().len(), 1);
    store.close();
    assert_eq!(reader.flows(&filter).unwrap().len(), 1);
    drop(reader);
    open(dir.path()).close();
    assert_eq!(left(), ["history.db"]);
}
