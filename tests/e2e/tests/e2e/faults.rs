//! Flow files with faults: all are told at once, each with its place, and nothing runs.

use std::fs;
use std::path::Path;

use sandmill_test_artifacts as artifacts;
use sandmill_test_e2e::sandmill_in;
use tempfile::TempDir;

const FIVE_FAULTS: &str = r#"[flow]
name = "broken"
result = "nowhere.result"

[components.probe]
path = "probe.wasm"

[parameters.count]
type = "integr"

[tasks.mark]
call = "probe.write"
arguments = { path = "/out/mark", bytes = "it ran" }
grants.dirs = [{ host = ".", guest = "/out", access = "read-write" }]

[tasks.first]
call = "probe.subtract"

[tasks.second]
call = "probe.add"
arguments.left = { from = "third.result" }

[tasks.third]
call = "probe.add"
arguments.left = { from = "second.result" }

[tasks.fourth]
call = "probe.add"
arguments = { left = 1, rihgt = 2 }
"#;

fn folder_with(flow: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(artifacts::guest("probe"), folder.path().join("probe.wasm")).unwrap();
    fs::write(folder.path().join("flow.toml"), flow).unwrap();
    folder
}

fn nothing_ran(folder: &Path) {
    assert!(!folder.join("mark").exists(), "a task of a broken flow ran");
}

#[test]
fn five_faults_are_five_places_and_nothing_runs() {
    let folder = folder_with(FIVE_FAULTS);
    let called = sandmill_in(folder.path(), &["run", "flow.toml"]).exits(2);
    for (place, words) in [
        ("flow.toml:3:10:", "nowhere"),
        ("flow.toml:9:8:", "integr"),
        ("flow.toml:17:8:", "subtract"),
        ("flow.toml:19:8:", "second"),
        ("flow.toml:29:25:", "rihgt"),
    ] {
        let line = called.stderr.lines().find(|line| line.contains(place));
        let line = line.unwrap_or_else(|| panic!("{place} is not in\n{}", called.stderr));
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(called.stderr.matches("flow.toml:").count(), 5, "{}", called.stderr);
    assert_eq!(called.stdout, "");
    nothing_ran(folder.path());
}

#[test]
fn the_same_flow_runs_once_it_is_mended() {
    let mended = FIVE_FAULTS
        .replace("nowhere.result", "fourth.result")
        .replace("integr\"", "integer\"\ndefault = 1")
        .replace("probe.subtract", "probe.nothing")
        .replace("{ from = \"third.result\" }", "{ from = \"parameters.count\" }")
        .replace("rihgt", "right");
    let folder = folder_with(&mended);
    let called = sandmill_in(folder.path(), &["run", "."]).exits(0);
    assert_eq!(called.stdout.trim(), "3");
    assert_eq!(fs::read(folder.path().join("mark")).unwrap(), b"it ran");
}

#[test]
fn what_is_not_toml_is_a_fault_with_a_place() {
    let folder = folder_with("[flow]\nname = \"x\"\n\n[tasks.a\ncall = 7\n");
    let called = sandmill_in(folder.path(), &["run", "."]).exits(2);
    assert!(called.stderr.contains("flow.toml:4:"), "{}", called.stderr);
}

#[test]
fn parameters_that_do_not_fit_are_faults() {
    let flow = "[flow]\nname = \"f\"\nresult = \"a.result\"\n\
        [components.probe]\npath = \"probe.wasm\"\n\
        [parameters.count]\ntype = \"integer\"\n\
        [tasks.a]\ncall = \"probe.add\"\narguments.left = { from = \"parameters.count\" }\n";
    let folder = folder_with(flow);
    for (arguments, words) in [
        (vec!["run", "."], "count"),
        (vec!["run", ".", "-p", "count=many"], "count"),
        (vec!["run", ".", "-p", "count=1", "-p", "cuont=2"], "cuont"),
    ] {
        let called = sandmill_in(folder.path(), &arguments).exits(2);
        assert!(called.stderr.contains(words), "{}", called.stderr);
    }
    let called = sandmill_in(folder.path(), &["run", ".", "-p", "count=41"]).exits(0);
    assert_eq!(called.stdout.trim(), "42");
}
