//! The census, task by task, over its sample.

use sandmill::future::OnError;
use sandmill::{CallOptions, args};
use sandmill_test_conformance::{Bench, LONG};

use crate::examples::granted;
use crate::table::{Case, checks, same_story};

pub(crate) fn cases() -> Vec<Case> {
    checks![the_sample_is_counted, without_the_grant_there_is_nothing_to_count]
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
    let counts = sandmill::Value::array_from(&counts).unwrap();
    let merge = bench.host.task(&component, "merge").unwrap();
    let arguments = sandmill::Value::map_from([("counts", &counts)]).unwrap();
    let table = bench.ran(merge.call(arguments));
    same_story("census table", &table);
    let table: serde_json::Value = table.value();
    assert_eq!(table["total"]["crates"], 3);
    assert_eq!(table["total"]["files"], 4);
    assert_eq!(table["crates"][0]["name"], "sieve-1.2.0");
}

fn without_the_grant_there_is_nothing_to_count(bench: &Bench) {
    let ran =
        bench.run_with("census", "list_files", r#"{"directory":"/src"}"#, |_: &mut CallOptions| {});
    assert_ne!(ran.future.state().name, "Completed");
    assert!(ran.failure().1.contains("/src"), "{}", ran.failure().1);
}
