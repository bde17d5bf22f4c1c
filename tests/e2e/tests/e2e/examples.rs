//! Every example's flow on both executors, against what its `expect.toml` says.

use std::collections::BTreeMap;
use std::fs;

use sandmill_test_artifacts::{self as artifacts, foreach_example};
use sandmill_test_e2e::{copy_of_example, sandmill, sandmill_in};
use serde::Deserialize;
use serde_json::Value;
use walkdir::WalkDir;

/// What a run of an example comes to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// The parameters to give, as on the command line.
    parameters: BTreeMap<String, String>,
    /// How many runs each stage has.
    runs: BTreeMap<String, u64>,
    /// The flow's result, in JSON.
    result: String,
}

macro_rules! test_example {
    ($name:ident) => {
        #[test]
        fn $name() {
            for executor in ["inline", "pool"] {
                comes_to_what_it_says(stringify!($name), executor);
            }
        }
    };
}

// An example that is added is tested, or does not compile.
foreach_example!(test_example);

fn comes_to_what_it_says(name: &str, executor: &str) {
    let folder = copy_of_example(name);
    let expect = fs::read_to_string(folder.path().join("expect.toml")).unwrap();
    let expect: Expect = toml::from_str(&expect).unwrap();
    let mut arguments = vec!["run", ".", "--executor", executor, "--output", "json"];
    let parameters: Vec<String> =
        expect.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    arguments.extend(parameters.iter().flat_map(|parameter| ["-p", parameter.as_str()]));
    let called = sandmill_in(folder.path(), &arguments).exits(0);
    let run: Value = serde_json::from_str(&called.stdout).unwrap();
    let result: Value = serde_json::from_str(&expect.result).unwrap();
    assert_eq!(run["result"], result);
    assert_eq!(run["executor"], executor);
    assert_eq!(run["state"]["type"], "completed");
    let runs: BTreeMap<String, u64> = run["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| {
            let name = stage["name"].as_str().unwrap().to_owned();
            (name, stage["completed"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(runs, expect.runs);
    assert_eq!(run["failures"], Value::Array(Vec::new()));
}

#[test]
fn an_examples_manifest_can_be_copied_out_of_the_workspace() {
    for name in artifacts::EXAMPLES {
        let manifest = fs::read_to_string(artifacts::example(name).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("workspace"), "{name} leans on the workspace");
        for file in ["README.md", "flow.toml", "expect.toml", ".gitignore"] {
            assert!(artifacts::example(name).join(file).is_file(), "{name} has no {file}");
        }
    }
}

#[test]
fn the_census_counts_the_files_that_are_there() {
    let folder = copy_of_example("census");
    let flow = folder.path().to_str().unwrap();
    // The source of the host: hundreds of files, each in an instance of its own.
    let root = artifacts::workspace().join("host");
    let parameter = format!("root={}", root.display());
    let called = sandmill(&["run", flow, "-p", &parameter, "--output", "json"]).exits(0);
    let run: Value = serde_json::from_str(&called.stdout).unwrap();
    let (mut files, mut lines) = (0_u64, 0_u64);
    for entry in WalkDir::new(&root) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "rs") {
            files += 1;
            lines += fs::read_to_string(entry.path()).unwrap().lines().count() as u64;
        }
    }
    assert!(files > 50, "{files} files");
    assert_eq!(run["result"]["total"]["files"], files);
    assert_eq!(run["result"]["total"]["lines"], lines);
}

#[test]
fn a_corrupt_image_fails_its_own_run_and_no_other() {
    for executor in ["inline", "pool"] {
        let folder = copy_of_example("thumbnails");
        let samples = folder.path().join("samples");
        fs::copy(folder.path().join("hostile/truncated.jpg"), samples.join("hurt.jpg")).unwrap();
        let arguments = ["run", ".", "--executor", executor, "--output", "json"];
        let called = sandmill_in(folder.path(), &arguments).exits(1);
        let run: Value = serde_json::from_str(&called.stdout).unwrap();
        let stage = |name: &str| {
            let stages = run["stages"].as_array().unwrap();
            let stage = stages.iter().find(|stage| stage["name"] == name).unwrap();
            (stage["completed"].as_u64().unwrap(), stage["failed"].as_u64().unwrap())
        };
        assert_eq!(stage("read"), (5, 0));
        assert_eq!(stage("thumbnail"), (4, 1));
        assert_eq!(stage("saved").0, 4);
        assert_eq!(run["failures"][0]["name"], "thumbnail[2]");
        let mut written: Vec<String> = fs::read_dir(folder.path().join("output"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        written.sort();
        let good = ["dunes.jpg.png", "grid.png.png", "moon.png.png", "tall.jpg.png"];
        assert_eq!(written, good);
    }
}
