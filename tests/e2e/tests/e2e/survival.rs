//! Flows whose process is killed, interrupted, told to stop, or out of room: what ends has ended
//! once, and the rest is done later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use sandmill_test_e2e::{
    Flow, command, copy_of_example, finish, json, json_lines, sandmill_in, start, start_in, until,
};
use serde_json::Value;
use tempfile::TempDir;

/// Runs of a stage that go on long enough for a process to be killed among them.
const MANY: u64 = 80;

fn index(run: &Value) -> u64 {
    run["index"].as_u64().unwrap()
}

#[test]
fn what_ended_before_a_kill_is_not_done_again() {
    let flow = Flow::slow_stamps(MANY);
    let mut running = start_in(flow.path(), &["run", ".", "--slots", "2"]);
    until("a part of the work", || {
        assert!(!running.has_ended(), "it was done before it could be killed");
        flow.done().filter(|done| *done > MANY / 2)
    });
    running.signal("KILL");
    assert_eq!(running.wait().code, None, "it was killed");

    let listed = flow.document(&["runs", "list"]);
    let killed = &listed["flows"][0];
    assert_eq!(killed["state"]["name"], "Interrupted");
    assert_eq!((&killed["resumable"], &killed["live"]), (&true.into(), &false.into()));
    let shown = flow.call(&["runs", "show", "latest"]).exits(0);
    assert!(shown.stdout.contains("resume with: sandmill runs resume"), "{}", shown.stdout);
    let explained = flow.call(&["runs", "explain", "latest"]).exits(0).stdout;
    assert!(explained.contains("the process that ran it went away"), "{explained}");

    let all = ["runs", "show", "latest", "--state", "completed", "--limit", "1000"];
    let before = flow.document(&all);
    let before = before["runs"].as_array().unwrap();
    let ended: BTreeSet<u64> =
        before.iter().filter(|run| run["stage"] == "stamp").map(index).collect();
    assert!(ended.len() > 5 && (ended.len() as u64) < MANY, "{}", ended.len());
    let once = |marks: &BTreeMap<u64, u64>| {
        ended.iter().all(|index| marks.get(&Flow::marked_by(*index)) == Some(&1))
    };
    assert!(once(&flow.marks()), "an end has its mark");

    let resumed = json(&flow.call(&["runs", "resume", "latest", "--output", "json"]).exits(0));
    assert_eq!(resumed["run_id"], killed["run_id"]);
    let marked: u64 = (0..MANY).map(Flow::marked_by).sum();
    assert_eq!(resumed["result"], 2 * marked);
    assert_eq!(resumed["reused"], before.len());
    let marks = flow.marks();
    assert_eq!(marks.len() as u64, MANY);
    assert!(once(&marks), "something was done twice: {marks:?}");
    // Only what was under way may have been done again: no more than there were slots.
    assert!(marks.values().sum::<u64>() <= MANY + 2, "{marks:?}");

    let again = flow.call(&["runs", "resume", "latest"]).exits(2);
    assert!(again.stderr.contains("rerun"), "{}", again.stderr);
}

