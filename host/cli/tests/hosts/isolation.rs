//! A pool in processes: the same answers, and a process that dies costs only what is in it.

use std::process::Stdio;
use std::time::Duration;

use crate::running::{place, until};
use crate::support::said;

/// The processes that this one has started to run tasks. Another may be compiling.
fn workers_of(parent: u32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task");
    let tasks = std::fs::read_dir(path).into_iter().flatten().flatten();
    let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).ok();
    let texts: Vec<String> = tasks.filter_map(of).collect();
    texts
        .iter()
        .flat_map(|text| text.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|word| word == b"worker")
        })
        .collect()
}

#[test]
fn a_map_survives_a_process_that_is_killed() {
    let place = place();
    let args = [
        "map",
        "probe.wasm",
        "sleep",
        "--range",
        "0..40",
        "--as",
        "millis",
        "--allow-clock",
        "--executor",
        "pool",
        "--isolation",
        "processes",
        "--slots",
        "2",
        "-o",
        "json",
    ];
    let mut map = place
        .command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let pid = map.id();
    until("the processes", || workers_of(pid).len() == 2);
    std::thread::sleep(Duration::from_millis(300));
    let victim = workers_of(pid)[0];
    let victim = rustix::process::Pid::from_raw(victim).expect("it is a process");
    // It may have ended by itself, where the map was faster.
    let _ = rustix::process::kill_process(victim, rustix::process::Signal::KILL);
    until("the map", || map.try_wait().is_ok_and(|status| status.is_some()));
    let answer = said(map.wait_with_output().expect("it ended"));
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert_eq!(answer.stdout.lines().count(), 40);
    assert!(answer.stdout.lines().all(|line| line.contains("\"completed\"")), "{}", answer.stdout);
}

#[test]
fn processes_end_with_the_one_that_started_them() {
    let place = place();
    let mut call = place
        .command(&[
            "call",
            "probe.wasm",
            "spin_until_cancelled",
            "--executor",
            "pool",
            "--isolation",
            "processes",
            "--slots",
            "2",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be started");
    let pid = call.id();
    until("the processes", || workers_of(pid).len() == 2);
    let workers = workers_of(pid);
    call.kill().expect("it is there");
    call.wait().expect("it was killed");
    let gone = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    };
    until("the end of the processes", || workers.iter().all(gone));
}
