//! Kills at every point of the journal, and some at random. `sandmill-kills` does more of these.

use sandmill_store::failpoint::POINTS;
use sandmill_test_kills::{Kill, Random, Tally, Trial, Workload};

/// How often a process comes to a point before it dies there.
const TIMES: [u64; 3] = [1, 2, 7];
/// Kills at random times: enough to see that it works. The tool does as many as one likes.
const RANDOM_KILLS: u64 = 40;

fn at(point: &str, times: u64) -> Kill {
    Kill::At { point: point.to_owned(), times }
}

fn every_point(workload: Workload) {
    let mut reached = Vec::new();
    for point in POINTS {
        for times in TIMES {
            let mut trial = Trial::new(workload);
            if !trial.kill(&at(point, times)) {
                reached.push(*point);
                // And once more while it is taken up.
                trial.kill(&at(point, times));
            }
            let _ = trial.finish();
        }
    }
    // Points that a flow does not come to by itself: those of a recovery have a test of their own,
    // blobs are those of components, and deletions are for whoever deletes.
    let elsewhere: Vec<&&str> = POINTS
        .iter()
        .filter(|point| {
            let other = ["recovery", "delete", "blob-deleted", "flow-taken-up"];
            !reached.contains(*point) && !other.iter().any(|other| point.starts_with(other))
        })
        .collect();
    assert!(elsewhere.is_empty(), "no process came to {elsewhere:?}");
}

#[test]
fn a_flow_file_survives_a_kill_at_every_point_of_its_journal() {
    every_point(Workload::File);
}

#[test]
fn a_flow_component_survives_a_kill_at_every_point_of_its_journal() {
    every_point(Workload::Component);
}

/// Killed while it is taken up after a kill, three deep (row C3 of the matrix of faults).
#[test]
fn recovery_survives_kills_of_its_own() {
    let recovery: Vec<&&str> =
        POINTS.iter().filter(|point| point.starts_with("recovery")).collect();
    assert!(!recovery.is_empty());
    for point in recovery {
        let mut trial = Trial::new(Workload::File);
        assert!(!trial.kill(&at("batch-written", 2)));
        assert!(!trial.kill(&at(point, 1)), "nobody came to {point}");
        // What was recovered by then is not recovered again, so these may not come so far.
        trial.kill(&at("recovery-begun", 1));
        trial.kill(&at(point, 1));
        let _ = trial.finish();
    }
}

#[test]
fn kills_at_random_times_lose_nothing() {
    let (mut random, mut all) = (Random::new(7), Tally::default());
    let [file, component] = Workload::ALL.map(Trial::undisturbed);
    while all.kills < RANDOM_KILLS {
        let (workload, lasts) = match random.below(2) {
            0 => (Workload::File, file),
            _ => (Workload::Component, component),
        };
        let mut trial = Trial::new(workload);
        for _ in 0..4 {
            if trial.kill(&Kill::After(random.before(lasts))) {
                break;
            }
        }
        all.kills += trial.finish().kills;
    }
}
