//! How much the writer takes: a bound far below what it does, so that only a fault fails it.

use std::time::Instant;

use sandmill_core::State;
use sandmill_store::{Recorded, RunEnd};
use sandmill_wire::{Outcome, RunId};

use crate::common::{at, count, create, end, key, new_flow, open, stage, submit, value};

#[test]
fn a_hundred_thousand_runs_take_seconds_and_few_commits() {
    const RUNS: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("map"));
    journal.stage(&stage(0, "work"));
    let outcome = Outcome::Value(value(1, 8));
    let began = Instant::now();
    for index in 0..RUNS {
        // The flow's runner pauses when it is asked to.
        while journal.backlog() > sandmill_store::MAX_BACKLOG {
            std::thread::yield_now();
        }
        let (key, run) = (key(0, index), RunId::new());
        submit(&journal, key, run);
        journal.state(key, run, &State::running(at(2)));
        journal.ended(key, run, RunEnd { attempts: 1, ..end(at(3), outcome.clone()) });
    }
    journal.sync(None).unwrap();
    let took = began.elapsed();
    assert_eq!(count(dir.path(), "runs"), i64::try_from(RUNS).unwrap());
    // It does more than ten times as many even where others use the processor too.
    assert!(took.as_secs() < 60, "{RUNS} runs took {took:?}");
    show(&format!("{RUNS} runs in {took:?}"));
    let began = Instant::now();
    let flow = journal.flow();
    drop(journal);
    let journal = store.take_up(flow, at(9)).unwrap();
    show(&format!("taken up in {:?}", began.elapsed()));
    let asked = Instant::now();
    for index in 0..RUNS {
        let recorded = journal.recorded(key(0, index)).unwrap();
        assert!(matches!(recorded, Some(Recorded::Ended { .. })), "{index}: {recorded:?}");
    }
    assert_eq!(journal.recorded(key(0, RUNS)).unwrap(), None);
    show(&format!("read again in {:?}", asked.elapsed()));
    assert!(
        began.elapsed().as_secs() < 30,
        "to look through {RUNS} runs took {:?}",
        began.elapsed()
    );
}

/// Says how long something took, where a person asked for it.
fn show(words: &str) {
    if std::env::var_os("SANDMILL_SHOW_PACE").is_some() {
        std::io::Write::write_all(&mut std::io::stderr(), format!("{words}\n").as_bytes()).unwrap();
    }
}
