//! `sandmill worker` by itself: where it may listen, what it says, how it leaves.

use std::time::Duration;

use rustix::process::Signal;

use crate::running::{Running, get, place, until};
use crate::support::{Place, document, said};

const HERE: &str = "tcp://127.0.0.1:0";

#[test]
fn an_open_address_without_certificates_or_a_token_is_refused() {
    let place = Place::new();
    for (args, words) in [
        (&["--listen", "tls://0.0.0.0:0"][..], "anybody there could run code"),
        (&["--listen", "tls://127.0.0.1:0"], "anybody there could run code"),
        (&["--listen", "tcp://0.0.0.0:7070"], "use tls://"),
        (&["--listen", "unix:relative"], "has to start with"),
        (&["--token", "smj1.nonsense"], "join token"),
        (&["--cert", "a.pem"], "--key"),
        (&["--listen", "tls://127.0.0.1:0", "--token", "@gone"], "gone"),
        (&["--allow-dir", "/a/../b"], "`..`"),
        (&["--resource", "gpu"], "gpu"),
    ] {
        let said = place.run(&[&["worker"], args].concat());
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
        assert!(said.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_a_fault_of_the_machine() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it has one").port();
    let said = place.run(&["worker", "--listen", &format!("tcp://127.0.0.1:{port}")]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("cannot listen"), "{}", said.stderr);
}

#[test]
fn health_and_metrics_follow_the_worker() {
    let place = place();
    let worker = Running::start(
        &place,
        &["--listen", HERE, "--slots", "2", "--http", "0", "--label", "gpu", "--resource", "gpu=2"],
    );
    let http = worker.http().to_owned();
    assert!(http.starts_with("127.0.0.1:"), "{http}");
    assert_eq!(get(&http, "/healthz").0, 200);
    assert_eq!(get(&http, "/secrets").0, 404);
    let address = worker.address();
    let call = ["call", "probe.wasm", "add", "-a", "left=2", "--host", &address];
    let answer = place.run(&call);
    assert_eq!((answer.code, answer.stdout.trim()), (0, "3"), "{}", answer.stderr);

    until("the run to be counted", || {
        get(&http, "/metrics").1.contains("sandmill_worker_runs_ended_total{end=\"value\"} 1")
    });
    let (status, metrics) = get(&http, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "# HELP sandmill_worker_slots ",
        "# TYPE sandmill_worker_runs_ended counter",
        "sandmill_worker_slots 2",
        "sandmill_worker_draining 0",
        "sandmill_worker_component_transfers_total 1",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }

    let listed = place.run(&["workers", "--host", &address, "-o", "json"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let shown = document("workers", &listed.stdout);
    let one = &shown["workers"][0];
    assert_eq!((&one["state"], &one["slots"]), (&"up".into(), &2.into()), "{one}");
    assert_eq!((&one["labels"][0], &one["resources"]["gpu"]), (&"gpu".into(), &2.0.into()));
    assert_eq!(one["components"].as_array().map(Vec::len), Some(1), "{one}");
    let table = place.run(&["workers", "--host", &address]);
    assert!(table.stdout.contains("gpu=2") && table.stdout.contains("up"), "{}", table.stdout);

    let (code, talk) = worker.leave();
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("took component sha256:"), "{talk}");
    assert!(talk.contains("has connected"), "{talk}");
    let gone = place.run(&["workers", "--host", &address, "-o", "json"]);
    assert_eq!(gone.code, 3, "{}", gone.stdout);
    assert_eq!(document("workers", &gone.stdout)["workers"][0]["state"], "down");
}

#[test]
fn a_worker_that_leaves_lets_its_runs_end_and_takes_no_others() {
    let place = place();
    let worker = Running::start(&place, &["--listen", HERE, "--slots", "1", "--http", "0"]);
    let (http, address) = (worker.http().to_owned(), worker.address());
    let call = ["call", "probe.wasm", "sleep", "-a", "millis=3000", "--allow-clock"];
    // What it does not allow is not made there.
    let refused = place.run(&[&call[..], &["--host", &address, "--queue-timeout", "2s"]].concat());
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let call = ["call", "probe.wasm", "spin_until_cancelled", "--timeout", "4s"];
    let call = place
        .command(&[&call[..], &["--host", &address]].concat())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    until("the run to start", || get(&http, "/metrics").1.contains("runs_running 1"));
    worker.signal(Signal::TERM);
    until("the drain", || get(&http, "/healthz").0 == 503);
    // It ends by its time limit, which the worker waits for.
    let answer = said(call.wait_with_output().expect("it ends"));
    assert_eq!(answer.code, 124, "{}", answer.stderr);
    let (code, talk) = worker.end();
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("waiting up to") && talk.contains("1 run to end"), "{talk}");
}

#[test]
fn a_grace_that_is_over_cancels_and_a_second_signal_leaves_at_once() {
    let place = place();
    for second in [false, true] {
        let grace = if second { "1h" } else { "200ms" };
        let worker = Running::start(&place, &["--listen", HERE, "--http", "0", "--grace", grace]);
        let (http, address) = (worker.http().to_owned(), worker.address());
        let mut call = place
            .command(&["call", "probe.wasm", "spin_until_cancelled", "--host", &address])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary can be started");
        until("the run to start", || get(&http, "/metrics").1.contains("runs_running 1"));
        worker.signal(Signal::TERM);
        if second {
            until("the drain", || get(&http, "/healthz").0 == 503);
            std::thread::sleep(Duration::from_millis(100));
            worker.signal(Signal::TERM);
        }
        let (code, talk) = worker.end();
        assert_eq!(code, if second { 130 } else { 1 }, "{talk}");
        let _ = call.kill();
        let _ = call.wait();
    }
}
