//! Coordinators that are killed, stopped and taken up again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;

use sandmill_test_hosts::{
    HEALED_WITHIN, LONG, MANY, PAST_THE_LEASE, Signal, Trial, Workload, history, marks,
};

use crate::{made_by_all, needs_networks};

/// Items of a flow whose runs leave marks.
const MARKED: u64 = 3_000;

/// How often each item left a mark.
fn marked(folder: &Path) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(marks(folder)).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        let number = name.split('.').next().and_then(|number| number.parse().ok());
        *counts.entry(number.expect("a mark begins with a number")).or_default() += 1;
    }
    counts
}

#[test]
fn a_coordinator_that_is_killed_is_taken_up_and_does_nothing_twice_that_was_completed() {
    needs_networks!();
    let mut trial = Trial::without_workers(Workload::naps(MARKED, (5, 15)).with_marks(), 8);
    let allowed = format!("{}:rw", marks(trial.folder()).display());
    trial.give_workers(&["--allow-dir", &allowed]);
    (0..3).for_each(|host| trial.start_worker(host));
    let mut seen = BTreeMap::new();
    let mut coordinator = trial.run();
    for (number, runs) in [MARKED / 2, MARKED, MARKED * 3 / 2].into_iter().enumerate() {
        trial.wait_for(&mut coordinator, runs, LONG);
        coordinator.signal(Signal::KILL);
        assert_eq!(coordinator.wait(LONG).code, None, "a signal ended it");
        let counts = marked(trial.folder());
        for (item, times) in &seen {
            assert_eq!(counts.get(item), Some(times), "item {item} was completed, and done again");
        }
        let completed = history::completed(&trial.store(), "stamp");
        println!("coordinator killed, {} of {MARKED} items completed", completed.len());
        for item in completed {
            let times = counts.get(&item).copied();
            let times = times.unwrap_or_else(|| panic!("item {item} was never done"));
            seen.insert(item, times);
        }
        coordinator = trial.resume();
        let went_on = trial.wait_for(&mut coordinator, runs + 100, HEALED_WITHIN);
        println!("taken up for the {}. time: 100 runs more after {went_on:?}", number + 1);
    }
    let (ended, whole) = trial.finish(coordinator);
    let counts = marked(trial.folder());
    for (item, times) in &seen {
        assert_eq!(counts.get(item), Some(times), "item {item} was completed, and done again");
    }
    assert_eq!(counts.len() as u64, MARKED, "every item was done");
    let again: u64 = counts.values().map(|times| times - 1).sum();
    println!("{again} items were done again that were not completed; {whole:?}; {:?}", ended.took);
    assert_eq!(whole.starts, 4);
}

/// Row C5.
#[test]
fn a_coordinator_that_is_stopped_for_longer_than_a_lease_does_not_start_over() {
    needs_networks!();
    let trial = Trial::new(Workload::naps(MANY / 2, (10, 30)), 8).be_brisk();
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 2_000, LONG);
    coordinator.signal(Signal::STOP);
    sleep(PAST_THE_LEASE);
    let done = trial.done();
    coordinator.signal(Signal::CONT);
    let healed = trial.wait_for(&mut coordinator, done + 1_000, HEALED_WITHIN);
    let (ended, whole) = trial.finish(coordinator);
    let again = made_by_all(&trial) - MANY / 2;
    println!(
        "coordinator stopped for {PAST_THE_LEASE:?} after {done} runs: 1,000 more {healed:?} after it went \
         on; {again} runs were made again; {whole:?}; {:?} in all",
        ended.took
    );
    assert_eq!(again, 0, "what was made meanwhile is taken");
    assert_eq!(whole.retried, 0, "a pause is no attempt");
}
