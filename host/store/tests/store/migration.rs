//! Stores of other versions.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use sandmill_core::State;
use sandmill_store::{Recorded, StoreError};
use sandmill_wire::Outcome;

use crate::common::{create, key, new_flow, open, run_through, sql, stage, try_open, value};

/// Makes the store one of the first version: as it was before there was a cache.
fn make_old(dir: &Path) {
    sql(dir)
        .execute_batch("DROP TABLE cache; DROP TABLE cache_totals; PRAGMA user_version = 1;")
        .unwrap();
}

#[test]
fn a_store_of_the_first_version_opens_and_has_kept_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("old"));
    let flow = journal.flow();
    journal.stage(&stage(0, "work"));
    let run = run_through(&journal, key(0, 0), Outcome::Value(value(1, 1)));
    journal.flow_state(&State::running(crate::common::at(1)));
    drop(journal);
    store.close();
    make_old(dir.path());

    let store = open(dir.path());
    let version: i64 =
        sql(dir.path()).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
    assert_eq!(crate::common::count(dir.path(), "cache"), 0);
    let journal = store.take_up(flow, crate::common::at(5)).unwrap();
    let recorded = journal.recorded(key(0, 0)).unwrap();
    assert!(matches!(recorded, Some(Recorded::Ended { run: found, .. }) if found == run));
}

#[test]
fn a_store_of_a_later_version_is_refused_in_words_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    drop(create(&store, new_flow("new")));
    store.close();
    sql(dir.path()).execute_batch("PRAGMA user_version = 3").unwrap();
    let file = dir.path().join("data/history.db");
    let before = fs::read(&file).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 3, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("newer version of sandmill"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let file = dir.path().join("data/history.db");
    for contents in [
        &b"this is not a database, but longer than a header of one has to be.     \
                        .................................................."[..],
        b"short",
    ] {
        fs::write(&file, contents).unwrap();
        let error = try_open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("history.db is damaged"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), contents);
    }
    fs::remove_file(&file).unwrap();
    sql(dir.path()).execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
    let before = fs::read(&file).unwrap();
    let error = try_open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("something else"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
    // A file that was made and never written to is a store to be.
    fs::write(&file, "").unwrap();
    drop(open(dir.path()));
}

/// A process that is killed while it makes the database leaves a journal of what to undo beside it.
#[test]
fn a_store_whose_making_was_cut_off_is_made_anew() {
    let (cut, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = whole.path().join("history.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let filled = "x".repeat(10_000);
    connection
        .execute_batch(
            "PRAGMA journal_mode = DELETE; CREATE TABLE t (x); DROP TABLE t; \
             PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; CREATE TABLE t (x);",
        )
        .unwrap();
    for _ in 0..100 {
        connection.execute("INSERT INTO t VALUES (?)", [&filled]).unwrap();
    }
    let data = cut.path().join("data");
    fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
    for name in ["history.db", "history.db-journal"] {
        fs::copy(whole.path().join(name), data.join(name)).unwrap();
    }
    assert!(matches!(sandmill_store::Reader::open(&data), Err(StoreError::NoStore { .. })));
    for name in ["history.db", "history.db-journal"] {
        fs::copy(whole.path().join(name), data.join(name)).unwrap();
    }
    let store = open(cut.path());
    let journal = create(&store, new_flow("new"));
    assert_eq!(
        sandmill_store::Reader::open(&data).unwrap().flow(journal.flow()).unwrap().unwrap().run,
        journal.flow()
    );
}
