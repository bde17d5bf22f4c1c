//! What is configured of other hosts and does not go together.

use crate::support::{Place, document, said};

#[test]
fn hosts_and_local_workers_exclude_each_other_by_name() {
    let place = Place::new();
    for (text, parts) in [
        (
            "[remote]\nhosts = [\"tls://a:1\"]\nworkers = 2\n",
            &["`remote.hosts` (sandmill.toml:2)", "`remote.workers` (sandmill.toml:3)"][..],
        ),
        (
            "[remote]\nhosts = [\"tls://a:1\"]\n[adapt]\nmax = 3\n",
            &["`remote.hosts`", "`adapt.max` (sandmill.toml:4)"],
        ),
        ("[remote]\nhost = [\"tls://a:1\"]\n", &["sandmill.toml:2:1", "did you mean `hosts`"]),
        ("[remote]\nhosts = [\"a\", 3]\n", &["sandmill.toml:2", "takes"]),
        ("[remote]\nhosts = [\"a:1\"]\n", &["sandmill.toml:2", "not an address of a worker"]),
        ("[remote]\ncert = \"c.pem\"\n", &["needs `remote.key` and `remote.ca` besides"]),
        ("[worker]\nallow_dir = [\"data\"]\n", &["absolute"]),
        ("[worker]\nlisten = [\"tcp://0.0.0.0:1\"]\n", &["use tls://"]),
        ("[adapt]\nmin = 5\nmax = 2\n", &["above `max`"]),
    ] {
        place.write("sandmill.toml", text);
        for args in [&["config", "check"][..], &["call", "x.wasm", "t", "--executor", "remote"]] {
            let said = place.run(args);
            assert_eq!(said.code, 2, "{text}: {}", said.stderr);
            for part in parts {
                assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
            }
        }
    }
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let place = crate::running::place();
    let call = ["call", "probe.wasm", "add", "-a", "left=1"];
    for (args, words) in [
        (&["--host", "tcp://127.0.0.1:1", "--workers", "2"][..], "--workers"),
        (&["--executor", "pool", "--host", "tcp://127.0.0.1:1"], "--executor remote"),
        (&["--host", "tls://a:1", "--cert", "c"], "--key"),
    ] {
        let said = place.run(&[&call[..], args].concat());
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
    let nobody = place.run(&[&call[..], &["--host", "unix:/nowhere/at/all"]].concat());
    assert_eq!(nobody.code, 3, "{}", nobody.stderr);
    assert!(nobody.stderr.contains("unix:/nowhere/at/all"), "{}", nobody.stderr);
}

#[test]
fn a_token_in_the_configuration_is_never_shown() {
    let place = Place::new();
    let token = place.run(&["cert", "token"]).stdout;
    let mut command = place.command(&["config", "show", "-o", "json"]);
    command
        .env("SANDMILL_WORKER__TOKEN", token.trim())
        .env("SANDMILL_REMOTE__HOSTS", "unix:/a, unix:/b");
    let shown = said(command.output().expect("the binary can be started"));
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(!shown.stdout.contains(token.trim()) && shown.stdout.contains("(hidden)"));
    let settings = document("config", &shown.stdout)["settings"].clone();
    let hosts =
        settings.as_array().and_then(|all| all.iter().find(|it| it["key"] == "remote.hosts"));
    assert_eq!(hosts.expect("it is there")["value"], "unix:/a,unix:/b");
}
