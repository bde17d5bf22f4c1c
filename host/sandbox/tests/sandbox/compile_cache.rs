//! The compile cache: a warm start uses it, and nothing that is not this user's own gets through.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::support::*;
use sandmill_core::{Component, Invoker as _};
use sandmill_sandbox::{CacheConfig, CacheDiagnosis, Sandbox, SandboxConfig};

fn sandbox_at(path: &Path) -> Sandbox {
    let cache = CacheConfig::Dir(path.to_owned());
    Sandbox::new(SandboxConfig { slots: 1, cache, ..SandboxConfig::default() }).unwrap()
}

fn counts(sandbox: &Sandbox) -> (u64, u64, u64) {
    match sandbox.diagnosis().cache {
        CacheDiagnosis::On { entries, hits, rejected, .. } => (entries, hits, rejected),
        CacheDiagnosis::Off { reason } => panic!("the cache is off: {reason}"),
    }
}

fn reason(path: &Path) -> String {
    let sandbox = sandbox_at(path);
    assert!(run(&sandbox, &call(&echo())).report.outcome.is_success());
    match sandbox.diagnosis().cache {
        CacheDiagnosis::Off { reason } => reason,
        on => panic!("the cache is on: {on:?}"),
    }
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(path.join("entries")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// A new cache that holds the echo.
fn filled(path: &Path) -> (Component, PathBuf) {
    let component = echo();
    sandbox_at(path).prepare(&component).unwrap();
    let [entry] = &entries(path)[..] else { panic!("there is one entry") };
    (component, entry.clone())
}

/// Prepares and runs the echo; answers with what the cache counted.
fn start(path: &Path, component: &Component) -> (u64, u64, u64) {
    let sandbox = sandbox_at(path);
    let info = sandbox.prepare(component).unwrap();
    assert_eq!(info.tasks[0].name, "t");
    assert!(run(&sandbox, &call(component)).report.outcome.is_success());
    counts(&sandbox)
}

#[test]
fn a_warm_start_compiles_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("a/b/cache");
    let (component, _) = filled(&path);
    assert_eq!(start(&path, &component), (1, 1, 0));
    for made in [&path, &path.join("entries")] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let key = fs::metadata(path.join("key")).unwrap();
    assert_eq!((key.permissions().mode() & 0o777, key.len()), (0o600, 32));
    // Another sandbox on the same engine, with a pool or without, uses the same entry.
    let cache = CacheConfig::Dir(path);
    let unpooled = SandboxConfig { pooling: false, cache, ..SandboxConfig::default() };
    let unpooled = Sandbox::new(unpooled).unwrap();
    unpooled.prepare(&component).unwrap();
    assert_eq!(counts(&unpooled), (1, 1, 0));
}

#[test]
fn metered_code_is_kept_apart() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("cache");
    let (component, _) = filled(&path);
    let with = sandmill_core::Limits { fuel: Some(1_000_000), ..Default::default() };
    let metered = call_with(&component, limits(with));
    let first = sandbox_at(&path);
    assert!(run(&first, &metered).report.outcome.is_success());
    assert_eq!(counts(&first), (2, 1, 0));
    let second = sandbox_at(&path);
    assert!(run(&second, &metered).report.usage.fuel.is_some());
    assert_eq!(counts(&second), (2, 2, 0));
}

#[test]
fn every_damage_is_seen_and_mended() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("cache");
    let (component, entry) = filled(&path);
    let whole = fs::read(&entry).unwrap();
    let step = whole.len() / 40;
    let flips = (0..whole.len()).step_by(step.max(1)).map(|index| {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x10;
        damaged
    });
    let cuts = [0, 1, 7, 39, 40, 47, 48, whole.len() / 2, whole.len() - 1];
    let cuts = cuts.map(|length| whole[..length].to_vec());
    let longer = [&whole[..], b"\0"].concat();
    for damaged in flips.chain(cuts).chain([longer]) {
        fs::write(&entry, &damaged).unwrap();
        assert_eq!(start(&path, &component), (1, 0, 1));
        assert_eq!(start(&path, &component), (1, 1, 0), "it was not mended");
    }
}

#[test]
fn an_entry_works_only_for_its_component_and_its_key() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("cache");
    let (component, entry) = filled(&path);
    let other = guest("", "", "(call $value (i32.const 17) (i32.const 1))");
    sandbox_at(&path).prepare(&other).unwrap();
    let other_entry = entries(&path).into_iter().find(|found| *found != entry).unwrap();
    fs::copy(&other_entry, &entry).unwrap();
    assert_eq!(start(&path, &component), (2, 0, 1));
    // A whole cache of somebody else's, valid under their key.
    let theirs = temporary.path().join("theirs");
    let (_, their_entry) = filled(&theirs);
    fs::copy(&their_entry, &entry).unwrap();
    assert_eq!(start(&path, &component), (2, 0, 1));
    // An entry that is a link is not followed.
    fs::remove_file(&entry).unwrap();
    symlink(&other_entry, &entry).unwrap();
    let (_, hits, _) = start(&path, &component);
    assert_eq!(hits, 0);
}

#[test]
fn an_unsafe_directory_is_not_used() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("cache");
    filled(&path);
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for inside in [&path, &path.join("entries")] {
        for mode in [0o777, 0o755, 0o770, 0o701] {
            set(inside, mode);
            assert!(reason(&path).contains("open to other users"));
        }
        set(inside, 0o700);
    }
    let key = path.join("key");
    set(&key, 0o644);
    assert!(reason(&path).contains("open to other users"));
    set(&key, 0o600);
    fs::write(&key, b"short").unwrap();
    assert!(reason(&path).contains("5 bytes"));

    let link = temporary.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(reason(&link).contains("link"));
    let file = temporary.path().join("file");
    fs::write(&file, b"").unwrap();
    reason(&file);
}

#[test]
fn many_sandboxes_fill_one_cache_together() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("cache");
    let component = echo();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let sandbox = sandbox_at(&path);
                assert!(run(&sandbox, &call(&component)).report.outcome.is_success());
            });
        }
    });
    assert_eq!(start(&path, &component), (1, 1, 0));
}

#[test]
fn threads_of_one_sandbox_compile_once() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("cache");
    let (component, _) = filled(&path);
    let sandbox = sandbox_at(&path);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| sandbox.prepare(&component).unwrap());
        }
    });
    assert_eq!(counts(&sandbox), (1, 1, 0));
}
