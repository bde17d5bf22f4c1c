//! What was run, and what can be done with it: lists, explanations, results, repeats, the cache,
//! deletion. What happens to flows whose process goes is in `survival`.

use std::fs;

use sandmill_test_artifacts as artifacts;
use sandmill_test_e2e::{Flow, json, json_lines, sandmill};
use serde_json::Value;

/// A flow in which a run fails, one that depends on it cannot start, and the rest completes.
fn odd() -> Flow {
    let tasks = "[tasks.halves]\ncall = \"probe.half\"\narguments.number = { map = [4, 7, 8] }\nretries = 2\n\
                 [tasks.again]\ncall = \"probe.half\"\narguments.number = { map = \"halves.result\" }\n\
                 [tasks.marks]\ncall = \"probe.stamp\"\narguments.folder = \"/marks\"\n\
                 arguments.number = { map = [1, 2, 3] }\n{marks}\n";
    Flow::new("odd", "labels = [\"nightly\"]", tasks)
}

/// The run of this name in a document of `runs show --runs`.
fn run<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let runs = shown["runs"].as_array().unwrap();
    runs.iter().find(|run| run["name"] == name).unwrap_or_else(|| panic!("no {name} in {shown}"))
}

#[test]
fn a_failure_is_explained_down_to_where_it_began() {
    let flow = odd();
    let called = flow.call(&["run", ".", "--output", "json"]).exits(1);
    let id = json(&called)["run_id"].as_str().unwrap().to_owned();
    let shown = flow.document(&["runs", "show", "latest", "--runs"]);
    assert_eq!(shown["flow"]["run_id"], *id);
    let first = run(&shown, "halves[1]");
    assert_eq!((&first["attempts"], &first["state"]["name"]), (&3.into(), &"Failed".into()));
    let tries = first["tries"].as_array().unwrap();
    assert_eq!(tries.len(), 3);
    assert!(tries.iter().all(|attempt| attempt["message"].to_string().contains("7 is odd")));
    let blocked = run(&shown, "again[1]");
    assert_eq!(blocked["state"]["name"], "TriggerFailed");

    let explained = flow.document(&["runs", "explain", "latest/again[1]"]);
    assert_eq!(explained["cause"], first["run_id"]);
    let reasons = explained["reasons"].to_string();
    assert!(reasons.contains("7 is odd") && reasons.contains("depends on"), "{reasons}");
    let human = flow.call(&["runs", "explain", &id]).exits(0).stdout;
    for words in ["halves[1]", "7 is odd", "never started", "rerun"] {
        assert!(human.contains(words), "no {words} in {human}");
    }
    let text = flow.call(&["runs", "show", "latest"]).exits(0).stdout;
    for words in ["halves", "attempt 3", "7 is odd", "labels: nightly", "2 retries"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    // A beginning of an id is as good as the whole.
    let short = flow.document(&["runs", "show", &id[..13]]);
    assert_eq!(short["flow"]["run_id"], *id);
    for wrong in ["0000", "nonsense", "latest/nothing", "latest/halves[9]"] {
        drop(flow.call(&["runs", "show", wrong]).exits(2));
    }
}

#[test]
fn a_list_is_filtered_by_state_name_time_and_label() {
    let flow = odd();
    drop(flow.call(&["run", ".", "--label", "first"]).exits(1));
    flow.write("even", "", "[tasks.one]\ncall = \"probe.half\"\narguments.number = 2\n");
    drop(flow.call(&["run", ".", "--label", "second", "--label", "late"]).exits(0));
    flow.write(
        "bad",
        "result = \"one.result\"",
        "[tasks.one]\ncall = \"probe.half\"\narguments.number = 3\n",
    );
    drop(flow.call(&["run", "."]).exits(1));
    let names = |filter: &[&str]| -> Vec<String> {
        let listed = flow.document(&[&["runs", "list"], filter].concat());
        let flows = listed["flows"].as_array().unwrap();
        flows.iter().map(|flow| flow["flow"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["bad", "even", "odd"]);
    assert_eq!(names(&["--limit", "1"]), ["bad"]);
    assert_eq!(names(&["--flow", "even"]), ["even"]);
    assert_eq!(names(&["--state", "failed"]), ["bad", "odd"]);
    assert_eq!(names(&["--state", "completed"]), ["even"]);
    assert_eq!(names(&["--label", "nightly", "--label", "first"]), ["odd"]);
    assert_eq!(names(&["--label", "first", "--label", "second"]), [""; 0]);
    assert_eq!(names(&["--since", "1h"]).len(), 3);
    assert_eq!(names(&["--until", "1h"]), [""; 0]);
    let table = flow.call(&["runs", "list"]).exits(0).stdout;
    assert!(table.contains("second") && table.lines().count() == 4, "{table}");
    drop(flow.call(&["runs", "list", "--since", "yesterday"]).exits(2));
}

#[test]
fn results_logs_and_events_are_there_afterwards() {
    let tasks = "[tasks.speak]\ncall = \"probe.speak\"\narguments.word = { map = [\"eins\", \"zwei\"] }\n\
                 [tasks.back]\ncall = \"probe.reverse\"\narguments.bytes = \"parameters.bytes\"\n";
    let tasks = tasks.replace(
        "arguments.bytes = \"parameters.bytes\"",
        "arguments.bytes = { from = \"parameters.bytes\" }",
    );
    let tasks = format!("{tasks}[parameters.bytes]\ntype = \"any\"\n");
    let flow = Flow::new("talk", "result = \"back.result\"", &tasks);
    fs::write(flow.path().join("bytes"), [1, 2, 255]).unwrap();
    let said = flow.call(&["run", ".", "-p", "bytes=@bytes"]).exits(0).stdout;
    assert_eq!(flow.call(&["runs", "result", "latest"]).exits(0).stdout, said);
    drop(flow.call(&["runs", "result", "latest/back", "--raw", "out"]).exits(0));
    assert_eq!(fs::read(flow.path().join("out")).unwrap(), [255, 2, 1]);
    let lines = json_lines(&flow.call(&["runs", "logs", "latest", "-o", "json"]).exits(0));
    let heard = |word: &str| lines.iter().any(|line| line["message"].to_string().contains(word));
    assert!(heard("eins") && heard("zwei"), "{lines:?}");
    let lines = flow.call(&["runs", "logs", "latest/speak[1]", "--level", "info"]).exits(0).stdout;
    assert!(lines.contains("zwei") && !lines.contains("eins"), "{lines}");
    assert!(flow.call(&["runs", "logs", "latest", "--task", "back"]).exits(0).stdout.is_empty());
    let events = json_lines(&flow.call(&["runs", "events", "latest", "-o", "json"]).exits(0));
    let times: Vec<u64> = events.iter().map(|it| it["at_micros"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let ends = events.iter().filter(|event| event["state"]["type"] == "completed").count();
    assert_eq!(ends, 4, "three runs and their flow");
}

#[test]
fn an_idempotency_key_has_one_flow_run() {
    let flow = Flow::stamps(5);
    let run = ["run", ".", "--idempotency-key", "today", "--output", "json"];
    let first = json(&flow.call(&run).exits(0));
    let second = flow.call(&run).exits(0);
    assert!(second.stderr.contains("already"), "{}", second.stderr);
    let second = json(&second);
    assert_eq!((&second["run_id"], &second["result"]), (&first["run_id"], &20.into()));
    assert!(flow.marks().values().all(|times| *times == 1));
    assert_eq!(flow.document(&["runs", "list"])["flows"].as_array().unwrap().len(), 1);
}

#[test]
fn a_rerun_uses_what_still_applies() {
    let flow = odd();
    drop(flow.call(&["run", "."]).exits(1));
    assert_eq!(flow.marks().values().sum::<u64>(), 3);
    // Only what failed: no mark is left again.
    let rerun = flow.document(&["runs", "rerun", "latest", "--failed"]);
    assert_eq!(rerun["resumable"], false);
    assert_eq!(flow.marks().values().sum::<u64>(), 3);
    let shown = flow.document(&["runs", "show", "latest", "--runs"]);
    let kept = run(&shown, "marks[0]");
    assert!(kept["value_of"].is_string(), "{kept}");
    assert_eq!(run(&shown, "halves[1]")["attempts"], 3, "it was tried again");
    assert!(shown["flow"]["based_on"].is_string());
    // By default only pure runs are used again: marks are none.
    drop(flow.call(&["runs", "rerun", "latest"]).exits(1));
    assert_eq!(flow.marks().values().sum::<u64>(), 6);
    let shown = flow.document(&["runs", "show", "latest", "--runs"]);
    assert!(run(&shown, "halves[0]")["value_of"].is_string());
    // Nothing at all.
    let fresh = flow.document(&["runs", "rerun", "latest", "--fresh"]);
    assert_eq!(fresh["reused"], 0);
    assert_eq!(flow.marks().values().sum::<u64>(), 9);
}

#[test]
fn a_rerun_takes_other_parameters() {
    let tasks = "[parameters.number]\ntype = \"integer\"\n[tasks.one]\ncall = \"probe.half\"\n\
                 arguments.number = { from = \"parameters.number\" }\n";
    let flow = Flow::new("half", "result = \"one.result\"", tasks);
    drop(flow.call(&["run", ".", "-p", "number=3"]).exits(1));
    // The folder is not needed any more: the history has all of it.
    fs::remove_file(flow.path().join("flow.toml")).unwrap();
    fs::remove_file(flow.path().join("probe.wasm")).unwrap();
    let rerun = flow.document(&["runs", "rerun", "latest", "-p", "number=8"]);
    assert_eq!(rerun["result"], 4);
    drop(flow.call(&["runs", "rerun", "latest", "-p", "number=eight"]).exits(2));
}

#[test]
fn a_cached_run_names_the_run_that_made_its_value() {
    let tasks = "[tasks.half]\ncall = \"probe.half\"\narguments.number = 8\n";
    let flow = Flow::new("half", "result = \"half.result\"", tasks);
    let run = ["run", ".", "--cache", "--output", "json"];
    let first = json(&flow.call(&run).exits(0));
    assert_eq!(first["stages"][0]["cached"], 0);
    let made = flow.document(&["runs", "show", "latest/half"])["run"]["run_id"].clone();
    let second = json(&flow.call(&run).exits(0));
    assert_eq!((&second["stages"][0]["cached"], &second["result"]), (&1.into(), &4.into()));
    let shown = flow.document(&["runs", "show", "latest/half"]);
    assert_eq!(
        (&shown["run"]["state"]["name"], &shown["run"]["value_of"]),
        (&"Cached".into(), &made)
    );
    let explained = flow.call(&["runs", "explain", "latest/half"]).exits(0).stdout;
    assert!(explained.contains(made.as_str().unwrap()), "{explained}");

    let explain = ["cache", "explain", "probe.wasm", "half"];
    let hit = flow.document(&[&explain[..], &["-a", "number=8"]].concat());
    assert_eq!((&hit["hit"], &hit["entry"]["run_id"]), (&true.into(), &made));
    let missed = flow.document(&[&explain[..], &["-a", "number=10"]].concat());
    assert_eq!(
        (&missed["hit"], &missed["differences"][0]["part"]),
        (&false.into(), &"arguments".into())
    );
    assert!(missed["reasons"].to_string().contains("`number` has another value"), "{missed}");
    // A single call finds it too, and one that must not look does not.
    let call = ["call", "probe.wasm", "half", "-a", "number=8"];
    let called = flow.document(&[&call[..], &["--cache"]].concat());
    assert_eq!(called["cached_from"], made);
    assert_eq!(flow.document(&call).get("cached_from"), None);
    let uncached = json(&flow.call(&["run", ".", "--no-cache", "--output", "json"]).exits(0));
    assert_eq!(uncached["stages"][0]["cached"], 0);

    assert_eq!(flow.document(&["cache", "list"])["total"], 1);
    assert_eq!(flow.document(&["cache", "clear", "--task", "other"])["entries"], 0);
    assert_eq!(flow.document(&["cache", "clear"])["entries"], 1);
    assert_eq!(flow.document(&["cache", "list"])["total"], 0);
}

#[test]
fn what_is_deleted_is_gone() {
    let flow = odd();
    drop(flow.call(&["run", "."]).exits(1));
    drop(flow.call(&["run", "."]).exits(1));
    let dry = flow.document(&["runs", "prune", "--older-than", "0", "--dry-run"]);
    assert_eq!((dry["flows"].as_array().unwrap().len(), &dry["dry_run"]), (2, &true.into()));
    assert_eq!(flow.document(&["runs", "list"])["flows"].as_array().unwrap().len(), 2);
    let kept = flow.document(&["runs", "prune", "--older-than", "1h"]);
    assert_eq!(kept["flows"].as_array().unwrap().len(), 0);
    let deleted = flow.document(&["runs", "delete", "latest"]);
    assert_eq!((deleted["flows"].as_array().unwrap().len(), &deleted["runs"]), (1, &9.into()));
    let pruned = flow.document(&["runs", "prune", "--older-than", "0"]);
    assert_eq!(pruned["flows"].as_array().unwrap().len(), 1);
    assert!(pruned["blobs"].as_u64().unwrap() > 0, "the component goes too: {pruned}");
    assert_eq!(flow.document(&["runs", "list"])["flows"].as_array().unwrap().len(), 0);
    drop(flow.call(&["runs", "show", "latest"]).exits(2));
}

#[test]
fn without_history_nothing_is_kept() {
    let flow = Flow::stamps(3);
    let called = flow.call(&["run", ".", "--no-history", "--output", "json"]).exits(0);
    assert_eq!(json(&called)["result"], 6);
    drop(flow.call(&["runs", "list"]).exits(2));
    let both = ["run", ".", "--no-history", "--idempotency-key", "x"];
    drop(flow.call(&both).exits(2));
}

#[test]
fn the_command_line_stands_over_the_flow_also_when_it_is_resumed() {
    let flow = odd();
    let called = flow.call(&["run", ".", "--retries", "0", "--output", "json"]).exits(1);
    assert_eq!(json(&called)["stages"][0]["retries"], 0);
    let shown = flow.document(&["runs", "show", "latest/halves[1]"]);
    assert_eq!(shown["run"]["attempts"], 1);
    let rerun = flow.document(&["runs", "rerun", "latest", "--failed"]);
    assert_eq!(rerun["stages"][0]["retries"], 0, "what it was started with still holds");
    let probe = artifacts::guest("probe");
    let half = ["call", probe.to_str().unwrap(), "half", "-a", "number=3", "--retries", "2"];
    let called = sandmill(&half).exits(1);
    assert!(called.stderr.contains("3 is odd"), "{}", called.stderr);
}
