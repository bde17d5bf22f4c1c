//! Workers that leave while they have runs: what has not started goes to others.

use std::process::Stdio;

use rustix::process::Signal;

use crate::running::{Running, get, place, until};
use crate::support::said;

#[test]
fn runs_that_are_given_back_are_made_elsewhere_and_a_second_signal_ends_the_rest() {
    let place = place();
    let socket = |name: &str| format!("unix:{}", place.path().join(name).display());
    let (first, second) = (socket("a"), socket("b"));
    let serve = |address: &str| {
        let grace = ["--slots", "1", "--http", "0", "--grace", "1h"];
        Running::start(&place, &[&["--listen", address], &grace[..]].concat())
    };
    let leaving = serve(&first);
    let http = leaving.http().to_owned();
    let metric = |http: &str, line: &str| get(http, "/metrics").1.contains(line);
    // It takes longer than anybody waits.
    let long = ["call", "probe.wasm", "sleep", "-a", "millis=600000", "--timeout", "1h"];
    let mut long = place
        .command(&[&long[..], &["--host", &first]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be started");
    until("the long run to start", || metric(&http, "runs_running 1"));
    place.write("naps.json", "[1, 2, 3, 4]");
    let map = ["map", "probe.wasm", "sleep", "--from-json", "naps.json", "--as", "millis"];
    let map = place
        .command(&[&map[..], &["--host", &first, "--host", &second]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    until("another run to wait for it", || !metric(&http, "runs_waiting 0"));

    leaving.signal(Signal::TERM);
    until("the worker to give it back", || metric(&http, "runs_waiting 0"));
    assert!(!metric(&http, "runs_handed_back_total 0"), "{}", get(&http, "/metrics").1);
    assert!(metric(&http, "runs_running 1"), "it waits for what runs");
    let other = serve(&second);
    let map = said(map.wait_with_output().expect("it ends"));
    assert_eq!(map.code, 0, "{}", map.stderr);
    assert_eq!(map.stdout, "1000000\n2000000\n3000000\n4000000\n");
    assert_eq!(other.leave().0, 0);

    leaving.signal(Signal::TERM);
    let (code, talk) = leaving.end();
    assert_eq!(code, 130, "{talk}");
    assert!(talk.contains("to end"), "{talk}");
    let _ = long.kill();
    let _ = long.wait();
}
