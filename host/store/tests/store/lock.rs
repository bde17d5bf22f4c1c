//! One writer at a time, and requests from others.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use sandmill_store::{LogStore, Store, StoreConfig, StoreError};
use sandmill_wire::RunId;

use crate::common::{config, open, try_open};

/// Set for the child that holds a store: the directory.
const HOLD: &str = "SANDMILL_TEST_HOLD";

#[test]
fn the_second_writer_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let second = StoreConfig { wait: Duration::ZERO, ..config(dir.path()) };
    let error = Store::open(second.clone()).unwrap_err();
    let words = error.to_string();
    let StoreError::Held { pid, holder, dir: held, .. } = error else { panic!("{words}") };
    assert_eq!((pid, holder.as_str()), (std::process::id(), "a test"));
    assert_eq!(held, second.dir);
    for part in [&pid.to_string(), "a test", &held.display().to_string(), " UTC"] {
        assert!(words.contains(part), "{words}");
    }
    // Who looks who holds it is in nobody's way.
    drop(store);
    drop(Store::open(second).unwrap());
    let mode = dir.path().join("data").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// Not a test of its own: the child of the next one.
#[test]
fn child_that_holds_a_store() {
    let Some(dir) = std::env::var_os(HOLD) else { return };
    let _store = open(dir.as_ref());
    std::fs::write(std::path::Path::new(&dir).join("held"), "").unwrap();
    // Until it is killed; not for ever, should nobody do that.
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn another_process_is_refused_until_the_holder_is_dead_and_what_it_left_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lock::child_that_holds_a_store"])
        .env(HOLD, dir.path())
        .spawn()
        .unwrap();
    while !dir.path().join("held").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child did not hold the store");
        std::thread::sleep(Duration::from_millis(10));
    }
    let refused = StoreConfig { wait: Duration::ZERO, ..config(dir.path()) };
    let pid = child.id();
    assert!(matches!(
        Store::open(refused),
        Err(StoreError::Held { pid: held, .. }) if held == pid
    ));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(dir.path().join("data/lock").metadata().unwrap().len() > 0);
    open(dir.path());
}

#[test]
fn a_directory_that_others_can_see_is_taken_and_its_files_are_private_but_not_one_they_can_write_to()
 {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let permit = |mode| {
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o775, 0o757, 0o777] {
        permit(mode);
        let error = try_open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("chmod go-w"), "{error}");
        assert_eq!(data.read_dir().unwrap().count(), 0);
    }
    permit(0o755);
    let store = open(dir.path());
    drop(LogStore::open(&data));
    let mut seen = Vec::new();
    for entry in data.read_dir().unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{entry:?} has mode {mode:o}");
        seen.push(entry.file_name().into_string().unwrap());
    }
    for name in ["history.db", "history.db-wal", "history.db-shm", "logs.db", "lock", "blobs"] {
        assert!(seen.iter().any(|other| other == name), "there is no {name} in {seen:?}");
    }
    drop(store);
}

#[test]
fn requests_to_cancel_come_from_anywhere_and_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.cancel_requests().is_empty());
    let mut flows = [RunId::new(), RunId::new()];
    flows.sort_unstable();
    for flow in flows {
        Store::request_cancel(store.dir(), flow).unwrap();
        Store::request_cancel(store.dir(), flow).unwrap();
    }
    let requests = store.dir().join("requests");
    std::fs::write(requests.join("nonsense.cancel"), "").unwrap();
    std::fs::write(requests.join(".half"), "").unwrap();
    assert_eq!(store.cancel_requests(), flows);
    assert!(store.cancel_requests().is_empty());
}
