//! Calls, maps and flows on workers: by token, by certificates, and what is refused.

use crate::running::{Running, place};
use crate::support::Place;

const TLS: &str = "tls://127.0.0.1:0";
const FLOW: &str = "[flow]\nname = \"sums\"\nresult = \"sum.result\"\n\
    [components.probe]\npath = \"probe.wasm\"\n\
    [tasks.halves]\ncall = \"probe.half\"\narguments.number = { map = [2, 4, 6, 8] }\n\
    [tasks.sum]\ncall = \"probe.sum\"\narguments.numbers = { from = \"halves.result\" }\n";

fn token(place: &Place, valid: &str, file: &str) {
    let said = place.run(&["cert", "token", "--valid", valid]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("smj1."), "{}", said.stdout);
    place.write(file, &said.stdout);
}

/// A call, a map and a flow on the host, and what they answer.
fn all_three(place: &Place, host: &[&str]) {
    place.write("flow.toml", FLOW);
    for (args, answer) in [
        (&["call", "probe.wasm", "add", "-a", "left=40", "-a", "right=2"][..], "42"),
        (&["map", "probe.wasm", "half", "--range", "0..=8", "--as", "number"], "0"),
        (&["run", "."], "10"),
        (&["runs", "rerun", "latest"], "10"),
    ] {
        let said = place.run(&[args, host, &["-o", "quiet"]].concat());
        if args[0] == "map" {
            // Odd numbers have no half.
            assert_eq!(said.code, 1, "{args:?}: {}", said.stderr);
            assert_eq!(
                said.stdout.lines().collect::<Vec<_>>(),
                ["0", "null", "1", "null", "2", "null", "3", "null", "4"]
            );
        } else {
            assert_eq!((said.code, said.stdout.trim()), (0, answer), "{args:?}: {}", said.stderr);
        }
    }
}

#[test]
fn a_token_is_all_that_two_hosts_need() {
    let place = place();
    token(&place, "1h", "join");
    token(&place, "1h", "other");
    let worker = Running::start(&place, &["--listen", TLS, "--token", "@join", "--slots", "2"]);
    let address = worker.address();
    all_three(&place, &["--host", &address, "--token", "@join"]);

    let call = ["call", "probe.wasm", "add", "-a", "left=1", "--host", &address];
    let other = place.run(&[&call[..], &["--token", "@other"]].concat());
    assert_eq!(other.code, 3, "{}", other.stderr);
    assert!(other.stderr.contains("another token or certificate authority"), "{}", other.stderr);
    let none = place.run(&call);
    assert_eq!(none.code, 2, "{}", none.stderr);
    assert!(none.stderr.contains("takes a certificate or a join token"), "{}", none.stderr);
    let nonsense = place.run(&[&call[..], &["--token", "smj1.x.y.z"]].concat());
    assert_eq!(nonsense.code, 2, "{}", nonsense.stderr);

    token(&place, "1s", "short");
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let expired = place.run(&[&call[..], &["--token", "@short"]].concat());
    assert_eq!(expired.code, 3, "{}", expired.stderr);
    assert!(expired.stderr.contains("expired"), "{}", expired.stderr);

    let (code, talk) = worker.leave();
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("refused 127.0.0.1:"), "{talk}");
    assert!(!talk.contains("smj1."), "a secret is in the log: {talk}");
}

#[test]
fn certificates_with_roles_let_in_who_may() {
    let place = place();
    let ok = |args: &[&str]| {
        let said = place.run(args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.stderr);
    };
    ok(&["cert", "init", "--dir", "certs"]);
    ok(&["cert", "init", "--dir", "others"]);
    let issue = ["cert", "issue", "--dir", "certs", "--role"];
    ok(&[&issue[..], &["worker", "--name", "127.0.0.1"]].concat());
    ok(&[&issue[..], &["submit", "--name", "ada"]].concat());
    ok(&[&issue[..], &["observe", "--name", "eve"]].concat());
    ok(&["cert", "issue", "--dir", "others", "--role", "submit", "--name", "mallory"]);
    let by = |dir: &str, who: &str| {
        let file = |name: &str| format!("{dir}/{name}");
        [file(&format!("{who}.pem")), file(&format!("{who}.key")), file("ca.pem")]
    };
    let flags = |files: &[String; 3]| {
        let [cert, key, ca] = files;
        ["--cert", cert, "--key", key, "--ca", ca].map(str::to_owned)
    };
    let worker = flags(&by("certs", "127.0.0.1"));
    let worker: Vec<&str> = worker.iter().map(String::as_str).collect();
    let worker =
        Running::start(&place, &[&["--listen", TLS, "--slots", "2"], &worker[..]].concat());
    let address = worker.address();
    let host = |dir: &str, who: &str| {
        let mut host = vec!["--host".to_owned(), address.clone()];
        host.extend(flags(&by(dir, who)));
        host
    };
    let borrowed = |texts: &'static [&str], host: &[String]| {
        texts.iter().map(|text| (*text).to_owned()).chain(host.iter().cloned()).collect::<Vec<_>>()
    };
    let run = |texts: &'static [&str], host: &[String]| {
        let args = borrowed(texts, host);
        place.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ada = host("certs", "ada");
    all_three(&place, &ada.iter().map(String::as_str).collect::<Vec<_>>());

    const CALL: &[&str] = &["call", "probe.wasm", "add", "-a", "left=1"];
    let eve = run(CALL, &host("certs", "eve"));
    assert_eq!(eve.code, 3, "{}", eve.stderr);
    assert!(eve.stderr.contains("`observe`"), "{}", eve.stderr);
    assert_eq!(run(&["workers"], &host("certs", "eve")).code, 0, "she may look");
    let mallory = run(CALL, &host("others", "mallory"));
    assert_eq!(mallory.code, 3, "{}", mallory.stderr);
    assert!(mallory.stderr.contains("certificate authority"), "{}", mallory.stderr);
    // A worker's certificate does not do for a worker's address under another name.
    let elsewhere = address.replace("127.0.0.1", "localhost");
    let mut wrong = ada.clone();
    wrong[1] = elsewhere;
    let wrong = run(CALL, &wrong);
    assert_eq!(wrong.code, 3, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("another host"), "{}", wrong.stderr);
    // Whoever is no worker cannot serve.
    let args = [
        &["worker", "--listen", TLS],
        &ada[2..].iter().map(String::as_str).collect::<Vec<_>>()[..],
    ]
    .concat();
    let refused = place.run(&args);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("role"), "{}", refused.stderr);
    assert_eq!(worker.leave().0, 0);
}

#[test]
fn local_workers_are_started_where_no_host_is_named() {
    let place = place();
    all_three(&place, &["--executor", "remote", "--workers", "2", "--slots", "2"]);
    place.write("sandmill.toml", "[adapt]\nmin = 1\nmax = 2\n");
    let said = place.run(&[
        "map",
        "probe.wasm",
        "add",
        "--range",
        "0..50",
        "--as",
        "left",
        "--executor",
        "remote",
    ]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 50), "{}", said.stderr);
}
