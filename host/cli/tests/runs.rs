//! The JSON documents of `runs` and `cache`, held against their schemas, on a flow with an end of
//! every kind. What the commands do is tested in `tests/`.

mod support;

use sandmill_test_artifacts::guest;
use serde_json::Value as Json;
use support::{Place, document};

const FLOW: &str = "[flow]\nname = \"mixed\"\nresult = \"sum.result\"\nlabels = [\"a\"]\n\
    [components.probe]\npath = \"probe.wasm\"\n\
    [tasks.halves]\ncall = \"probe.half\"\narguments.number = { map = [2, 3, 4] }\n\
    retries = 1\ncache = true\n\
    [tasks.again]\ncall = \"probe.half\"\narguments.number = { map = \"halves.result\" }\n\
    [tasks.speak]\ncall = \"probe.speak\"\narguments.word = \"hey\"\n\
    [tasks.sum]\ncall = \"probe.sum\"\narguments.numbers = [1, 2]\n";

fn lines(schema: &str, text: &str) -> Vec<Json> {
    text.lines().map(|line| document(schema, line)).collect()
}

#[test]
fn every_document_is_as_its_schema_says() {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write("flow.toml", FLOW);
    let json = |args: &[&str]| place.run(&[args, &["-o", "json"]].concat());
    let listed = json(&["runs", "list"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (2, ""), "there is no history yet");
    for _ in 0..2 {
        let said = json(&["run", ".", "--idempotency-key", "k"]);
        assert_eq!(said.code, 1, "{}", said.stderr);
        document("run", &said.stdout);
    }
    assert!(!lines("runs-log", &json(&["runs", "logs", "latest/speak"]).stdout).is_empty());
    let said = json(&["runs", "rerun", "latest", "--failed"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    document("run", &said.stdout);

    let listed = document("runs-list", &json(&["runs", "list", "--all"]).stdout);
    assert_eq!(listed["flows"].as_array().map(Vec::len), Some(2));
    document("runs-show", &json(&["runs", "show", "latest"]).stdout);
    let shown = document("runs-show", &json(&["runs", "show", "latest", "--runs"]).stdout);
    assert_eq!(shown["runs"].as_array().map(Vec::len), Some(8));
    document("runs-show-run", &json(&["runs", "show", "latest/halves[1]"]).stdout);
    assert!(lines("runs-event", &json(&["runs", "events", "latest"]).stdout).len() > 8);
    for run in ["latest", "latest/halves[0]", "latest/halves[1]", "latest/again[1]"] {
        document("runs-result", &json(&["runs", "result", run]).stdout);
        document("runs-explain", &json(&["runs", "explain", run]).stdout);
    }
    document("run", &json(&["runs", "watch", "latest"]).stdout);

    document("cache-list", &json(&["cache", "list"]).stdout);
    let explain = ["cache", "explain", "probe.wasm", "half", "-a"];
    for (number, hit) in [("number=2", true), ("number=20", false)] {
        let said = json(&[&explain[..], &[number]].concat());
        assert_eq!(document("cache-explain", &said.stdout)["hit"], hit, "{}", said.stderr);
    }
    document("call", &json(&["call", "probe.wasm", "half", "-a", "number=2", "--cache"]).stdout);
    document("cache-clear", &json(&["cache", "clear"]).stdout);
    document("runs-delete", &json(&["runs", "delete", "latest"]).stdout);
    document("runs-delete", &json(&["runs", "prune", "--older-than", "0", "--dry-run"]).stdout);
    document("runs-delete", &json(&["runs", "prune", "--older-than", "0"]).stdout);
    document("doctor", &json(&["doctor"]).stdout);
}

#[test]
fn a_data_directory_is_checked_and_one_that_others_can_write_to_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let open = place.path().join("open");
    std::fs::create_dir(&open).expect("it can be made");
    let permit = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&open, mode).expect("they can be set");
    };
    permit(0o777);
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write("flow.toml", FLOW);
    let said = place.run(&["run", ".", "--data-dir", "open"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("chmod"), "{}", said.stderr);
    // As `mkdir` makes it.
    permit(0o755);
    let said = place.run(&["run", ".", "--data-dir", "open"]);
    assert_ne!(said.code, 3, "{}", said.stderr);
    assert!(open.join("history.db").exists());
    let said = place.run(&["config", "show", "--data-dir", "open", "-o", "json"]);
    let shown = document("config", &said.stdout);
    let settings = shown["settings"].as_array().expect("it is a list");
    let dir = settings.iter().find(|setting| setting["key"] == "store.dir").expect("it is there");
    assert_eq!((&dir["value"], &dir["layer"]), (&"open".into(), &"flag".into()));
}

#[test]
fn flows_of_components_are_named_and_checked() {
    let place = Place::new();
    let flows = guest("flows").to_str().expect("its path is UTF-8").to_owned();
    let said = place.run(&["inspect", &flows, "-o", "json"]);
    let shown = document("inspect", &said.stdout);
    let tasks = shown["tasks"].as_array().expect("it is a list");
    assert!(tasks.iter().any(|task| task["flow"] == true), "{shown}");
    let said = place.run(&["run", &format!("{flows}#nothing_like_it")]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("hint:"), "{}", said.stderr);
    let said = place.run(&["run", &flows]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("#FLOW"), "{}", said.stderr);
}

#[test]
fn a_trigger_that_does_not_hold_is_a_failure_and_no_timeout() {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write(
        "flow.toml",
        r#"
        [flow]
        name = "alarmed"
        [components.probe]
        path = "probe.wasm"
        [tasks.first]
        call = "probe.add"
        arguments = { left = 1 }
        [tasks.alarm]
        call = "probe.add"
        arguments = { left = 1 }
        after = ["first"]
        trigger = "any-failed"
        "#,
    );
    let said = place.run(&["run", "."]);
    assert_eq!(said.code, 1, "{}", said.stderr);
}

#[test]
fn a_file_for_a_list_is_read_as_json() {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write(
        "flow.toml",
        r#"
        [flow]
        name = "summed"
        result = "sum.result"
        [components.probe]
        path = "probe.wasm"
        [parameters.numbers]
        type = "array"
        [tasks.sum]
        call = "probe.sum"
        arguments.numbers = { from = "parameters.numbers" }
        "#,
    );
    place.write("numbers.json", "[1, 2,\n 4]\n");
    let said = place.run(&["run", ".", "-p", "numbers=@numbers.json", "-o", "quiet"]);
    assert_eq!((said.code, said.stdout.trim()), (0, "7"), "{}", said.stderr);
    let said = place.run(&["call", "probe.wasm", "sum", "-a", "numbers=@numbers.json"]);
    assert_eq!((said.code, said.stdout.trim()), (0, "7"), "{}", said.stderr);
    place.write("numbers.json", "[1, 2");
    let said = place.run(&["run", ".", "-p", "numbers=@numbers.json"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("`numbers.json` is not JSON"), "{}", said.stderr);
}

#[test]
fn a_key_is_for_one_flow_with_the_same_parameters() {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    let flow = |name: &str, default: u64| {
        format!(
            "[flow]\nname = \"{name}\"\nresult = \"one.result\"\n\
             [components.probe]\npath = \"probe.wasm\"\n\
             [parameters.number]\ntype = \"integer\"\n\
             [parameters.other]\ntype = \"any\"\ndefault = {default}\n\
             [tasks.one]\ncall = \"probe.half\"\narguments.number = {{ from = \"parameters.number\" }}\n"
        )
    };
    place.write("flow.toml", &flow("keyed", 1));
    let run = |folder: &str, parameters: &[&str]| {
        let parameters = parameters.iter().flat_map(|parameter| ["-p", parameter]);
        let args = ["run", folder, "--idempotency-key", "k", "-o", "json"];
        place.run(&args.into_iter().chain(parameters).collect::<Vec<_>>())
    };
    let first = run(".", &["number=8", "other={\"a\": 1, \"b\": 2}"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let first = document("run", &first.stdout);
    let id = first["run_id"].as_str().expect("it is text");
    // The same, however it is written.
    let again = run(".", &["other={\"b\": 2, \"a\": 1}", "number=8"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("already") && !again.stderr.contains("warning"));
    assert_eq!(document("run", &again.stdout)["run_id"], *id);
    // Others are refused, each by its name.
    let other = run(".", &["number=10"]);
    assert_eq!((other.code, other.stdout.as_str()), (2, ""), "{}", other.stderr);
    for words in [id, "`k`", "`number`: it was 8, and is 10 now", "`other`: it was {", "1 now"] {
        assert!(other.stderr.contains(words), "no {words} in {}", other.stderr);
    }
    // A flow that was changed is the same flow, and the run is one of what it was.
    let same = &["number=8", "other={\"a\": 1, \"b\": 2}"];
    place.write("flow.toml", &format!("{}# changed\n", flow("keyed", 1)));
    let changed = run(".", same);
    assert_eq!(changed.code, 0, "{}", changed.stderr);
    assert!(changed.stderr.contains("warning: the flow file was changed"), "{}", changed.stderr);
    // Another flow is not: by its name, or by where it is.
    place.write("flow.toml", &flow("keyless", 1));
    std::fs::create_dir(place.path().join("else")).expect("it can be made");
    std::fs::copy(guest("probe"), place.path().join("else/probe.wasm")).expect("it can be copied");
    place.write("else/flow.toml", &format!("{}# changed\n", flow("keyed", 1)));
    for folder in [".", "else"] {
        let said = run(folder, same);
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains("another flow"), "{}", said.stderr);
    }
    // Moved as it is, it is the same.
    place.write("else/flow.toml", &flow("keyed", 1));
    assert_eq!(run("else", same).code, 0);
    let listed = document("runs-list", &place.run(&["runs", "list", "-o", "json"]).stdout);
    assert_eq!(listed["flows"].as_array().map(Vec::len), Some(1), "nothing else was run");

    let flows = guest("flows").to_str().expect("its path is UTF-8").to_owned();
    let run = |flow: &str, parameter: &str| {
        let flow = format!("{flows}#{flow}");
        place.run(&["run", &flow, "--idempotency-key", "c", "-p", parameter, "-o", "json"])
    };
    let first = run("sum_of_squares", "count=3");
    assert_eq!(document("run", &first.stdout)["result"], 5, "{}", first.stderr);
    assert_eq!(run("sum_of_squares", "count=3").code, 0);
    for (flow, parameter, words) in
        [("sum_of_squares", "count=4", "it was 3, and is 4 now"), ("nested", "count=3", "another")]
    {
        let said = run(flow, parameter);
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
}
