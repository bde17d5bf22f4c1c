//! What `runs list`, `explain` and `cancel` say of flow runs: sub-flows, short ids, patterns of
//! names, causes.

mod support;

use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sandmill_test_artifacts::guest;
use serde_json::Value as Json;
use support::{Place, document};

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(60);

/// A place in which a flow ran that calls two others.
fn nested() -> (Place, String) {
    let place = Place::new();
    let flows = guest("flows").to_str().expect("its path is UTF-8").to_owned();
    let args = ["run", &format!("{flows}#nested"), "-p", "count=3", "-o", "json"];
    let said = place.run(&args);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let id = document("run", &said.stdout)["run_id"].as_str().expect("it is text").to_owned();
    (place, id)
}

fn probe(flow: &str) -> Place {
    let place = Place::new();
    std::fs::copy(guest("probe"), place.path().join("probe.wasm")).expect("it can be copied");
    place.write("flow.toml", flow);
    place
}

fn listed(place: &Place, filter: &[&str]) -> Vec<Json> {
    let args = [&["runs", "list", "-o", "json"], filter].concat();
    let listed = document("runs-list", &place.run(&args).stdout);
    listed["flows"].as_array().expect("it is a list").clone()
}

#[test]
fn sub_flows_are_listed_where_they_are_asked_for() {
    let (place, id) = nested();
    let own = listed(&place, &[]);
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!((&own[0]["run_id"], &own[0]["flow"]), (&Json::from(&*id), &"nested".into()));
    assert_eq!(own[0].get("parent"), None);
    let parts = listed(&place, &["--parent", &id]);
    let part = |flow: &Json| flow["parent"] == *id && flow["flow"] == "sum_of_squares";
    assert!(parts.len() == 2 && parts.iter().all(part), "{parts:?}");
    let all = listed(&place, &["--all"]);
    let ids: HashSet<&str> = all.iter().filter_map(|flow| flow["run_id"].as_str()).collect();
    assert_eq!(ids.len(), 3, "{all:?}");
    assert!(own.iter().chain(&parts).all(|flow| all.contains(flow)), "{all:?}");
    let shown = place.run(&["runs", "show", &id, "-o", "json"]);
    let shown = document("runs-show", &shown.stdout);
    let shown = shown["sub_flows"].as_array().expect("it is a list");
    assert!(shown.len() == 2 && shown.iter().all(|flow| parts.contains(flow)), "{shown:?}");
}

