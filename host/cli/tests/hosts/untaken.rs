//! A worker that leaves while nobody takes its results.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::running::{Running, get, place, until};

#[test]
fn results_that_nobody_takes_are_no_success() {
    let place = place();
    let serve = ["--listen", "tcp://127.0.0.1:0", "--http", "0", "--allow-clock"];
    let worker = Running::start(&place, &serve);
    let (http, address) = (worker.http().to_owned(), worker.address());
    let call = ["call", "probe.wasm", "sleep", "-a", "millis=3000", "--allow-clock"];
    let mut call = place
        .command(&[&call[..], &["--host", &address]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be started");
    until("the run to start", || get(&http, "/metrics").1.contains("runs_running 1"));
    // It is there still, and hears nothing.
    kill_process(Pid::from_child(&call), Signal::STOP).expect("it is there");
    let (code, talk) = worker.leave();
    assert_eq!(code, 1, "{talk}");
    assert!(talk.contains("1 result not taken by whoever ordered them"), "{talk}");
    let _ = call.kill();
    let _ = call.wait();
}
