//! What is kept for later commands: results that `call --cache` and `map --cache` made, and flow runs
//! when the record of one is damaged.

mod support;

use sandmill_test_artifacts::guest;
use serde_json::Value as Json;
use support::{Place, document};

fn probe(flow: &str) -> Place {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write("flow.toml", flow);
    place
}

fn flow(name: &str) -> String {
    format!(
        "[flow]\nname = \"{name}\"\n[components.probe]\npath = \"probe.wasm\"\n\
         [tasks.half]\ncall = \"probe.half\"\narguments.number = 2\n"
    )
}

#[test]
fn what_call_and_map_cache_is_there_when_the_command_has_ended() {
    let place = probe("");
    let call = ["call", "probe.wasm", "half", "-a", "number=2", "--cache", "-o", "json"];
    let first = document("call", &place.run(&call).stdout);
    assert_eq!(first["cached_from"], Json::Null, "{first}");
    let second = document("call", &place.run(&call).stdout);
    assert_eq!(second["cached_from"], first["run_id"], "{second}");
    assert_eq!((&second["value"], &second["state"]["name"]), (&1.into(), &"Cached".into()));

    place.write("even.json", &Json::from_iter((0..3_000).map(|n| 2 * n)).to_string());
    let map = ["map", "probe.wasm", "half", "--from-json", "even.json", "--as", "number"];
    let said = place.run(&[&map[..], &["--cache"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let listed = place.run(&["cache", "list", "-o", "json"]);
    let listed = document("cache-list", &listed.stdout);
    assert_eq!(listed["total"], 3_000, "the result of the call is one of them");
}

/// Has the history say something else than was written, in as many bytes.
fn rot(place: &Place, from: &str, to: &str) {
    let path = place.path().join("data/sandmill/history.db");
    let mut bytes = std::fs::read(&path).expect("the history is there");
    let places: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!places.is_empty() && from.len() == to.len());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    std::fs::write(&path, bytes).expect("it can be written");
}

#[test]
fn a_damaged_flow_run_is_named_and_keeps_no_other_from_being_listed_and_pruned() {
    let place = probe(&flow("rotting"));
    let run = |place: &Place| {
        let said = place.run(&["run", ".", "-o", "json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        document("run", &said.stdout)["run_id"].as_str().expect("it is text").to_owned()
    };
    let rotten = run(&place);
    place.write("flow.toml", &flow("sound"));
    let sound = run(&place);
    rot(&place, "rotting", "rottten");
    let list = || {
        let said = place.run(&["runs", "list", "-o", "json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        (document("runs-list", &said.stdout), said.stderr)
    };
    let (listed, words) = list();
    let ids: Vec<&Json> = listed["flows"].as_array().expect("a list").iter().collect();
    assert!(ids.len() == 1 && ids[0]["run_id"] == *sound, "{listed}");
    let names_it = |damaged: &Json| {
        let damaged = damaged.as_array().expect("a list");
        damaged.len() == 1 && damaged[0].to_string().contains(&rotten)
    };
    assert!(names_it(&listed["damaged"]), "{listed}");
    let doctor = document("doctor", &place.run(&["doctor", "-o", "json"]).stdout);
    let checks = doctor["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == "data directory").expect("it is there");
    assert!(check["status"] == "warn" && check.to_string().contains(&rotten), "{check}");
    assert!(words.contains("warning: ") && words.contains("damaged"), "{words}");

    for (flags, left) in [(&["--dry-run"][..], 1), (&[], 0), (&[], 0)] {
        let args = [&["runs", "prune", "--older-than", "0s", "-o", "json"], flags].concat();
        let said = place.run(&args);
        assert_eq!(said.code, 3, "not everything was done: {}", said.stderr);
        let pruned = document("runs-delete", &said.stdout);
        assert!(names_it(&pruned["damaged"]), "{pruned}");
        assert!(said.stderr.contains("sandmill runs delete"), "{}", said.stderr);
        assert_eq!(list().0["flows"].as_array().map(Vec::len), Some(left), "{pruned}");
    }
    let said = place.run(&["runs", "delete", "nothing1", &rotten, "nothing2"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains("nothing1") && said.stderr.contains("nothing2"),
        "{}",
        said.stderr
    );
    assert_eq!(place.run(&["runs", "delete", &rotten]).code, 0);
    assert!(list().0["damaged"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(place.run(&["runs", "prune", "--older-than", "0s"]).code, 0);
}

#[test]
fn a_flow_that_completes_although_runs_of_it_failed_says_so() {
    let place = probe(
        r#"
        [flow]
        name = "tolerant"
        result = { from = "halves.result", errors = "skip" }
        [components.probe]
        path = "probe.wasm"
        [tasks.halves]
        call = "probe.half"
        arguments.number = { map = [1, 2, 3, 4] }
        "#,
    );
    let said = place.run(&["run", ".", "-o", "json"]);
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    assert!(
        said.stderr.contains("the flow completed, and 2 of its runs failed: exit code 1"),
        "{}",
        said.stderr
    );
    let shown = document("run", &said.stdout);
    assert_eq!(
        (&shown["stages"][0]["failed"], &shown["state"]["name"]),
        (&2.into(), &"Completed".into())
    );
    assert_eq!(place.run(&["runs", "watch", "latest"]).code, 1);
}
