//! Workers that are killed, stopped and told to leave while a map is under way.

use std::thread::sleep;

use sandmill_test_hosts::{
    HEALED_WITHIN, LONG, MANY, PAST_THE_LEASE, Signal, Trial, Workload, count,
};

use crate::needs_networks;

/// Rows C2, C4 and C7 of the matrix of faults, one after the other on the hosts of one flow.
#[test]
fn workers_that_die_stand_still_and_leave_cost_only_time() {
    needs_networks!();
    // On a machine that others used it was seen once that the stopped worker said nothing too late;
    // all else that a trial looks at has to hold in each of them.
    assert!((0..3).any(|_| late_reports() > 0), "no late report was refused: this shows nothing");
}

/// How many reports of a worker that stood still came too late.
fn late_reports() -> u64 {
    let mut trial = Trial::new(Workload::naps(MANY, (10, 30)), 7).be_brisk().tell_all();
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 1_000, LONG);

    trial.kill_worker(0);
    let killed = trial.done();
    let went_on = trial.wait_for(&mut coordinator, killed + 1_000, HEALED_WITHIN);
    trial.start_worker(0);
    let healed = trial.wait_for_healing(&mut coordinator, 0);
    println!(
        "worker killed after {killed} of {MANY} runs: 1,000 more took {went_on:?}; started again it \
         had runs after {healed:?}"
    );

    trial.worker(1).signal(Signal::STOP);
    let stopped = trial.done();
    sleep(PAST_THE_LEASE);
    let meanwhile = trial.done() - stopped;
    trial.worker(1).signal(Signal::CONT);
    let healed = trial.wait_for_healing(&mut coordinator, 1);
    println!(
        "worker stopped for {PAST_THE_LEASE:?}: the others made {meanwhile} runs meanwhile; it had \
         runs again after {healed:?}"
    );
    assert!(meanwhile > 1_000, "the others went on");

    let leaving = trial.take_worker(2);
    leaving.signal(Signal::TERM);
    let left = leaving.wait(LONG).exits(0);
    assert!(!coordinator.has_ended(), "it left in the middle");
    println!("worker left within {:?} after it was started\n{}", left.took, left.stderr);

    let (ended, whole) = trial.finish(coordinator);
    let late = ended.document()["late_reports"].as_u64().expect("it is counted");
    let stale = count(&trial.metrics(1), "sandmill_worker_runs_stale_total");
    println!(
        "{late} reports came too late, {stale} of the stopped worker's ends were stale there; \
         {whole:?}; {:?} in all\n{}",
        ended.took, ended.stderr
    );
    assert_eq!(whole.retried, 0, "a lost host is no attempt, nor is what is handed back");
    // The stopped worker had slots full of runs. Others made them, and what it made of them afterwards
    // was nobody's any more.
    late
}
