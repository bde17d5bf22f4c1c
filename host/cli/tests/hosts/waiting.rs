//! Runs that no host takes: each is told why, host by host, while it waits, and goes on when one
//! comes.

use std::process::Stdio;

use crate::running::{Running, place, until};
use crate::support::{Place, document, said};

fn explained(place: &Place, id: &str) -> Option<serde_json::Value> {
    let said = place.run(&["runs", "explain", id, "-o", "json"]);
    // Before the flow is written down, there is none.
    (said.code == 0).then(|| document("runs-explain", &said.stdout))
}

#[test]
fn a_run_that_waits_is_explained_host_by_host_until_a_host_takes_it() {
    let place = place();
    let socket = |name: &str| format!("unix:{}", place.path().join(name).display());
    let start = |name: &str, more: &[&str]| {
        let address = socket(name);
        let head = ["--listen", &address, "--slots", "1", "--name", name];
        Running::start(&place, &[&head[..], more].concat())
    };
    let plain = start("plain", &["--resource", "mem=4"]);
    let small = start("small", &["--label", "gpu", "--resource", "mem=1"]);
    let absent = socket("absent");
    place.write(
        "flow.toml",
        "[flow]\nname = \"picky\"\nresult = \"total.result\"\n\
         [components.probe]\npath = \"probe.wasm\"\n\
         [tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = { map = [1, 2, 3] }\n\
         labels = [\"gpu\"]\ntags = [\"dask-resource:mem=2\"]\n\
         [tasks.total]\ncall = \"probe.sum\"\narguments.numbers = { from = \"nap.result\" }\n",
    );
    let hosts = [&plain, &small].map(Running::address);
    let flow = place
        .command(&[
            "run", ".", "--host", &hosts[0], "--host", &hosts[1], "--host", &absent, "-o", "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");

    let mut reasons = Vec::new();
    until("the flow to say why it waits", || {
        let Some(explained) = explained(&place, "latest") else { return false };
        let texts = explained["reasons"].as_array().expect("it is a list").clone();
        reasons = texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        reasons.iter().any(|reason| reason.contains("no host can take it"))
    });
    let waits = reasons.iter().find(|reason| reason.contains("no host")).expect("it was there");
    assert!(waits.starts_with("nap["), "{waits}");
    for (host, why) in [("plain", "the label gpu"), ("small", "of mem")] {
        assert!(waits.contains(host) && waits.contains(why), "{host}: {waits}");
    }
    // Each of the runs says so, also those that are only like the first.
    for index in 0..3 {
        let run = explained(&place, &format!("latest/nap[{index}]")).expect("it is there");
        let (reason, hint) = (&run["reasons"][0], &run["hints"][0]);
        assert!(reason.as_str().is_some_and(|text| text.contains("plain")), "{run}");
        assert!(hint.as_str().is_some_and(|text| text.contains("sandmill workers")), "{run}");
    }
    let shown = place.run(&["runs", "explain", "latest/nap[0]"]);
    assert!(shown.stdout.contains("it waits"), "{}", shown.stdout);

    let fit = start("absent", &["--label", "gpu", "--resource", "mem=2"]);
    let flow = said(flow.wait_with_output().expect("it ends"));
    assert_eq!(flow.code, 0, "{}", flow.stderr);
    // Said of one of them, whichever was looked at when it was.
    let said_of = |line: &str| line.starts_with("nap[") && line.contains("] waits: ");
    assert!(flow.stderr.lines().any(said_of), "{}", flow.stderr);
    assert_eq!(document("run", &flow.stdout)["result"], 6_000_000, "{}", flow.stdout);
    for worker in [plain, small, fit] {
        assert_eq!(worker.leave().0, 0);
    }

    // A call says what it needs by flags of the same names.
    let alone = start("alone", &["--label", "gpu", "--resource", "mem=2"]);
    let address = alone.address();
    let call = ["call", "probe.wasm", "add", "-a", "left=1", "--host", &address];
    let needs = |needs: &[&str]| place.run(&[&call[..], needs].concat());
    let taken = needs(&["--label", "gpu", "--label", "resource:mem=1", "--queue-timeout", "30s"]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    for refused in [&["--label", "ssd"][..], &["--resource", "mem=3"]] {
        let waits = needs(&[refused, &["--queue-timeout", "1s"]].concat());
        assert_eq!(waits.code, 124, "{refused:?}: {}", waits.stderr);
        assert!(waits.stderr.contains("add waits: "), "{refused:?}: {}", waits.stderr);
        assert!(waits.stderr.contains("alone"), "{refused:?}: {}", waits.stderr);
    }
    assert_eq!(alone.leave().0, 0);
}
