//! The real binary, without any guest: usage, configuration, doctor, new, and how errors are said.
//! What runs guests is tested in `tests/` of the workspace.

mod support;

use support::{Place, document};

#[test]
fn help_and_version_go_to_stdout() {
    let place = Place::new();
    for command in [
        "run",
        "call",
        "map",
        "runs",
        "cache",
        "worker",
        "workers",
        "cert",
        "verify",
        "inspect",
        "new",
        "doctor",
        "config",
        "completions",
    ] {
        let said = place.run(&[command, "--help"]);
        assert_eq!(said.code, 0, "{command}");
        assert!(said.stdout.contains("--output"), "{command}");
        assert!(said.stderr.is_empty(), "{command}");
    }
    let said = place.run(&["--version"]);
    assert_eq!(said.stdout.trim(), format!("sandmill {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_exits_with_2_and_says_so_on_stderr() {
    let place = Place::new();
    for args in [
        &["frobnicate"][..],
        &["call"],
        &["call", "x.wasm", "t", "-a", "novalue"],
        &["call", "x.wasm", "t", "--timeout", "2"],
        &["call", "x.wasm", "t", "--max-memory", "64"],
        &["call", "x.wasm", "t", "--dir", "/a:/b"],
        &["call", "x.wasm", "t", "--slots", "0"],
        &["call", "x.wasm", "t", "--executor", "dask"],
        &["call", "x.wasm", "t", "--executor", "remote", "--host", "a:7070"],
        &["map", "x.wasm", "t"],
        &["map", "x.wasm", "t", "--range", "5..1"],
        &["map", "x.wasm", "t", "--range", "0..3", "--each-line", "-"],
        &["new", "task", "../escape"],
        &["completions", "tcsh"],
    ] {
        let said = place.run(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.starts_with("error:"), "{args:?}: {}", said.stderr);
        assert!(said.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn what_is_not_there_is_named_with_a_next_step() {
    let place = Place::new();
    for args in [
        &["call", "gone.wasm", "t"][..],
        &["map", "gone.wasm", "t", "--range", "0..3"],
        &["inspect", "gone.wasm"],
        &["run", "gone"],
    ] {
        let said = place.run(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains("gone"), "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains("hint:"), "{args:?}: {}", said.stderr);
    }
    place.write("no.wasm", "this is text");
    let said = place.run(&["inspect", "no.wasm"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("no.wasm") && said.stderr.contains("hint:"), "{}", said.stderr);
}

#[test]
fn all_faults_of_a_flow_come_at_once_with_their_places() {
    let place = Place::new();
    place.write(
        "flow.toml",
        "[flow]\nname = \"f\"\nresult = \"gone.result\"\ncolour = 1\n\
         [components.c]\npath = \"c.wasm\"\nbuild = { crate = \".\" }\n\
         [tasks.a]\ncall = \"c.x\"\nafter = [\"b\"]\n[tasks.b]\ncall = \"c.y\"\nafter = [\"a\"]\n",
    );
    let said = place.run(&["run", "flow.toml", "-p", "nope=1"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stdout.is_empty());
    let places: Vec<&str> =
        said.stderr.lines().filter(|line| line.trim_start().starts_with("flow.toml:")).collect();
    assert!(places.len() >= 4, "{}", said.stderr);
    for part in
        ["flow.toml:3:", "flow.toml:4:", "flow.toml:6:", "`nope`", "--build", "nothing was run"]
    {
        assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
    }
}

#[test]
fn layers_of_the_configuration_win_in_order() {
    let place = Place::new();
    place.write(
        "config/sandmill/config.toml",
        "[executor]\nslots = 3\nqueue = 5\n[limits]\ntimeout = \"9s\"\n",
    );
    place.write("sandmill.toml", "[executor]\nslots = 4\n[limits]\ntimeout = \"8s\"\n");
    let output = place
        .command(&["config", "show", "--timeout", "6s", "-o", "json"])
        .env("SANDMILL_LIMITS__TIMEOUT", "7s")
        .env("SANDMILL_LIMITS__FUEL", "77")
        .output()
        .expect("the binary can be started");
    let said = support::said(output);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let shown = document("config", &said.stdout);
    let of = |key: &str| {
        let settings = shown["settings"].as_array().expect("it is a list");
        let setting = settings.iter().find(|setting| setting["key"] == key).expect("it is there");
        (setting["value"].as_str().map(str::to_owned), setting["source"].to_string())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(of("limits.timeout"), (text("6s"), "\"flag\"".to_owned()));
    assert_eq!(of("limits.fuel"), (text("77"), "\"SANDMILL_LIMITS__FUEL\"".to_owned()));
    assert_eq!(of("executor.slots"), (text("4"), "\"sandmill.toml:2\"".to_owned()));
    assert_eq!(of("executor.queue").0, text("5"));
    assert!(of("executor.queue").1.contains("config.toml:3"));
    assert_eq!(of("cache.enabled"), (text("true"), "\"default\"".to_owned()));
}

#[test]
fn a_wrong_configuration_is_told_at_once_and_stops_commands() {
    let place = Place::new();
    place.write("sandmill.toml", "[executor]\nslots = 0\nkind = \"pole\"\n[limit]\n");
    let with = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("SANDMILL_LIMITS__TIMOUT", "1s");
        support::said(command.output().expect("the binary can be started"))
    };
    let said = with(&["config", "check"]);
    assert_eq!(said.code, 2);
    for part in [
        "sandmill.toml:2:9",
        "sandmill.toml:3:8",
        "sandmill.toml:4:2",
        "SANDMILL_LIMITS__TIMOUT",
        "did you mean",
    ] {
        assert!(said.stderr.contains(part), "no {part} in {}", said.stderr);
    }
    let said = with(&["config", "check", "-o", "json"]);
    let shown = document("config-check", &said.stdout);
    assert_eq!((said.code, shown["faults"].as_array().map(Vec::len)), (2, Some(4)));
    let said = with(&["call", "x.wasm", "t"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("configuration"), "{}", said.stderr);

    let place = Place::new();
    assert_eq!(place.run(&["config", "check"]).code, 0);
    let said = place.run(&["config", "check", "-o", "json"]);
    assert_eq!(document("config-check", &said.stdout)["valid"], true);
}

#[test]
fn the_doctor_finds_and_treats() {
    let place = Place::new();
    let said = place.run(&["doctor", "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    let shown = document("doctor", &said.stdout);
    let checks = shown["checks"].as_array().expect("it is a list");
    for name in
        ["engine", "instance pool", "compiler", "compile cache", "slots", "cargo", "configuration"]
    {
        assert!(checks.iter().any(|check| check["name"] == name), "no {name}");
    }
    for check in checks {
        assert_eq!(check["status"] == "ok", check["treatment"].is_null(), "{check}");
    }
    place.write("sandmill.toml", "nonsense = 1\n");
    let said = place.run(&["doctor"]);
    assert_eq!(said.code, 3, "{}", said.stdout);
    assert!(
        said.stdout.contains("fail") && said.stdout.contains("config check"),
        "{}",
        said.stdout
    );
}

#[test]
fn new_writes_a_project_once() {
    let place = Place::new();
    for kind in ["task", "flow"] {
        let name = format!("my-{kind}");
        let said = place.run(&["new", kind, &name, "-o", "json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let shown = document("new", &said.stdout);
        for file in shown["files"].as_array().expect("it is a list") {
            let file = place.path().join(&name).join(file.as_str().expect("it is a path"));
            assert!(file.is_file(), "{}", file.display());
        }
        let manifest = place.path().join(&name).join("Cargo.toml");
        let before = std::fs::read_to_string(&manifest).expect("it is there");
        assert!(before.contains("sandmill-guest = "), "{before}");
        let said = place.run(&["new", kind, &name]);
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains("is there already"), "{}", said.stderr);
        assert_eq!(std::fs::read_to_string(&manifest).expect("it is there"), before);
    }
    let said = place.run(&["new", "task", "other", "--sdk-path", "."]);
    assert_eq!(said.code, 2);
    assert!(!place.path().join("other").exists());
}

#[test]
fn every_shell_has_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = place.run(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(said.stdout.contains("inspect"), "{shell}");
    }
}

#[test]
fn colours_are_for_those_who_ask() {
    let place = Place::new();
    let said = place.run(&["inspect", "gone.wasm"]);
    assert!(!said.stderr.contains('\u{1b}'), "{:?}", said.stderr);
    let said = place.run(&["inspect", "gone.wasm", "--color", "always"]);
    assert!(said.stderr.contains('\u{1b}'), "{:?}", said.stderr);
}
