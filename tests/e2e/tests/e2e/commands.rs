//! `call`, `map` and `inspect` on real components, and the exit codes that scripts rely on.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sandmill_test_artifacts as artifacts;
use sandmill_test_e2e::{Called, LONG, command, finish, sandmill};
use serde_json::Value;

fn guest(name: &str) -> String {
    artifacts::guest(name).to_str().unwrap().to_owned()
}

fn json(called: &Called) -> Value {
    serde_json::from_str(&called.stdout).unwrap_or_else(|error| panic!("{error}: {called:?}"))
}

#[test]
fn a_call_prints_its_value() {
    let probe = guest("probe");
    for executor in ["inline", "pool"] {
        let call =
            ["call", &probe, "add", "-a", "left=40", "-a", "right=2", "--executor", executor];
        assert_eq!(sandmill(&call).exits(0).stdout.trim(), "42");
    }
    let called = sandmill(&["call", &probe, "shout", r#"{"text":"grüße"}"#]).exits(0);
    assert_eq!(called.stdout.trim(), r#""GRÜSSE""#);
    let called = sandmill(&["call", &probe, "add", r#"{"left":1}"#, "--output", "json"]).exits(0);
    let call = json(&called);
    assert_eq!((&call["value"], &call["outcome"]["kind"]), (&2.into(), &"value".into()));
    assert_eq!(call["state"]["type"], "completed");
}

#[test]
fn an_endless_loop_times_out_with_124() {
    let hostile = guest("hostile");
    // Compiled beforehand: the timeout is the run's, and so should be what is measured.
    sandmill(&["inspect", &hostile]).exits(0).stdout.clear();
    let called = sandmill(&["call", &hostile, "spin", "--timeout", "1s", "--output", "json"]);
    let called = called.exits(124);
    assert_eq!(json(&called)["outcome"]["kind"], "timed-out");
    assert!(called.took >= Duration::from_secs(1), "{:?}", called.took);
    assert!(called.took < Duration::from_secs(20), "{:?}", called.took);
    let called = sandmill(&["call", &hostile, "sleep_forever", "--timeout", "100ms"]).exits(124);
    assert!(called.stderr.contains("timed-out"), "{}", called.stderr);
    let map = ["map", &hostile, "burn", "--range", "0..2", "--fuel", "1000000000"];
    assert_eq!(sandmill(&map).exits(0).stdout.lines().count(), 2);
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let (probe, hostile) = (guest("probe"), guest("hostile"));
    for (arguments, code, words) in [
        (vec!["call", &probe, "half", "-a", "number=3"], 1, "3 is odd"),
        (vec!["call", &hostile, "panic", "-a", "message=oh dear"], 1, "oh dear"),
        (vec!["call", &hostile, "trap"], 1, "trap"),
        (vec!["call", &hostile, "hoard", "--max-memory", "32MiB"], 1, "out-of-memory"),
        (vec!["call", &hostile, "spin", "--fuel", "1000000"], 1, "out-of-fuel"),
        (vec!["call", &probe, "nosuch"], 2, "nosuch"),
        (vec!["call", &probe, "add"], 2, "left"),
        (vec!["call", &probe, "add", "-a", "left=1", "-a", "rihgt=2"], 2, "rihgt"),
        (vec!["call", &probe, "add", "{not json"], 2, "JSON"),
        (vec!["call", &probe, "add", "-a", "left=1", "--timeout", "5"], 2, "5"),
        (vec!["call", "no/such.wasm", "add"], 2, "no/such.wasm"),
        (vec!["call", "Cargo.toml", "add"], 2, "component"),
        (vec!["run", "no/such/flow"], 2, "no/such/flow"),
        (vec!["frobnicate"], 2, "frobnicate"),
        (vec!["map", &probe, "half", "--range", "0..2", "--as", "nosuch"], 2, "nosuch"),
    ] {
        let called = sandmill(&arguments).exits(code);
        assert!(called.stderr.contains(words), "{arguments:?}: {}", called.stderr);
    }
}

#[test]
fn an_interrupt_stops_a_loop_with_130() {
    let hostile = guest("hostile");
    let mut child = command(&["call", &hostile, "spin"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it spins: before that an interrupt would find nothing to stop.
    thread::sleep(Duration::from_secs(3));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let start = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONG {
            child.kill().unwrap();
            panic!("it did not stop");
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_map_streams_its_results_in_order() {
    let montecarlo = guest("montecarlo");
    let mut first = String::new();
    for executor in ["inline", "pool"] {
        let called = sandmill(&[
            "map",
            &montecarlo,
            "estimate",
            "--range",
            "0..2000",
            "--as",
            "seed",
            "-a",
            "samples=5",
            "--executor",
            executor,
            "--output",
            "json",
        ])
        .exits(0);
        let mut count = 0;
        for (line, index) in called.stdout.lines().zip(0_u64..) {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["index"], &line["state"]), (&index.into(), &"completed".into()));
            assert_eq!(line["value"]["seed"], index);
            count += 1;
        }
        assert_eq!(count, 2_000);
        if first.is_empty() {
            first = called.stdout;
        } else {
            assert!(first == called.stdout, "the executors print the same bytes");
        }
    }
}

#[test]
fn a_map_goes_on_after_a_failure_and_says_so() {
    let called = sandmill(&["map", &guest("probe"), "half", "--range", "0..6"]).exits(1);
    assert_eq!(called.stdout, "0\nnull\n1\nnull\n2\nnull\n");
    assert!(called.stderr.contains("half[3]"), "{}", called.stderr);
    let lines = "zwei\n\ndrei";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words");
    fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let map = ["map", &guest("probe"), "shout", "--each-line", file, "--output", "quiet"];
    let called = sandmill(&map).exits(0);
    assert_eq!(called.stdout, "\"ZWEI\"\n\"\"\n\"DREI\"\n");
}

#[test]
fn a_run_sees_what_its_flags_grant_and_nothing_else() {
    let probe = guest("probe");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("word"), "stone").unwrap();
    let read = ["call", &probe, "read", "-a", "path=/in/word"];
    assert!(sandmill(&read).exits(1).stderr.contains("error"));
    let dir = format!("{}::/in", folder.path().display());
    let called = sandmill(&[&read[..], &["--dir", &dir]].concat()).exits(0);
    assert_eq!(called.stdout.trim(), r#"{"$bytes":"c3RvbmU="}"#);
    let write = ["call", &probe, "write", "-a", "path=/in/word", "-a", "bytes=x", "--dir", &dir];
    assert!(sandmill(&write).exits(1).stderr.contains("error"));
    assert_eq!(fs::read(folder.path().join("word")).unwrap(), b"stone");

    let variable = ["call", &probe, "environment", "-a", "name=COLOUR"];
    let mut ambient = command(&variable);
    assert_eq!(finish(ambient.env("COLOUR", "red")).exits(0).stdout.trim(), "null");
    let called = sandmill(&[&variable[..], &["--env", "COLOUR=grey"]].concat()).exits(0);
    assert_eq!(called.stdout.trim(), r#""grey""#);

    // Without a clock or randomness the same call prints the same, run after run.
    let look = ["call", &probe, "look_around", "--output", "quiet"];
    let first = sandmill(&look).exits(0).stdout;
    assert_eq!(first, sandmill(&look).exits(0).stdout);
    let with = |flag| sandmill(&[&look[..], &[flag]].concat()).exits(0).stdout;
    assert_ne!(with("--allow-clock"), first);
    assert_ne!(with("--allow-random"), with("--allow-random"));
}

#[test]
fn what_a_guest_prints_cannot_command_the_terminal() {
    let called = sandmill(&["call", &guest("hostile"), "escapes", "--logs"]).exits(0);
    assert!(called.stderr.contains("owned"), "{}", called.stderr);
    for inert in ['\u{1b}', '\u{7}', '\u{202e}', '\0'] {
        assert!(!called.stderr.contains(inert), "{}", called.stderr.escape_debug());
    }
    let message = "message=\u{1b}[2J\u{202e}boo";
    let called = sandmill(&["call", &guest("hostile"), "panic", "-a", message]).exits(1);
    assert!(called.stderr.contains("boo") && !called.stderr.contains('\u{1b}'));
}

#[test]
fn inspect_tells_of_tasks_and_purity() {
    let called = sandmill(&["inspect", &guest("montecarlo"), "--output", "json"]).exits(0);
    let found = json(&called);
    let names: Vec<&str> = found["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["seeds", "estimate", "combine"]);
    let called = sandmill(&["inspect", &guest("census")]).exits(0);
    assert!(called.stdout.contains("list_files(directory)"), "{}", called.stdout);
}
