//! Reaching for files and peers that were not granted. Canaries say whether it worked.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use sandmill::{CallOptions, EndKind, Grants, TrapKind};
use sandmill_test_conformance::{Bench, LONG, Ran};
use tempfile::TempDir;

use crate::table::{Case, checks, still_good};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        without_a_grant_there_are_no_files,
        nothing_outside_of_a_granted_directory_is_reached,
        a_granted_directory_is_read_only_unless_it_says_otherwise,
        links_do_not_lead_out,
        files_are_not_opened_beyond_the_limit,
        without_a_grant_there_is_no_network,
        only_granted_peers_are_reached,
    ]
}

/// Directories on the host: one to grant, with links out of it, and one that holds a secret.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("granted")).unwrap();
        fs::create_dir(at("granted/folder")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("granted/inside"), "inside").unwrap();
        fs::write(at("outside/secret"), "secret").unwrap();
        symlink("../outside/secret", at("granted/relative")).unwrap();
        symlink(at("outside/secret"), at("granted/absolute")).unwrap();
        symlink("../outside", at("granted/folder-link")).unwrap();
        symlink("folder-link/secret", at("granted/chain")).unwrap();
        symlink("/proc/self/environ", at("granted/proc")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn grants(&self, how: &str) -> Grants {
        let grant = format!("{}::/granted:{how}", self.path("granted").display());
        Grants { dirs: vec![grant.parse().unwrap()], ..Grants::default() }
    }

    fn is_untouched(&self) {
        assert_eq!(fs::read(self.path("outside/secret")).unwrap(), b"secret");
        assert_eq!(names(&self.path("outside")), ["secret"]);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn act(bench: &Bench, grants: &Grants, task: &str, arguments: serde_json::Value) -> Ran {
    bench.run_with("hostile", task, &arguments.to_string(), |options| {
        options.grants = grants.clone();
    })
}

/// What a guest can do with a path, of all that it tries.
fn poked(bench: &Bench, grants: &Grants, path: &str) -> Vec<String> {
    act(bench, grants, "poke", serde_json::json!({ "path": path })).value()
}

/// Paths that lead out of `/granted`, if anybody lets them.
fn ways_out(place: &Place) -> Vec<String> {
    let mut ways: Vec<String> = [
        "/granted/../outside/secret",
        "/granted/folder/../../outside/secret",
        "../outside/secret",
        "/granted/relative",
        "/granted/absolute",
        "/granted/folder-link/secret",
        "/granted/chain",
        "/granted/proc",
        "/granted/inside/../../outside/secret",
        "/granted//..//outside/secret",
        "/granted/..",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "C:\\secret",
        "..\\outside\\secret",
        "/granted/\0/secret",
    ]
    .map(str::to_owned)
    .into();
    ways.push(place.path("outside/secret").display().to_string());
    ways.push("/granted/".to_owned() + &"a/../".repeat(2_000) + "../outside/secret");
    ways.push("x".repeat(100_000));
    ways
}

fn without_a_grant_there_are_no_files(bench: &Bench) {
    let place = Place::new();
    for path in ways_out(&place).iter().map(String::as_str).chain(["/", ".", "", "inside"]) {
        let open = poked(bench, &Grants::default(), path);
        assert!(open.is_empty(), "{path}: {open:?}");
    }
    place.is_untouched();
}

fn nothing_outside_of_a_granted_directory_is_reached(bench: &Bench) {
    for how in ["ro", "rw"] {
        let place = Place::new();
        let grants = place.grants(how);
        for path in ways_out(&place) {
            let mut open = poked(bench, &grants, &path);
            // The links themselves are in the directory: they may be looked at, and with `rw`
            // they may be moved, replaced and removed, but never followed.
            open.retain(|way| {
                let of_the_link = ["link metadata", "hard link", "rename from", "rename to"];
                let in_reach = way == "link metadata"
                    || how == "rw"
                        && (of_the_link.contains(&way.as_str())
                            || ["remove", "raw unlink"].contains(&way.as_str()));
                !(in_reach && path.starts_with("/granted/"))
            });
            // What is written to a link that was replaced lands inside.
            if how == "ro" {
                assert!(open.is_empty(), "{path} ({how}): {open:?}");
            }
            place.is_untouched();
        }
    }
    still_good(bench);
}

fn a_granted_directory_is_read_only_unless_it_says_otherwise(bench: &Bench) {
    let place = Place::new();
    let mut open = poked(bench, &place.grants("ro"), "/granted/inside");
    open.dedup();
    assert_eq!(open, ["metadata", "read", "link metadata", "raw open", "raw stat"]);
    let mut open = poked(bench, &place.grants("ro"), "/granted/folder");
    open.dedup();
    assert!(!open.iter().any(|way| way.contains("remove") || way.contains("rename")), "{open:?}");
    assert_eq!(poked(bench, &place.grants("ro"), "/granted/new"), Vec::<String>::new());
    assert_eq!(fs::read(place.path("granted/inside")).unwrap(), b"inside");
    let ran = act(
        bench,
        &place.grants("ro"),
        "make_link",
        serde_json::json!({ "target": "inside", "name": "link" }),
    );
    assert!(!ran.value::<bool>());
    assert_eq!(
        names(&place.path("granted")),
        ["absolute", "chain", "folder", "folder-link", "inside", "proc", "relative"]
    );
}

fn links_do_not_lead_out(bench: &Bench) {
    let place = Place::new();
    let grants = place.grants("rw");
    for (number, target) in
        ["../outside/secret", "/etc/passwd", "folder/../../outside/secret", "/"].iter().enumerate()
    {
        let name = format!("link{number}");
        let link = serde_json::json!({ "target": target, "name": name });
        // Whether it can be made does not matter, only where it leads.
        drop(act(bench, &grants, "make_link", link));
        for path in [format!("/granted/{name}"), format!("/granted/{name}/etc/passwd")] {
            let ran = act(bench, &grants, "follow_link", serde_json::json!({ "path": path }));
            assert_eq!(ran.failure().0, "error", "{target}");
        }
    }
    // One that stays inside may be followed.
    let link = serde_json::json!({ "target": "inside", "name": "good" });
    assert!(act(bench, &grants, "make_link", link).value::<bool>());
    let path = serde_json::json!({ "path": "/granted/good" });
    assert_eq!(act(bench, &grants, "follow_link", path).value::<String>(), "inside");
    place.is_untouched();
}

fn files_are_not_opened_beyond_the_limit(bench: &Bench) {
    let place = Place::new();
    let open = |count: u32| {
        let arguments = serde_json::json!({ "path": "/granted/inside", "count": count });
        act(bench, &place.grants("ro"), "open_files", arguments)
    };
    assert_eq!(open(100).value::<u32>(), 100);
    let ran = open(100_000);
    assert_eq!(ran.end().0, EndKind::Trapped(TrapKind::Handles), "{}", ran.end().1);
    still_good(bench);
}

/// A server that nobody should reach, on every address of this machine.
fn canary() -> TcpListener {
    let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn was_not_reached(canary: &TcpListener) {
    std::thread::sleep(Duration::from_millis(20));
    assert!(canary.accept().is_err(), "the canary was reached");
}

fn without_a_grant_there_is_no_network(bench: &Bench) {
    let canary = canary();
    let port = canary.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"] {
        let peer = format!("{host}:{port}");
        let arguments = serde_json::json!({ "peer": peer }).to_string();
        let ran = bench.run("probe", "connect", &arguments);
        assert_eq!(ran.failure().0, "error", "{peer}");
    }
    was_not_reached(&canary);
    for name in ["localhost:80", "example.com:80", "secret.example.com:53"] {
        let ran = act(bench, &Grants::default(), "resolve", serde_json::json!({ "peer": name }));
        assert_eq!(ran.failure().0, "error", "{name}");
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let peer = udp.local_addr().unwrap().to_string();
    let ran = act(bench, &Grants::default(), "send_datagram", serde_json::json!({ "peer": peer }));
    assert_eq!(ran.failure().0, "error");
    assert!(udp.recv(&mut [0; 8]).is_err(), "the canary was reached");
    still_good(bench);
}

fn only_granted_peers_are_reached(bench: &Bench) {
    let (granted, canary) = (canary(), canary());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let grant = format!("127.0.0.1:{}", port(&granted));
    let grants = Grants { net: vec![grant.parse().unwrap()], ..Grants::default() };
    let connect = |peer: &str| {
        let arguments = serde_json::json!({ "peer": peer }).to_string();
        let with = |options: &mut CallOptions| options.grants = grants.clone();
        bench.run_with("probe", "connect", &arguments, with)
    };
    assert_eq!(connect(&grant).value::<Option<()>>(), None);
    let (mut stream, _) = granted.accept().expect("the guest connected");
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "hello");
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"] {
        assert_eq!(connect(&format!("{host}:{}", port(&canary))).failure().0, "error");
    }
    assert_eq!(connect(&format!("[::1]:{}", port(&granted))).failure().0, "error");
    was_not_reached(&canary);
    was_not_reached(&granted);
}
