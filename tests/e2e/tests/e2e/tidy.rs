//! Habits held by a test: crates stand on floors, files open with what lives in them and are not
//! long, and the copies of the contract are equal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandmill_test_artifacts as artifacts;
use serde_json::Value;
use walkdir::WalkDir;

/// The most lines of one source file.
const MAX_LINES: usize = 600;

/// The floor that each crate of the host stands on. It names only crates of lower floors.
const FLOORS: &[(&str, u32)] = &[
    ("sandmill-wire", 0),
    ("sandmill-core", 1),
    ("sandmill-sandbox", 2),
    ("sandmill-store", 2),
    ("sandmill-scheduler", 2),
    ("sandmill-transport", 2),
    ("sandmill-executors", 3),
    ("sandmill-flow", 3),
    ("sandmill", 5),
    ("sandmill-cli", 6),
];

/// Crates that guests are built with: they name nothing of the host.
const GUEST_SIDE: &[&str] = &["sandmill-guest", "sandmill-guest-macros"];

fn sources() -> Vec<PathBuf> {
    let sources: Vec<PathBuf> = WalkDir::new(artifacts::workspace())
        .into_iter()
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            name != "target" && (entry.depth() == 0 || !name.starts_with('.'))
        })
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        // What `trybuild` compares to the letter is written as a user would.
        .filter(|path| !path.parent().is_some_and(|folder| folder.ends_with("tests/fail")))
        .collect();
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    sources
}

fn shown(path: &Path) -> String {
    path.strip_prefix(artifacts::workspace()).unwrap_or(path).display().to_string()
}

#[test]
fn every_file_opens_with_what_lives_in_it() {
    let without: Vec<String> = sources()
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .map(|path| shown(path))
        .collect();
    assert!(without.is_empty(), "no `//!` at the head of {without:#?}");
}

#[test]
fn no_file_is_long() {
    let long: Vec<String> = sources()
        .iter()
        .map(|path| (path, fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", shown(path)))
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn copies_of_the_contract_are_equal() {
    let read = |folder: &str| -> BTreeMap<String, String> {
        WalkDir::new(artifacts::workspace().join(folder))
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.extension().is_some_and(|end| end == "wit"))
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect()
    };
    let contract = read("wit/task-0.1");
    assert!(contract.len() > 3);
    for copy in ["guest-sdk/wit", "host/sandbox/wit"] {
        let copied = read(copy);
        for (name, text) in &contract {
            let same = copied.get(name) == Some(text);
            assert!(same, "`{copy}/{name}` differs from `wit/task-0.1/{name}`: copy it anew");
        }
    }
}

/// The packages of this workspace.
fn packages() -> Vec<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(artifacts::workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The names of a package's dependencies; those of its tests only when `tests` says so.
fn dependencies(package: &Value, tests: bool) -> Vec<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| tests || dependency["kind"] != "dev")
        .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn crates_stand_on_floors() {
    let packages = packages();
    let floor =
        |name: &str| FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor);
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let manifest = package["manifest_path"].as_str().unwrap();
        let own: Vec<String> = dependencies(package, false)
            .into_iter()
            .filter(|other| other.starts_with("sandmill"))
            .collect();
        if GUEST_SIDE.contains(&name) {
            assert!(
                own.iter().all(|other| GUEST_SIDE.contains(&other.as_str())),
                "{name}: {own:?}"
            );
        } else if shown(Path::new(manifest)).starts_with("host/") {
            let here = floor(name).unwrap_or_else(|| panic!("`{name}` has no floor in this test"));
            for other in own {
                let below = floor(&other);
                assert!(
                    below.is_some_and(|below| below < here),
                    "`{name}` on floor {here} names `{other}` on floor {below:?}"
                );
            }
        }
    }
    for (name, _) in FLOORS {
        assert!(packages.iter().any(|package| package["name"] == *name), "there is no `{name}`");
    }
}

/// The crates that name the engine: the sandbox, and the bench, whose bare loop is what the sandbox
/// is held against and so has to be made without it.
const ON_THE_ENGINE: &[&str] = &["sandmill-sandbox", "sandmill-bench"];

#[test]
fn only_the_sandbox_names_the_engine() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let engines: Vec<String> = dependencies(&package, true)
            .into_iter()
            .filter(|other| other.starts_with("wasmtime") || other.starts_with("cranelift"))
            .collect();
        assert!(ON_THE_ENGINE.contains(&name) || engines.is_empty(), "{name} names {engines:?}");
    }
}
