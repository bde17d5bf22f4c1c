//! Flow runs that somebody takes over: cancelled where nobody runs them, and run again with what was
//! changed since. And what flows refuse before anything is recorded, and where failures stop a map.

mod support;

use std::time::{Duration, Instant};

use sandmill_test_artifacts::guest;
use serde_json::Value as Json;
use support::{Place, Said, document};

fn place_with(guests: &[&str]) -> Place {
    let place = Place::new();
    for name in guests {
        let to = place.path().join(format!("{name}.wasm"));
        std::fs::copy(guest(name), to).expect("it can be copied");
    }
    place
}

/// Starts `run .`, and kills it once `marker` is in the folder.
fn killed_at(place: &Place, marker: &str) {
    let mut running = place.command(&["run", "."]).spawn().expect("the binary can be started");
    let begun = Instant::now();
    while !place.path().join(marker).exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it never began");
        assert!(running.try_wait().expect("it can be asked").is_none(), "it ended too soon");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.kill().expect("it can be killed");
    running.wait().expect("it has ended");
}

fn text(place: &Place, file: &str) -> String {
    std::fs::read_to_string(place.path().join(file)).unwrap_or_default()
}

fn flow_runs(place: &Place) -> Json {
    document("runs-list", &place.run(&["runs", "list", "-o", "json"]).stdout)
}

const SLOW: &str = "[components.probe]\npath = \"probe.wasm\"\n\
     [tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = { map = [1, 60000, 60000, 60000] }\n";

