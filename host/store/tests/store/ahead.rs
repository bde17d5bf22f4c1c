//! Runs of a map that are asked for one after the other, while some of them are written.

use std::collections::BTreeMap;

use sandmill_store::{Recorded, RunKey};
use sandmill_wire::{Outcome, RunId};

use crate::common::{
    at, create, failed, key, new_flow, open, run_through, sql, stage, submit, value,
};

/// More than are read at a time.
const RUNS: u64 = 3000;

fn ended(run: RunId, outcome: Outcome) -> Recorded {
    Recorded::Ended { run, arguments: [7; 16], outcome }
}

#[test]
fn runs_that_are_asked_for_in_order_are_what_was_written_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("map"));
    let mut expected: BTreeMap<RunKey, Recorded> = BTreeMap::new();
    for (number, name) in [(0, "one"), (1, "two")] {
        journal.stage(&stage(number, name));
        for index in (0..RUNS).filter(|index| index % 7 != 3) {
            let key = key(number, index);
            let recorded = match index % 11 {
                5 => {
                    let run = RunId::new();
                    submit(&journal, key, run);
                    Recorded::Unfinished { run, attempts: 0 }
                }
                6 => ended(run_through(&journal, key, failed("no")), failed("no")),
                // Some of them so large that fewer are read at a time.
                of => {
                    let bytes = if of == 7 { 40_000 } else { 4 };
                    let outcome = Outcome::Value(value(index, bytes));
                    ended(run_through(&journal, key, outcome.clone()), outcome)
                }
            };
            expected.insert(key, recorded);
        }
    }
    let flow = journal.flow();
    drop(journal);
    let journal = store.take_up(flow, at(9)).unwrap();
    for number in [0, 1] {
        for index in 0..RUNS + 10 {
            let asked = key(number, index);
            assert_eq!(
                journal.recorded(asked).unwrap().as_ref(),
                expected.get(&asked),
                "{asked:?}"
            );
            // Of the one that was asked for, and of one that may have been read ahead.
            for later in [index, index + 5] {
                let key = key(number, later);
                let absent = later % 7 == 3 && !expected.contains_key(&key);
                if absent && index % 2 == 1 {
                    let outcome = Outcome::Value(value(later + 1, 9));
                    let run = run_through(&journal, key, outcome.clone());
                    journal.sync(None).unwrap();
                    expected.insert(key, ended(run, outcome));
                }
            }
        }
    }
    // And once more, now that all of it is written; in another order too.
    let all = || (0..2).flat_map(|number| (0..RUNS + 10).map(move |index| key(number, index)));
    for key in all().chain(all().step_by(13)) {
        assert_eq!(journal.recorded(key).unwrap().as_ref(), expected.get(&key), "{key:?}");
    }
}

#[test]
fn a_damaged_run_among_those_that_are_read_ahead_is_said_to_be_so_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("map"));
    journal.stage(&stage(0, "work"));
    let runs: Vec<RunId> = (0..40)
        .map(|index| run_through(&journal, key(0, index), Outcome::Value(value(index, 3))))
        .collect();
    let flow = journal.flow();
    drop(journal);
    store.close();
    let damage = "DROP TRIGGER runs_are_final; UPDATE runs SET attempts = 7 WHERE idx = 20";
    sql(dir.path()).execute_batch(damage).unwrap();
    let journal = open(dir.path()).take_up(flow, at(9)).unwrap();
    for (index, run) in (0..).zip(&runs) {
        let recorded = journal.recorded(key(0, index)).unwrap();
        if index == 20 {
            assert!(matches!(recorded, Some(Recorded::Corrupt { .. })), "{recorded:?}");
        } else {
            assert_eq!(recorded, Some(ended(*run, Outcome::Value(value(index, 3)))));
        }
    }
}
