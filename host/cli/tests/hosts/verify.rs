//! `sandmill verify`: the same bytes wherever a call is made.

use crate::running::{Running, place};
use crate::support::document;

#[test]
fn answers_are_the_same_everywhere() {
    let place = place();
    let worker = Running::start(&place, &["--listen", "tcp://127.0.0.1:0"]);
    let address = worker.address();
    let said = place.run(&[
        "verify",
        "probe.wasm",
        "add",
        "-a",
        "left=1",
        "--host",
        &address,
        "-o",
        "json",
    ]);
    assert_eq!(said.code, 0, "{}{}", said.stderr, said.stdout);
    let shown = document("verify", &said.stdout);
    assert_eq!((&shown["equal"], &shown["pure"]), (&true.into(), &true.into()));
    let executors = shown["executors"].as_array().expect("it is a list");
    assert_eq!(executors.len(), 5);
    assert!(executors.iter().all(|one| one["digest"] == executors[0]["digest"]), "{shown}");

    // A failure is an answer too.
    let said = place.run(&["verify", "probe.wasm", "half", "-a", "number=3"]);
    assert_eq!(said.code, 0, "{}{}", said.stderr, said.stdout);
    assert_eq!(said.stdout.matches("yes").count(), 4, "{}", said.stdout);
}

#[test]
fn a_call_that_is_not_pure_may_differ_and_that_is_said() {
    let place = place();
    let call = ["verify", "probe.wasm", "random", "-a", "count=16"];
    assert_eq!(place.run(&call).code, 0, "without a grant the stream follows from the call");
    let said = place.run(&[&call[..], &["--allow-random"]].concat());
    assert_eq!(said.code, 1, "{}{}", said.stderr, said.stdout);
    assert!(said.stderr.contains("not pure (random granted)"), "{}", said.stderr);
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let place = place();
    let said =
        place.run(&["verify", "probe.wasm", "add", "-a", "left=1", "--host", "unix:/nowhere/s"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("remote, unix:"), "{}", said.stderr);
    let wrong = place.run(&["verify", "probe.wasm", "add"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}
