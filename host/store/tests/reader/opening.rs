//! Directories that can be read, and those that cannot.

use std::fs;
use std::path::Path;

use sandmill_store::{Created, FlowFilter, Reader, StoreError};

use crate::common::{Fixture, at, new_flow, open};

#[test]
fn where_there_is_no_store_it_says_so() {
    let root = tempfile::tempdir().unwrap();
    for dir in [root.path().to_owned(), root.path().join("nowhere")] {
        let error = Reader::open(&dir).unwrap_err();
        assert!(matches!(error, StoreError::NoStore { .. }), "{error}");
        assert!(error.to_string().contains("there is no run history"));
    }
    fs::write(root.path().join("history.db"), "this is not a database, whatever its name").unwrap();
    assert!(matches!(Reader::open(root.path()), Err(StoreError::Damaged { .. })));
    assert!(!root.path().join("lock").exists(), "reading makes nothing");
}

#[test]
fn a_directory_behind_a_link_is_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let real = root.path().join("real");
    fs::create_dir(&real).unwrap();
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let dir = link.join("data");
    let store = open(&dir);
    let Created::New(journal) = store.create_flow(new_flow("census"), at(0)).unwrap() else {
        panic!("there was no flow run before")
    };
    let reader = Reader::open(&dir).unwrap();
    assert!(reader.flow(journal.flow()).unwrap().is_some());
}

/// Says to the child of a test which directory it is to read.
const READ_ONLY: &str = "SANDMILL_TEST_READ_ONLY";

#[test]
fn without_permission_to_write_it_is_read_where_that_can_be() {
    const NAME: &str = "opening::without_permission_to_write_it_is_read_where_that_can_be";
    if let Some(dir) = std::env::var_os(READ_ONLY) {
        let dir = Path::new(&dir);
        assert!(fs::write(dir.join("new"), "").is_err(), "it can be written to");
        let opened = Reader::open(dir);
        if dir.join("history.db-wal").exists() {
            // Some of it is in the write-ahead log, and nobody can tell how much.
            assert!(matches!(opened, Err(StoreError::Unwritable { .. })), "{opened:?}");
        } else {
            assert_eq!(opened.unwrap().flows(&FlowFilter::default()).unwrap().len(), 1);
        }
        return;
    }
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    it.store.sync(None).unwrap();
    let left = it.dir.with_file_name("left");
    fs::create_dir(&left).unwrap();
    for file in ["history.db", "history.db-wal"] {
        fs::copy(it.dir.join(file), left.join(file)).unwrap();
    }
    let Fixture { _root: root, dir, store } = it;
    drop(journal);
    drop(store);
    assert!(!dir.join("history.db-wal").exists());
    // A test that is run by root becomes somebody else, who may not see where it was built.
    let program = root.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let permit = |path: &Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, mode).unwrap();
    };
    permit(root.path(), 0o755);
    for dir in [&dir, &left] {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let is_dir = entry.metadata().unwrap().is_dir();
            permit(&entry.path(), if is_dir { 0o555 } else { 0o444 });
        }
        permit(dir, 0o555);
        let mut child = std::process::Command::new(&program);
        child.args(["--exact", NAME, "--nocapture"]).env(READ_ONLY, dir);
        if rustix::process::geteuid().is_root() {
            use std::os::unix::process::CommandExt as _;
            child.uid(65_534).gid(65_534);
        }
        let output = child.current_dir(root.path()).output().unwrap();
        permit(dir, 0o755);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}