#[test]
fn a_flow_that_is_cancelled_where_nobody_runs_it_says_goodbye() {
    let place = place_with(&["probe"]);
    let exit = "on_exit = { command = [\"sh\", \"-c\", \"echo $SANDMILL_STATE >> end\"] }";
    let start = "on_start = { command = [\"touch\", \"begun\"] }";
    place.write("flow.toml", &format!("[flow]\nname = \"slow\"\n{start}\n{exit}\n{SLOW}"));
    killed_at(&place, "begun");
    // What it was started from is not needed.
    std::fs::remove_file(place.path().join("probe.wasm")).expect("it is there");
    let said = place.run(&["runs", "cancel", "latest", "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let cancelled = document("runs-cancel", &said.stdout);
    assert_eq!(
        (&cancelled["state"]["name"], &cancelled["ended"]),
        (&"Cancelled".into(), &true.into())
    );
    assert_eq!(text(&place, "end").to_lowercase().trim(), "cancelled");
    let shown = place.run(&["runs", "show", "latest", "--runs", "-o", "json"]);
    for run in document("runs-show", &shown.stdout)["runs"].as_array().expect("a list") {
        let kind = run["state"]["kind"].as_str().unwrap_or_default();
        assert!(!["paused", "running", "pending"].contains(&kind), "{run}");
    }
    assert_eq!(place.run(&["runs", "cancel", "latest"]).code, 2, "it has ended");
    assert_eq!(text(&place, "end").lines().count(), 1, "once");
}

#[test]
fn the_hook_of_a_cancelled_flow_has_its_own_time() {
    let place = place_with(&["probe"]);
    let exit = "on_exit = { command = [\"sleep\", \"600\"], timeout = \"300ms\" }";
    let start = "on_start = { command = [\"touch\", \"begun\"] }";
    place.write("flow.toml", &format!("[flow]\nname = \"slow\"\n{start}\n{exit}\n{SLOW}"));
    killed_at(&place, "begun");
    let said = place.run(&["runs", "cancel", "latest"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("hook on_exit timed out"), "{}", said.stderr);
    assert_eq!(flow_runs(&place)["flows"][0]["state"]["name"], "Cancelled");
}

#[test]
fn parameters_of_a_flow_in_a_component_are_checked_before_anything_is_recorded() {
    let place = place_with(&["flows"]);
    let run = ["run", "flows.wasm#chain", "-p", "number=x", "-p", "other=1"];
    let said = place.run(&run);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    assert!(said.stderr.contains("`number`") && said.stderr.contains("`other`"), "{}", said.stderr);
    let said = place.run(&["run", "flows.wasm#chain", "-p", "number=-1"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert_eq!(flow_runs(&place)["flows"], Json::Array(Vec::new()));
    let said = place.run(&["run", "flows.wasm#chain", "-p", "number=3", "-o", "quiet"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    // The same when it is repeated with others.
    let said = place.run(&["runs", "rerun", "latest", "-p", "number=x"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert_eq!(flow_runs(&place)["flows"].as_array().map(Vec::len), Some(1));
    for command in
        [&["call", "flows.wasm", "chain"][..], &["map", "flows.wasm", "chain", "--range", "0..2"]]
    {
        let said = place.run(command);
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains("sandmill run 'flows.wasm#chain'"), "{}", said.stderr);
    }
}

fn reused(said: &Said) -> (Json, Json) {
    assert_eq!(said.code, 0, "{}", said.stderr);
    let shown = document("run", &said.stdout);
    (shown["result"].clone(), shown["reused"].clone())
}

/// The component with a section more, which changes nothing but its digest.
fn touch(place: &Place, name: &str) {
    let path = place.path().join(name);
    let mut bytes = std::fs::read(&path).expect("it can be read");
    bytes.extend([0, 5, 4, b'm', b'a', b'r', b'k']);
    std::fs::write(&path, bytes).expect("it can be written");
}

#[test]
fn a_rerun_of_what_was_changed_uses_what_was_not() {
    let place = place_with(&["probe"]);
    std::fs::copy(guest("probe"), place.path().join("other.wasm")).expect("it can be copied");
    let flow = |right: u64| {
        format!(
            "[flow]\nname = \"parts\"\nresult = \"last.result\"\n\
             [components.probe]\npath = \"probe.wasm\"\n[components.other]\npath = \"other.wasm\"\n\
             [tasks.halves]\ncall = \"probe.half\"\narguments.number = {{ map = [2, 4, 6] }}\n\
             [tasks.sum]\ncall = \"other.sum\"\narguments.numbers = {{ from = \"halves.result\" }}\n\
             [tasks.last]\ncall = \"probe.add\"\narguments.left = {{ from = \"sum.result\" }}\n\
             arguments.right = {right}\n"
        )
    };
    place.write("flow.toml", &flow(1));
    assert_eq!(reused(&place.run(&["run", ".", "-o", "json"])).0, 7);
    let first = flow_runs(&place)["flows"][0]["run_id"].as_str().expect("text").to_owned();
    let rerun = |more: &[&str]| {
        let args = ["runs", "rerun", &first, "-o", "json"];
        place.run(&args.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    // Another argument of the last task, and a new digest of the second's component.
    place.write("flow.toml", &flow(10));
    touch(&place, "other.wasm");
    assert_eq!(reused(&rerun(&[])), (7.into(), 5.into()), "as it was recorded");
    assert_eq!(reused(&rerun(&["--updated"])), (16.into(), 3.into()), "the unchanged stage");
    assert_eq!(reused(&rerun(&["--updated", "--fresh"])), (16.into(), 0.into()));
    place.write("flow.toml", "[flow]\nname = 7\n");
    let said = rerun(&["--updated"]);
    assert_eq!(said.code, 2, "checked as `run` does: {}", said.stderr);
    std::fs::remove_file(place.path().join("flow.toml")).expect("it is there");
    assert_eq!(rerun(&["--updated"]).code, 2);
    assert_eq!(reused(&rerun(&[])).0, 7);
}

#[test]
fn a_rerun_takes_a_flow_in_a_component_as_it_is_now() {
    let place = place_with(&["flows"]);
    let run = ["run", "flows.wasm#sum_of_squares", "-p", "count=4", "-o", "json"];
    let first = reused(&place.run(&run)).0;
    assert_eq!(
        reused(&place.run(&["runs", "rerun", "latest", "-o", "json"])),
        (first.clone(), 4.into())
    );
    touch(&place, "flows.wasm");
    let again = ["runs", "rerun", "latest", "--updated", "-o", "json"];
    assert_eq!(reused(&place.run(&again)), (first, 0.into()), "its tasks changed with it");
}

#[test]
fn no_run_starts_after_the_failure_that_is_one_too_many() {
    let place = place_with(&["probe"]);
    let odd: Vec<String> = (0..400).map(|number| (2 * number + 1).to_string()).collect();
    for (policy, allowed) in
        [("max_failures = 0", 0), ("max_failures = 3", 3), ("fail_fast = true", 0)]
    {
        place.write(
            "flow.toml",
            &format!(
                "[flow]\nname = \"odd\"\n[components.probe]\npath = \"probe.wasm\"\n\
                 [tasks.half]\ncall = \"probe.half\"\n{policy}\narguments.number = {{ map = [{}] }}\n",
                odd.join(",")
            ),
        );
        for slots in [1_u64, 2, 8] {
            let count = slots.to_string();
            let said = place.run(&["run", ".", "--slots", &count, "-o", "json"]);
            assert_eq!(said.code, 1, "{}", said.stderr);
            let shown = document("run", &said.stdout);
            let failed = shown["stages"][0]["failed"].as_u64().expect("a number");
            assert!(
                (allowed + 1..=allowed + slots).contains(&failed),
                "{failed} failed with {policy} in {slots} slots"
            );
        }
    }
}

#[test]
fn a_time_to_wait_for_a_slot_is_refused_where_nothing_waits() {
    let place = place_with(&["probe"]);
    let map = ["map", "probe.wasm", "half", "--range", "0..2", "--queue-timeout", "1s"];
    let said = place.run(&map);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    assert!(said.stderr.contains("--retries"), "{}", said.stderr);
    let said = place.run(&[&map[..], &["--retries", "1"]].concat());
    assert_eq!(said.code, 1, "1 is odd: {}", said.stderr);
}
