//! `sandmill cert`: what it makes, and what it does not write over.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Place, document};

#[test]
fn files_are_made_once_and_keys_are_for_their_owner() {
    let place = Place::new();
    let json = |args: &[&str]| place.run(&[args, &["-o", "json"]].concat());
    let init = ["cert", "init", "--dir", "certs"];
    let made = json(&init);
    assert_eq!(made.code, 0, "{}", made.stderr);
    document("cert-files", &made.stdout);
    let issue = [
        "cert",
        "issue",
        "--dir",
        "certs",
        "--role",
        "worker",
        "--name",
        "a.example",
        "--name",
        "10.0.0.7",
    ];
    let issued = document("cert-files", &json(&issue).stdout);
    assert_eq!(issued["role"], "worker");
    for key in ["certs/ca.key", "certs/a.example.key"] {
        let mode = std::fs::metadata(place.path().join(key)).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{key}");
    }
    let before = std::fs::read(place.path().join("certs/ca.key")).expect("it is there");
    for args in [&init[..], &issue[..]] {
        let again = place.run(args);
        assert_eq!(again.code, 2, "{args:?}");
        assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    }
    assert_eq!(std::fs::read(place.path().join("certs/ca.key")).expect("it is there"), before);
    // Where one of the two cannot be made, the other is not left behind, whichever it is.
    for (left, other) in [("ca.pem", "ca.key"), ("ca.key", "ca.pem")] {
        place.write(left, "somebody's");
        let refused = place.run(&["cert", "init"]);
        assert!(refused.stderr.contains(left), "{}", refused.stderr);
        assert!(!place.path().join(other).exists(), "{other} was left behind");
        std::fs::remove_file(place.path().join(left)).expect("it is there");
    }

    let shown = json(&["cert", "show", "certs/a.example.pem"]);
    let shown = document("cert-show", &shown.stdout);
    assert_eq!((&shown["role"], &shown["expired"]), (&"worker".into(), &false.into()));
    assert_eq!(shown["names"].as_array().map(Vec::len), Some(2));
    let people = place.run(&["cert", "show", "certs/ca.pem"]);
    assert!(people.stdout.contains("authority"), "{}", people.stdout);
}

#[test]
fn what_cannot_be_made_is_said() {
    let place = Place::new();
    place.write("no.pem", "this is text");
    for (args, words) in [
        (&["cert", "issue", "--role", "worker", "--name", "a"][..], "cert init"),
        (&["cert", "issue", "--role", "king", "--name", "a"], "observe"),
        (&["cert", "issue", "--role", "worker"], "--name"),
        (&["cert", "show", "no.pem"], "not a certificate"),
        (&["cert", "show", "gone.pem"], "gone.pem"),
        (&["cert", "token", "--valid", "48h"], "24 hours"),
        (&["cert", "init", "--valid", "9000days"], "ten years"),
    ] {
        let said = place.run(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn a_token_is_alone_on_stdout() {
    let place = Place::new();
    let said = place.run(&["cert", "token"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1), "{}", said.stderr);
    let said = place.run(&["cert", "token", "--valid", "10m", "-o", "json"]);
    let shown = document("cert-token", &said.stdout);
    assert!(shown["token"].as_str().is_some_and(|token| token.starts_with("smj1.")));
}

#[test]
fn a_token_is_kept_where_only_its_owner_reads_it() {
    let place = Place::new();
    let said = place.run(&["cert", "token", "--out", "join", "-o", "json"]);
    let shown = document("cert-token", &said.stdout);
    assert_eq!((&shown["file"], &shown["token"]), (&"join".into(), &serde_json::Value::Null));
    let file = place.path().join("join");
    let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).expect("it is there");
    assert!(token.starts_with("smj1.") && token.ends_with('\n'));
    let again = place.run(&["cert", "token", "--out", "join"]);
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), token);
}
