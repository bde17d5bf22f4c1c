//! A map of a million runs of which one in ten fails and is tried again, killed in the middle and
//! taken up: every run ends once, the numbers are right, and memory stays within bounds.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use sandmill_test_e2e::{Background, Flow, start_in};

/// Runs of the map.
const RUNS: u64 = 1_000_000;
/// Runs that fail once.
const FAILING: u64 = RUNS / 10;
/// Most memory that the process may have had at a time: what `docs` promise for a million runs.
const MOST_KIBIBYTES: u64 = 512 << 10;
/// Longer than it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// The most memory that a process has had at a time, in KiB; none once it is gone.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Watches a call until it has ended or `enough` says so; the most memory that it had.
fn watch(running: &mut Background, enough: impl Fn() -> bool) -> u64 {
    let (started, mut most) = (Instant::now(), 0);
    while !running.has_ended() && !enough() {
        assert!(started.elapsed() < PATIENCE, "it takes longer than {PATIENCE:?}");
        most = most.max(peak(running.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(100));
    }
    most
}

#[test]
fn a_million_runs_of_which_a_tenth_is_tried_again_survive_a_kill() {
    let tasks = "[tasks.failures]\ncall = \"probe.pattern\"\n\
         arguments.count = { map = [250000, 250000, 250000, 250000] }\narguments.every = 10\n\
         [tasks.items]\ncall = \"probe.flaky\"\n\
         arguments.failures = { flatten = \"failures.result\" }\nretries = 1\n";
    let flow = Flow::new("million", "", tasks);
    let mut running = start_in(flow.path(), &["run", "."]);
    let mut most = watch(&mut running, || flow.done().is_some_and(|done| done > RUNS / 2));
    assert!(!running.has_ended(), "it was done before it could be killed");
    running.signal("KILL");
    assert_eq!(running.wait().code, None, "it was killed");
    let before = flow.done().expect("there is a flow run");
    assert!(before > RUNS / 2 && before < RUNS, "{before}");

    let mut running = start_in(flow.path(), &["runs", "resume", "latest"]);
    most = most.max(watch(&mut running, || false));
    let _ = running.wait().exits(0);
    assert!((1..MOST_KIBIBYTES).contains(&most), "{most} KiB");

    let listed = flow.document(&["runs", "list"]);
    let runs = &listed["flows"][0]["runs"];
    for (count, expected) in [("done", RUNS + 4), ("completed", RUNS + 4), ("failed", 0)] {
        assert_eq!(runs[count], expected, "{count} of {runs}");
    }
    // What was under way in its second attempt when the process was killed is tried once more.
    let retries = runs["retries"].as_u64().expect("a number");
    assert!((FAILING..FAILING + 100).contains(&retries), "{retries} retries");
    let shown = flow.call(&["runs", "show", "latest"]).exits(0).stdout;
    assert!(shown.contains("1,000,000"), "{shown}");
}