#[test]
fn an_id_that_is_shown_finds_its_flow_run_and_one_that_is_too_short_names_those_it_may_be() {
    let (place, id) = nested();
    let table = place.run(&["runs", "list", "--all"]).stdout;
    let short: HashSet<&str> =
        table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(short.len(), 3, "{table}");
    let mut found = HashSet::new();
    for short in short {
        let shown = place.run(&["runs", "show", short, "-o", "json"]);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        let shown = document("runs-show", &shown.stdout);
        found.insert(shown["flow"]["run_id"].as_str().expect("it is text").to_owned());
    }
    assert_eq!(found.len(), 3, "{found:?}");
    // The part of the millisecond is shared by all that were made in one hour.
    let said = place.run(&["runs", "show", &id[..6]]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    let candidates = found.iter().filter(|id| said.stderr.contains(*id)).count();
    assert_eq!(candidates, 3, "{}", said.stderr);
    assert!(said.stderr.contains("write more of the id"), "{}", said.stderr);
}

#[test]
fn names_are_patterns_and_a_broken_one_is_an_error() {
    let (place, _) = nested();
    assert_eq!(listed(&place, &["--flow", "n[d-f]s*"]).len(), 1);
    assert_eq!(listed(&place, &["--flow", "n[x]s*"]).len(), 0);
    for broken in ["[", "nes[t", "[]"] {
        let said = place.run(&["runs", "list", "--flow", broken]);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{broken}: {}", said.stderr);
        assert!(said.stderr.contains("is not closed"), "{broken}: {}", said.stderr);
    }
}

#[test]
fn what_a_trigger_left_out_is_not_blamed_on_a_failure() {
    let place = probe(
        r#"
        [flow]
        name = "alarmed"
        on_exit.command = ["false"]
        [components.probe]
        path = "probe.wasm"
        [tasks.good]
        call = "probe.half"
        arguments.number = 2
        [tasks.bad]
        call = "probe.half"
        arguments.number = 3
        [tasks.behind]
        call = "probe.half"
        arguments.number = { from = "bad.result" }
        [tasks.alarm]
        call = "probe.half"
        arguments.number = 2
        after = ["good"]
        trigger = "any-failed"
        "#,
    );
    assert_eq!(place.run(&["run", "."]).code, 1);
    let said = place.run(&["runs", "explain", "latest", "-o", "json"]);
    let explained = document("runs-explain", &said.stdout);
    let reasons: Vec<&str> =
        explained["reasons"].as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    let has = |words: &str| reasons.iter().filter(|reason| reason.contains(words)).count();
    assert_eq!(has("1 run never started because of that"), 1, "{reasons:?}");
    assert_eq!(has("alarm never started: trigger any-failed"), 1, "{reasons:?}");
    assert_eq!(has("3 is odd"), 2, "the flow's own words and the run's: {reasons:?}");
    assert_eq!(has("hook on_exit failed"), 1, "{reasons:?}");
    let bad = place.run(&["runs", "show", "latest/bad", "-o", "json"]);
    let bad = document("runs-show-run", &bad.stdout);
    assert_eq!(explained["cause"], bad["run"]["run_id"]);
}

#[test]
fn a_request_to_cancel_has_a_document() {
    let place = probe(
        "[flow]\nname = \"slow\"\n[components.probe]\npath = \"probe.wasm\"\n\
         [tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = 600000\n\
         limits = { timeout = \"20m\" }\n",
    );
    for (flags, ended) in [(&["--no-wait"][..], None), (&["--wait", "60s"], Some(true))] {
        let mut child = place
            .command(&["run", "."])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary can be started");
        let started = Instant::now();
        let is_running = || {
            let said = place.run(&["runs", "list", "--state", "running", "-o", "json"]);
            said.code == 0
                && document("runs-list", &said.stdout)["flows"][0]["runs"]["running"] == 1
        };
        while !is_running() {
            assert!(started.elapsed() < LONG, "it does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = place.run(&[&["runs", "cancel", "latest", "-o", "json"], flags].concat());
        assert_eq!(said.code, 0, "{}", said.stderr);
        let shown = document("runs-cancel", &said.stdout);
        assert_eq!(shown["ended"] == true, shown["state"]["type"] == "cancelled", "{shown}");
        assert!(ended.is_none_or(|ended| shown["ended"] == ended), "{shown}");
        assert_eq!(shown["run_id"], listed(&place, &[])[0]["run_id"]);
        assert_eq!(child.wait().expect("it ends").code(), Some(1));
        let again = place.run(&["runs", "cancel", "latest", "-o", "json"]);
        assert_eq!((again.code, again.stdout.as_str()), (2, ""), "{}", again.stderr);
    }
}

#[test]
fn one_run_of_a_flow_is_cancelled_by_its_name_and_the_others_go_on() {
    let place = probe(
        "[flow]\nname = \"two\"\n[components.probe]\npath = \"probe.wasm\"\n\
         [tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = 600000\n\
         limits = { timeout = \"20m\" }\n[tasks.half]\ncall = \"probe.half\"\n\
         arguments.number = 2\nafter = [\"nap\"]\ntrigger = \"all-finished\"\n",
    );
    let mut child = place
        .command(&["run", "."])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be started");
    let started = Instant::now();
    let state = |run: &str| {
        let said = place.run(&["runs", "show", run, "-o", "json"]);
        (said.code == 0).then(|| document("runs-show-run", &said.stdout)["run"]["state"].clone())
    };
    while state("latest/nap").is_none_or(|state| state["type"] != "running") {
        assert!(started.elapsed() < LONG, "it does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = place.run(&["runs", "cancel", "latest/nap", "--wait", "60s", "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let shown = document("runs-cancel", &said.stdout);
    assert_eq!((&shown["ended"], &shown["state"]["type"]), (&true.into(), &"cancelled".into()));
    // The flow was not: what comes after it ran.
    assert!(child.wait().expect("it ends").code().is_some_and(|code| code < 2));
    assert_eq!(state("latest/half").expect("it is there")["type"], "completed");
    let again = place.run(&["runs", "cancel", "latest/nap", "-o", "json"]);
    assert_eq!((again.code, again.stdout.as_str()), (2, ""), "{}", again.stderr);
}
