//! What users see of a flow's hooks: in the summary of `run`, in its document, and afterwards.

mod support;

use sandmill_test_artifacts::guest;
use serde_json::Value as Json;
use support::{Place, document};

const TASKS: &str = "[tasks.one]\ncall = \"probe.half\"\narguments.number = 4\n";

/// A folder with a flow that has these hooks.
fn hooked(hooks: &str) -> Place {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    write(&place, hooks);
    place
}

fn write(place: &Place, hooks: &str) {
    let flow = format!(
        "[flow]\nname = \"around\"\nresult = \"one.result\"\n{hooks}\n\
         [components.probe]\npath = \"probe.wasm\"\n{TASKS}"
    );
    place.write("flow.toml", &flow);
}

/// The name of every hook, and that of its state.
fn hooks(shown: &Json) -> Vec<(&str, &str)> {
    let hooks = shown["hooks"].as_array().expect("it is a list");
    let text = |json| Json::as_str(json).expect("it is text");
    hooks.iter().map(|hook| (text(&hook["name"]), text(&hook["state"]["name"]))).collect()
}

#[test]
fn a_hook_that_fails_is_told_of_by_run_and_ever_after() {
    let start = "on_start = { call = \"probe.half\", arguments.number = 2 }";
    for (exit, words) in [
        ("on_exit = { command = [\"false\"] }", "status: 1"),
        ("on_exit = { call = \"probe.half\", arguments.number = 3 }", "3 is odd"),
    ] {
        let place = hooked(&format!("{start}\n{exit}"));
        let said = place.run(&["run", ".", "-o", "json"]);
        // What becomes of it changes nothing.
        assert_eq!(said.code, 0, "{}", said.stderr);
        let shown = document("run", &said.stdout);
        assert_eq!(hooks(&shown), [("on_start", "Completed"), ("on_exit", "Failed")], "{shown}");
        assert!(shown["hooks"][1]["state"]["message"].to_string().contains(words), "{shown}");
        assert_eq!(shown["stages"].as_array().map(Vec::len), Some(1), "hooks are no stages");
        assert_eq!(shown["failures"].as_array().map(Vec::len), Some(0), "{shown}");

        for (args, code) in [
            (&["run", "."][..], 0),
            (&["runs", "watch", "latest"], 0),
            (&["runs", "rerun", "latest"], 0),
        ] {
            let said = place.run(args);
            assert_eq!(said.code, code, "{args:?}: {}", said.stderr);
            let line = said.stderr.lines().find(|line| line.contains("hook on_exit"));
            let line = line.unwrap_or_else(|| panic!("{args:?}: {}", said.stderr));
            assert!(line.contains("failed") && line.contains(words), "{line}");
            assert!(said.stderr.contains("hook on_start  completed"), "{}", said.stderr);
            assert!(said.stderr.contains("around: 1 run"), "{}", said.stderr);
        }
        let quiet = place.run(&["run", ".", "-o", "quiet"]);
        assert_eq!((quiet.code, quiet.stdout.trim()), (0, "2"));
        let warned = quiet.stderr.starts_with("warning: hook on_exit failed");
        assert!(warned && quiet.stderr.contains(words), "{}", quiet.stderr);
        let watched = place.run(&["runs", "watch", "latest", "-o", "json"]);
        let watched = document("run", &watched.stdout);
        assert_eq!(hooks(&watched), hooks(&shown));
        let listed = document("runs-list", &place.run(&["runs", "list", "-o", "json"]).stdout);
        assert_eq!(listed["flows"][0]["runs"]["failed"], 0, "{listed}");
    }
}

#[test]
fn a_hook_that_fails_at_the_start_is_told_of_with_the_flow() {
    let place = hooked("on_start.command = [\"false\"]\non_exit.command = [\"true\"]");
    let said = place.run(&["run", ".", "-o", "json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let shown = document("run", &said.stdout);
    assert_eq!(hooks(&shown), [("on_start", "Failed"), ("on_exit", "Completed")]);
    let said = place.run(&["run", ".", "--no-history"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("hook on_start  failed"), "{}", said.stderr);
    // Of a flow without any, nothing is said.
    write(&place, "");
    let said = place.run(&["run", "."]);
    assert!(said.code == 0 && !said.stderr.contains("hook "), "{}", said.stderr);
}

#[test]
fn show_has_the_hooks_around_the_tasks_and_the_notes_below() {
    let place = hooked("on_start.command = [\"true\"]\non_exit.command = [\"false\"]");
    assert_eq!(place.run(&["run", "."]).code, 0);
    let shown = place.run(&["runs", "show", "latest", "-o", "json"]);
    let shown = document("runs-show", &shown.stdout);
    let stages = shown["stages"].as_array().expect("it is a list");
    let order: Vec<(&str, bool)> = stages
        .iter()
        .map(|stage| (stage["name"].as_str().expect("it is text"), stage["hook"] == true))
        .collect();
    assert_eq!(order, [("on_start", true), ("one", false), ("on_exit", true)]);
    let notes = shown["notes"].as_array().expect("it is a list");
    assert_eq!((notes.len(), &shown["more_notes"]), (1, &false.into()), "{shown}");
    assert_eq!(notes[0]["kind"], "hook");
    assert!(notes[0]["message"].to_string().contains("`on_exit` did not complete"), "{shown}");
    assert_eq!(shown["flow"]["runs"]["done"], 1, "hooks are none of the flow's runs");

    let text = place.run(&["runs", "show", "latest"]).stdout;
    let place_of = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words} in {text}"));
    let places = ["hook on_start", "one  ", "hook on_exit", "hook: `on_exit` did not complete"];
    assert!(places.map(place_of).is_sorted(), "{text}");
    // A flow without hooks has nothing of it.
    write(&place, "");
    assert_eq!(place.run(&["run", "."]).code, 0);
    let text = place.run(&["runs", "show", "latest"]).stdout;
    assert!(!text.contains("hook "), "{text}");
}
