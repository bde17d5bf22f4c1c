//! The census, task by task, over its sample.

use std::fs;

use sandmill::flow_file::Given;
use sandmill::future::OnError;
use sandmill::{CallOptions, FlowError, Value, args};
use sandmill_test_artifacts as artifacts;
use sandmill_test_conformance::{Bench, LONG};

use crate::examples::granted;
use crate::table::{Case, checks, same_story};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        the_sample_is_counted,
        a_host_runs_the_flow,
        without_the_grant_there_is_nothing_to_count,
    ]
}

fn the_sample_is_counted(bench: &Bench) {
    let grants = granted("census", "sample", "/src");
    let component = bench.guest("census");
    let task = |name: &str| bench.host.task(&component, name).unwrap().grants(&grants);
    let files = bench.ran(task("list_files").call(args! { "directory" => "/src" }.unwrap()));
    same_story("census files", &files);
    let files: Vec<String> = files.value();
    assert_eq!(files.len(), 4);
    let count = task("count").with("directory", "/src").unwrap();
    let counts = count.map_over("file", files).results(Some(LONG), OnError::Cancel).unwrap();
    let counts = Value::array_from(&counts).unwrap();
    let merge = bench.host.task(&component, "merge").unwrap();
    let arguments = Value::map_from([("counts", &counts)]).unwrap();
    let table = bench.ran(merge.call(arguments));
    same_story("census table", &table);
    let table: serde_json::Value = table.value();
    assert_eq!(table["total"]["crates"], 3);
    assert_eq!(table["total"]["files"], 4);
    assert_eq!(table["crates"][0]["name"], "sieve-1.2.0");
}

fn a_host_runs_the_flow(bench: &Bench) {
    // The flow beside a component of its own, as `run --build` leaves it.
    let directory = tempfile::tempdir().unwrap();
    let flow = directory.path().join("flow.toml");
    fs::copy(artifacts::example("census").join("flow.toml"), &flow).unwrap();
    fs::copy(artifacts::guest("census"), directory.path().join("census.wasm")).unwrap();
    let sample = artifacts::example("census").join("sample");
    let root = Value::encode(sample.to_str().unwrap()).unwrap();
    let given = Given::new().parameters([("root".to_owned(), root)].into());
    let plan = bench.host.plan(&flow, &given).unwrap();
    let run = bench.host.run_flow(plan);
    let table = run.result(Some(LONG)).unwrap();
    assert_eq!(table.path("total.files").unwrap(), Value::encode(&4).unwrap());
    let stages: Vec<_> =
        run.report().stages.iter().map(|stage| (stage.name.to_string(), stage.completed)).collect();
    let expected = [("files", 1), ("count", 4), ("table", 1)];
    assert_eq!(stages, expected.map(|(name, runs)| (name.to_owned(), runs)));

    // A file with a fault plans nothing, and says where it is.
    fs::write(&flow, fs::read_to_string(&flow).unwrap().replace("census.merge", "census.murge"))
        .unwrap();
    let error = bench.host.plan(&flow, &given).unwrap_err().to_string();
    assert!(error.contains("murge"), "{error}");
    let error = bench.host.plan(directory.path().join("nosuch.toml"), &given).unwrap_err();
    assert!(matches!(error, FlowError::Read { .. }), "{error}");
}

fn without_the_grant_there_is_nothing_to_count(bench: &Bench) {
    let ran =
        bench.run_with("census", "list_files", r#"{"directory":"/src"}"#, |_: &mut CallOptions| {});
    assert_ne!(ran.future.state().name, "Completed");
    assert!(ran.failure().1.contains("/src"), "{}", ran.failure().1);
}
