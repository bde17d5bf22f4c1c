//! `new` and `run --build`: what a newcomer types first.

use std::fs;
use std::path::Path;
use std::process::Command;

use sandmill_test_artifacts as artifacts;
use sandmill_test_e2e::{Called, command, finish, sandmill};

/// Runs a command of the binary that builds, into a folder that is kept from run to run.
fn building(folder: &Path, arguments: &[&str]) -> Called {
    let target = artifacts::scratch().join("projects");
    finish(command(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target))
}

#[test]
fn a_new_flow_is_built_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let flow = folder.path().join("greetings");
    let path = flow.to_str().unwrap();
    drop(sandmill(&["new", "flow", "greetings", "--path", path]).exits(0));
    let called = building(folder.path(), &["run", "--build", "greetings"]).exits(0);
    assert!(!called.stdout.trim().is_empty(), "there is a result: {called:?}");
    let again = building(folder.path(), &["run", "greetings"]).exits(0);
    assert_eq!(again.stdout, called.stdout);
    let second = sandmill(&["new", "flow", "greetings", "--path", path]).exits(2);
    assert!(second.stderr.contains("greetings"), "{}", second.stderr);
}

#[test]
fn a_new_task_is_tested_built_and_called() {
    let folder = tempfile::tempdir().unwrap();
    let task = folder.path().join("greet");
    drop(sandmill(&["new", "task", "greet", "--path", task.to_str().unwrap()]).exits(0));
    let source = fs::read_to_string(task.join("src/lib.rs")).unwrap();
    assert!(source.contains("#[task]") && source.contains("#[test]"), "{source}");
    let target = artifacts::scratch().join("projects");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(&task).env("CARGO_TARGET_DIR", &target);
        finish(&mut cargo).exits(0)
    };
    let tested = cargo(&["test", "--release"]);
    assert!(tested.stdout.contains("test result: ok"), "{}", tested.stdout);
    drop(cargo(&["build", "--release", "--target", "wasm32-wasip2"]));
    let component = target.join("wasm32-wasip2/release/greet.wasm");
    let called = sandmill(&["inspect", component.to_str().unwrap()]).exits(0);
    assert!(called.stdout.contains("greet"), "{}", called.stdout);
}

#[test]
fn an_example_is_built_in_its_place() {
    let called =
        sandmill(&["run", "--build", "examples/census", "-p", "root=examples/census/sample"]);
    let called = called.exits(0);
    assert!(called.stdout.contains("sieve-1.2.0"), "{}", called.stdout);
    assert!(artifacts::example("census").join("census.wasm").is_file());
}