#[test]
fn the_census_goes_on_after_half_of_the_files() {
    const FILES: u64 = 12_000;
    let folder = copy_of_example("census");
    let root = folder.path().join("tree/one-1.0.0/src");
    fs::create_dir_all(&root).unwrap();
    for file in 0..FILES {
        fs::write(root.join(format!("f{file}.rs")), "fn one() {}\n// two\n").unwrap();
    }
    let root = format!("root={}", folder.path().join("tree").display());
    let mut running = start_in(folder.path(), &["run", ".", "-p", &root, "--executor", "inline"]);
    let counted = || {
        let listed = sandmill_in(folder.path(), &["runs", "list", "--output", "json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).ok()?;
        listed["flows"][0]["runs"]["done"].as_u64()
    };
    until("a part of the files", || {
        assert!(!running.has_ended(), "it was done before it could be killed");
        counted().filter(|done| *done > FILES / 4)
    });
    running.signal("KILL");
    drop(running.wait());
    let half = counted().unwrap();
    assert!(half < FILES, "{half}");
    let resumed = ["runs", "resume", "latest", "--output", "json"];
    let resumed = json(&sandmill_in(folder.path(), &resumed).exits(0));
    assert_eq!(resumed["result"]["total"]["files"], FILES);
    assert_eq!(resumed["result"]["total"]["lines"], 2 * FILES);
    assert_eq!(resumed["reused"], half);
    // The history has each file's run once, with one attempt, unless it was the one under way.
    let runs = ["runs", "show", "latest", "--task", "count", "--limit", "100000", "-o", "json"];
    let shown = json(&sandmill_in(folder.path(), &runs).exits(0));
    let attempts = |run: &Value| run["attempts"].as_u64().unwrap();
    let runs = shown["runs"].as_array().unwrap();
    assert_eq!(runs.len() as u64, FILES);
    assert!(runs.iter().map(attempts).sum::<u64>() <= FILES + 1);
}

#[test]
fn an_interrupted_flow_says_how_to_go_on_and_does() {
    let flow = Flow::naps(40);
    let running = start_in(flow.path(), &["run", "."]);
    until("a nap", || flow.done().filter(|done| *done > 2));
    running.signal("INT");
    let called = running.wait().exits(130);
    assert!(called.stderr.contains("press Ctrl-C again"), "{}", called.stderr);
    let hint = called.stderr.lines().find_map(|line| line.strip_prefix("resume with: sandmill "));
    let hint: Vec<&str> = hint.expect("it says how to go on").split(' ').collect();
    assert_eq!(&hint[..2], ["runs", "resume"]);
    let explained = flow.call(&["runs", "explain", hint[2]]).exits(0).stdout;
    assert!(explained.contains("Ctrl-C"), "{explained}");
    let result = flow.call(&["runs", "result", "latest"]).exits(2).stderr;
    assert!(result.contains("interrupted"), "{result}");
    let done = flow.done().unwrap();
    let resumed = flow.document(&hint);
    assert_eq!(resumed["stages"][0]["completed"], 40);
    assert_eq!(resumed["reused"], done);
    assert_eq!(resumed["resumable"], false);
}

#[test]
fn a_second_interrupt_leaves_at_once_and_nothing_is_lost() {
    // The guest goes on for ten minutes after it was asked to stop.
    let tasks = "[tasks.patience]\ncall = \"probe.sleep\"\narguments.millis = { map = [1, 600000] }\n\
                 limits = { timeout = \"20m\", cancel-grace = \"10m\" }\n";
    let tasks = tasks.replace("cancel-grace", "cancel_grace");
    let flow = Flow::new("patient", "", &tasks);
    let mut running = start_in(flow.path(), &["run", "."]);
    until("the first run", || flow.done().filter(|done| *done == 1));
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(500));
    let graceful = running.has_ended();
    let asked = Instant::now();
    if !graceful {
        running.signal("INT");
    }
    let called = running.wait().exits(130);
    assert!(!graceful, "the first one waits for the guest: {}", called.stderr);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let shown = flow.document(&["runs", "show", "latest"]);
    assert_eq!(shown["flow"]["resumable"], true);
    assert_eq!(shown["flow"]["runs"]["completed"], 1);
}

#[test]
fn one_data_directory_has_one_writer_and_says_who_it_is() {
    let flow = Flow::naps(100);
    let running = start_in(flow.path(), &["run", "."]);
    until("the start", || flow.done());
    let refused = flow.call(&["run", "."]).exits(3);
    let holder = format!("process {}: sandmill run .", running.id());
    for words in [holder.as_str(), "--data-dir", "--no-history", "store.wait"] {
        assert!(refused.stderr.contains(words), "no {words} in {}", refused.stderr);
    }
    // Reading goes on beside the writer, and so does what keeps nothing.
    let explained = flow.call(&["runs", "explain", "latest"]).exits(0).stdout;
    assert!(explained.contains(&format!("process {}", running.id())), "{explained}");
    let probe = ["call", "probe.wasm", "add", "-a", "left=1"];
    assert_eq!(flow.call(&probe).exits(0).stdout.trim(), "2");
    drop(flow.call(&[&probe[..], &["--cache"]].concat()).exits(3));
    // Another one waits for as long as it is told to.
    let waiting = start(
        command(&["cache", "clear"]).current_dir(flow.path()).env("SANDMILL_STORE__WAIT", "2m"),
    );
    drop(flow.call(&["runs", "cancel", "latest"]).exits(0));
    drop(running.wait().exits(1));
    drop(waiting.wait().exits(0));
}

#[test]
fn a_flow_is_cancelled_from_another_process_and_watched_by_a_third() {
    let flow = Flow::naps(200);
    let running = start_in(flow.path(), &["run", "."]);
    until("a nap", || flow.done().filter(|done| *done > 0));
    let watching = start_in(flow.path(), &["runs", "watch", "latest"]);
    let following = start_in(flow.path(), &["runs", "events", "latest", "--follow", "-o", "json"]);
    std::thread::sleep(Duration::from_millis(300));
    let cancelled = json(&flow.call(&["runs", "cancel", "latest", "-o", "json"]).exits(0));
    assert_eq!(
        (&cancelled["ended"], &cancelled["state"]["type"]),
        (&true.into(), &"cancelled".into())
    );
    drop(running.wait().exits(1));
    let watched = watching.wait().exits(1);
    assert!(watched.stderr.contains("Watching naps"), "{}", watched.stderr);
    let events = json_lines(&following.wait().exits(0));
    let last = events.iter().rfind(|event| event["name"] == "naps").expect("the flow's own end");
    assert_eq!(last["state"]["type"], "cancelled");
    let explained = flow.call(&["runs", "explain", "latest"]).exits(0).stdout;
    assert!(explained.contains("cancelled"), "{explained}");
    let again = flow.call(&["runs", "cancel", "latest"]).exits(2);
    assert!(again.stderr.contains("has ended"), "{}", again.stderr);
}

#[test]
fn an_interrupted_flow_can_be_cancelled_for_good() {
    let flow = Flow::naps(100);
    let running = start_in(flow.path(), &["run", "."]);
    until("a nap", || flow.done().filter(|done| *done > 0));
    running.signal("KILL");
    drop(running.wait());
    drop(flow.call(&["runs", "cancel", "latest"]).exits(0));
    let shown = flow.document(&["runs", "show", "latest"]);
    assert_eq!(shown["flow"]["state"]["type"], "cancelled");
    drop(flow.call(&["runs", "resume", "latest"]).exits(2));
}

#[test]
fn a_flow_that_takes_too_long_times_out_with_124() {
    let flow = Flow::naps(300);
    let called = flow.call(&["run", ".", "--flow-timeout", "1s", "--output", "json"]).exits(124);
    assert_eq!(json(&called)["outcome"]["kind"], "timed-out");
    assert!(called.took < Duration::from_secs(20), "{:?}", called.took);
    let listed = flow.document(&["runs", "list"]);
    assert_eq!(listed["flows"][0]["state"]["name"], "TimedOut");
}

/// A small disk of its own.
struct Disk(TempDir);

impl Disk {
    /// One of so many mebibytes; none where nobody may make one.
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn new(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m,mode=0700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: no file system can be mounted here");
        }
        mounted.then_some(Self(folder))
    }

    fn grow(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        let grown = Command::new("mount").args(["-o", &size]).arg(self.0.path()).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_waited_out() {
    const RUNS: u64 = 20_000;
    let Some(disk) = Disk::new(6) else { return };
    let flow = Flow::stamps(RUNS);
    let data = disk.0.path().join("data");
    let mut run = command(&["run", "."]);
    let mut running = start(run.current_dir(flow.path()).env("SANDMILL_STORE__DIR", &data));
    // Until the marks stop for a while.
    let mut last = (0, Instant::now());
    until("a full disk", || {
        assert!(!running.has_ended(), "it ended although the disk is too small");
        let marks = flow.marks().len();
        if marks != last.0 {
            last = (marks, Instant::now());
        }
        (marks > 0 && last.1.elapsed() > Duration::from_secs(3)).then_some(())
    });
    let mut explain = command(&["runs", "explain", "latest"]);
    let explained = finish(explain.env("SANDMILL_STORE__DIR", &data)).exits(0).stdout;
    assert!(explained.contains("full"), "{explained}");
    disk.grow(400);
    let called = running.wait().exits(0);
    assert!(called.stderr.contains("the disk is full"), "{}", called.stderr);
    assert!(called.stderr.contains("there is room"), "{}", called.stderr);
    let marks = flow.marks();
    assert_eq!(marks.len() as u64, RUNS);
    assert!(marks.values().all(|times| *times == 1), "a run was done twice");
}

#[test]
fn a_flow_that_is_code_goes_on_after_a_kill() {
    const RUNS: u64 = 400;
    let flow = Flow::stamps(1);
    let code = format!("{}#stamp_twice", sandmill_test_artifacts::guest("flows").display());
    let marks = format!("{}::/marks:rw", flow.path().join("marks").display());
    let (runs, second) = (format!("runs={RUNS}"), "second=1000000".to_owned());
    let run = [
        "run",
        &code,
        "-p",
        &runs,
        "-p",
        &second,
        "-p",
        "folder=/marks",
        "--dir",
        &marks,
        "--slots",
        "2",
    ];
    let mut running = start_in(flow.path(), &run);
    until("a part of the work", || {
        assert!(!running.has_ended(), "it was done before it could be killed");
        (flow.marks().len() as u64 > RUNS / 2).then_some(())
    });
    running.signal("KILL");
    drop(running.wait());
    let all = ["runs", "show", "latest", "--state", "completed", "--limit", "10000"];
    let before = flow.document(&all);
    let before = before["runs"].as_array().unwrap();
    let ended: BTreeSet<u64> =
        before.iter().filter(|run| run["stage"] == "first").map(index).collect();
    assert!(!ended.is_empty(), "nothing had ended");
    let resumed = json(&flow.call(&["runs", "resume", "latest", "-o", "json"]).exits(0));
    // Each stamp gives twice its number, and the second one takes what the first one gave.
    assert_eq!(resumed["result"], 2 * (RUNS * (RUNS - 1) + RUNS * 1_000_000));
    assert!(resumed["reused"].as_u64().unwrap() > 0, "{resumed}");
    let marks = flow.marks();
    assert_eq!(marks.len() as u64, 2 * RUNS);
    // The runs of the first map mark their positions; what had ended is not done again.
    let twice: Vec<_> = ended.iter().filter(|index| marks[index] != 1).collect();
    assert!(twice.is_empty(), "done twice: {twice:?}");
    let wrong = flow.call(&["run", &code, "-p", "runs=many"]).exits(2);
    assert!(wrong.stderr.contains("`folder`"), "{}", wrong.stderr);
}
