//! The JSON documents of commands that run guests, held against their schemas, and what the command
//! line makes of arguments, inputs and results. That runs end as they should is tested in `tests/`.

mod support;

use std::io::Write as _;
use std::process::Stdio;

use sandmill_test_artifacts::guest;
use serde_json::{Value as Json, json};
use support::{Place, Said, document, said};

fn wasm(name: &str) -> String {
    guest(name).to_str().expect("its path is UTF-8").to_owned()
}

fn fed(place: &Place, args: &[&str], input: &[u8]) -> Said {
    let mut child = place
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    child.stdin.take().expect("it has one").write_all(input).expect("it reads its input");
    said(child.wait_with_output().expect("it ends"))
}

#[test]
fn a_call_has_one_document_however_it_ends() {
    let place = Place::new();
    let (probe, hostile) = (wasm("probe"), wasm("hostile"));
    for (args, code, kind) in [
        (&["call", &probe, "add", "-a", "left=2"][..], 0, "value"),
        (&["call", &probe, "speak", "{\"word\":\"hey\"}"], 0, "value"),
        (&["call", &probe, "refuse", "-a", "kind=odd", "-a", "message=no"], 1, "failure"),
        (&["call", &hostile, "panic", "-a", "message=ouch"], 1, "trapped"),
        (&["call", &hostile, "exit", "-a", "code=3"], 1, "trapped"),
        (&["call", &hostile, "spin", "--timeout", "100ms"], 124, "timed-out"),
        (&["call", &hostile, "spin", "--fuel", "100000"], 1, "out-of-fuel"),
    ] {
        let said = place.run(&[args, &["-o", "json"]].concat());
        assert_eq!(said.code, code, "{args:?}: {}{}", said.stdout, said.stderr);
        assert_eq!(said.stdout.lines().count(), 1, "{args:?}");
        let shown = document("call", &said.stdout);
        assert_eq!(shown["outcome"]["kind"], kind, "{args:?}");
        assert_eq!(shown.get("value").is_some(), kind == "value", "{args:?}");
    }
    let said = place.run(&["call", &probe, "add", "-a", "left=2", "--max-input", "2B"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    let said = place.run(&["call", &hostile, "exit", "-a", "code=3", "-o", "json"]);
    // WASI 0.2 passes on only whether the code was 0.
    assert_eq!(document("call", &said.stdout)["outcome"]["exit_code"], 1);
    let said = place.run(&["call", &probe, "speak", "-a", "word=hey", "-o", "json"]);
    let shown = document("call", &said.stdout);
    let logs = shown["logs"].as_array().expect("it is a list");
    assert!(logs.iter().any(|line| line["message"].to_string().contains("hey")), "{logs:?}");
    let quiet = place.run(&["call", &probe, "speak", "-a", "word=hey", "-o", "quiet"]);
    assert!(quiet.stderr.is_empty(), "{}", quiet.stderr);
}

#[test]
fn bytes_go_in_and_out_as_they_are() {
    let place = Place::new();
    let probe = wasm("probe");
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(place.path().join("in"), &bytes).expect("it can be written");
    let args = ["call", &probe, "reverse", "-a", "bytes=@in", "--raw", "out"];
    let said = place.run(&args);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{}", said.stderr);
    let reversed: Vec<u8> = (0..=255).rev().collect();
    assert_eq!(std::fs::read(place.path().join("out")).expect("it is there"), reversed);
    let said = fed(&place, &["call", &probe, "reverse", "-a", "bytes=@-"], &[1, 2, 0xff]);
    assert_eq!(said.stdout.trim(), r#"{"$bytes":"/wIB"}"#, "{}", said.stderr);
    // Text of a parameter that takes only strings is not taken for JSON.
    let said = place.run(&["call", &probe, "shout", "-a", "text=12", "--raw", "-"]);
    assert_eq!((said.code, said.stdout.contains("12")), (0, true), "{}", said.stderr);
    let said = place.run(&["call", &probe, "add", "-a", "left=1", "--raw", "-"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("--raw"), "{}", said.stderr);
}

#[test]
fn arguments_are_checked_by_name_all_at_once() {
    let place = Place::new();
    let probe = wasm("probe");
    let said = place.run(&["call", &probe, "add", "-a", "lefft=1", "-a", "x=2", "-a", "x=3"]);
    assert_eq!(said.code, 2);
    for part in [
        "`lefft`; did you mean `left`?",
        "no parameter `x`",
        "`x` is given twice",
        "`left` (integer) is missing",
    ] {
        assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
    }
    let said = place.run(&["call", &probe, "ad"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("did you mean `add`?"), "{}", said.stderr);
}

fn lines(said: &Said) -> Vec<Json> {
    said.stdout.lines().map(|line| document("map-line", line)).collect()
}

#[test]
fn inputs_of_a_map_come_from_lines_json_and_ranges() {
    let place = Place::new();
    let (probe, estimate) = (wasm("probe"), wasm("montecarlo"));
    let said = fed(&place, &["map", &probe, "shout", "--each-line", "-"], b"a\nb\n");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.stdout.lines().count(), 2);
    let args = ["map", &probe, "add", "--from-json", "-", "-o", "quiet"];
    let said = fed(&place, &args, b"{\"left\":1}\n{\"left\":5,\"right\":2}\n7\n");
    assert_eq!((said.code, said.stdout.as_str()), (1, "2\n7\nnull\n"), "{}", said.stderr);
    let args = ["map", &probe, "add", "--as", "left", "--from-json", "-", "-a", "right=10"];
    let said = fed(&place, &args, b"[1, 2,\n3]");
    assert_eq!(said.stdout, "11\n12\n13\n", "{}", said.stderr);
    let said = fed(&place, &args, b"1\n{\n3\n");
    assert_eq!((said.code, said.stdout.as_str()), (2, "11\n"), "{}", said.stderr);
    assert!(said.stderr.contains("line 2"), "{}", said.stderr);
    let args = ["map", &estimate, "estimate", "--range", "0..300", "-a", "samples=1", "-o", "json"];
    for executor in ["inline", "pool"] {
        let said = place.run(&[&args[..], &["--executor", executor]].concat());
        assert_eq!(said.code, 0, "{}", said.stderr);
        let lines = lines(&said);
        let in_order = lines.iter().zip(0..300).all(|(line, index)| line["index"] == index);
        assert!(in_order && lines.len() == 300);
    }
    let said = place.run(&[&args[..], &["--unordered"]].concat());
    let mut seen: Vec<u64> = lines(&said)
        .iter()
        .map(|line| line["value"]["seed"].as_u64().expect("it has one"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

#[test]
fn failures_of_a_map_have_their_lines_and_their_code() {
    let place = Place::new();
    let (probe, hostile) = (wasm("probe"), wasm("hostile"));
    let args = ["map", &hostile, "exit", "--range", "0..30", "-o", "json"];
    let said = place.run(&args);
    assert_eq!(said.code, 1);
    assert!(lines(&said).iter().all(|line| line["state"] == "failed"));
    assert!(said.stderr.contains("further failures are only counted"), "{}", said.stderr);
    let args = ["map", &probe, "sleep", "--range", "600000..600003", "--timeout", "50ms"];
    assert_eq!(place.run(&args).code, 124);
    let args = ["map", &hostile, "exit", "--range", "0..5000", "--fail-fast", "-o", "json"];
    let said = place.run(&args);
    assert_eq!(said.code, 1);
    assert!(lines(&said).len() < 5000);
    let said = place.run(&["map", &probe, "add", "--range", "0..3", "--as", "middle"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("`middle`"), "{}", said.stderr);
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let estimate = wasm("montecarlo");
    let args =
        ["map", &estimate, "estimate", "--range", "0..100000000", "-a", "samples=1", "-o", "quiet"];
    let mut child = place
        .command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let mut first = [0; 64];
    let mut stdout = child.stdout.take().expect("it has one");
    std::io::Read::read_exact(&mut stdout, &mut first).expect("it prints results");
    drop(stdout);
    let said = said(child.wait_with_output().expect("it ends"));
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
}

#[test]
fn inspect_and_run_have_documents() {
    let place = Place::new();
    let probe = wasm("probe");
    let said = place.run(&["inspect", &probe, "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let shown = document("inspect", &said.stdout);
    assert_eq!(shown["purity"]["may_read_context"], true);
    assert!(shown["tasks"].as_array().is_some_and(|tasks| tasks.len() > 5));
    let text = place.run(&["inspect", &probe]);
    assert!(text.stdout.contains("add(left, right) -> integer"), "{}", text.stdout);

    let flow = format!(
        "[flow]\nname = \"f\"\nresult = \"one.result\"\n[components.probe]\npath = {probe:?}\n\
         [parameters.left]\ntype = \"integer\"\ndefault = 1\n\
         [tasks.one]\ncall = \"probe.add\"\narguments.left = {{ from = \"parameters.left\" }}\n\
         [tasks.slow]\ncall = \"probe.sleep\"\narguments.millis = {{ map = [0, 1] }}\nlimits = {{ timeout = \"1m\" }}\n"
    );
    place.write("flow.toml", &flow);
    for executor in ["inline", "pool"] {
        let args = ["run", ".", "-p", "left=41", "--executor", executor, "-o", "json"];
        let said = place.run(&args);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
        let shown = document("run", &said.stdout);
        assert_eq!((&shown["result"], &shown["executor"]), (&json!(42), &json!(executor)));
        assert_eq!(shown["stages"][1]["completed"], 2);
    }
    // A flag stands over the flow's own limit, and only runs that time out make 124.
    let slow = flow.replace("[0, 1]", "[600000, 600001]");
    place.write("flow.toml", &slow);
    let said = place.run(&["run", "flow.toml", "--timeout", "50ms", "-o", "json"]);
    assert_eq!(said.code, 124, "{}{}", said.stdout, said.stderr);
    let shown = document("run", &said.stdout);
    assert_eq!(shown["stages"][1]["timed_out"], 2);
    assert_eq!(shown["failures"].as_array().map(Vec::len), Some(2));
}
