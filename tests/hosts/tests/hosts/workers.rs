//! Workers that are killed, stopped and told to leave while a map is under way.

use std::thread::sleep;
use std::time::Duration;

use sandmill_test_hosts::{HEALED_WITHIN, LONG, MANY, Signal, Trial, Workload, count};

use crate::{made_by_all, needs_networks, redone};

/// Longer than a lease: 15 seconds.
const PAST_THE_LEASE: Duration = Duration::from_secs(18);

/// Row C2 of the matrix of faults.
#[test]
fn a_worker_that_is_killed_costs_only_time() {
    needs_networks!();
    let mut trial = Trial::new(Workload::naps(MANY, (10, 30)), 8);
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 2_000, LONG);
    let before = trial.made(0);
    trial.kill_worker(0);
    let killed = trial.done();
    let went_on = trial.wait_for(&mut coordinator, killed + 1_000, HEALED_WITHIN);
    trial.start_worker(0);
    let healed = trial.wait_for_healing(&mut coordinator, 0);
    let (ended, whole) = trial.finish(coordinator);
    // Those that it had made since it was last asked are not in it.
    let made = before + made_by_all(&trial);
    println!(
        "worker killed after {killed} of {MANY} runs: 1,000 more took {went_on:?}; started again it \
         had runs after {healed:?}; {made} runs are known to have been made; {whole:?}; {:?} in all",
        ended.took
    );
    assert_eq!(whole.retried, 0, "a lost host is no attempt");
}

/// Row C4.
#[test]
fn a_worker_that_is_stopped_past_its_lease_is_not_believed_when_it_comes_back() {
    needs_networks!();
    let trial = Trial::new(Workload::naps(MANY, (10, 30)), 4);
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 1_000, LONG);
    trial.worker(1).signal(Signal::STOP);
    let stopped = trial.done();
    sleep(PAST_THE_LEASE);
    let meanwhile = trial.done() - stopped;
    trial.worker(1).signal(Signal::CONT);
    let healed = trial.wait_for_healing(&mut coordinator, 1);
    let (ended, whole) = trial.finish(coordinator);
    let made = made_by_all(&trial);
    let stale = count(&trial.metrics(1), "sandmill_worker_runs_stale_total");
    println!(
        "worker stopped for {PAST_THE_LEASE:?}: the others made {meanwhile} runs meanwhile; it had \
         runs again after {healed:?}; {} runs were made twice, {stale} of its ends were stale; \
         {whole:?}; {:?} in all\n{}",
        redone(made),
        ended.took,
        ended.stderr
    );
    assert!(meanwhile > 1_000, "the others went on");
    // It had slots full of runs when it was stopped. Others made them, and what it made of them
    // afterwards was nobody's any more.
    assert!(redone(made) > 0, "nothing was made twice, so this showed nothing");
    assert_eq!(whole.retried, 0, "a lost host is no attempt");
}

/// Row C7.
#[test]
fn a_worker_that_is_told_to_leave_hands_back_what_it_has_not_started() {
    needs_networks!();
    let mut trial = Trial::new(Workload::naps(MANY, (10, 30)), 8);
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 2_000, LONG);
    let leaving = trial.take_worker(2);
    leaving.signal(Signal::TERM);
    let left = leaving.wait(LONG).exits(0);
    assert!(!coordinator.has_ended(), "it left in the middle");
    let (ended, whole) = trial.finish(coordinator);
    let others = trial.made(0) + trial.made(1);
    println!(
        "worker left within {:?} after it was started; the others made {others} of {MANY} runs; \
         {whole:?}; {:?} in all\n{}",
        left.took, ended.took, left.stderr
    );
    assert_eq!(whole.retried, 0, "what is handed back is no attempt");
}
