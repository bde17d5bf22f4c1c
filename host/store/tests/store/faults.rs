//! Full disks, and a writer that does not keep up.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use sandmill_core::{CancelToken, State};
use sandmill_store::{
    Health, Journal, MAX_BACKLOG, MAX_INLINE_RESULT, Recorded, Store, StoreError,
};
use sandmill_wire::{Outcome, RunId};

use crate::common::{
    at, count, create, key, new_flow, open, run_through, sql, stage, submit, value,
};

const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn poll_room(journal: &Journal, flag: &Arc<Flag>) -> Poll<()> {
    journal.poll_room(&mut Context::from_waker(&Waker::from(Arc::clone(flag))))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file system of its own, so small that it is soon full. None where this user may not make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .output()
            .expect("there is a `mount`");
        if mount.status.success() {
            return Some(Self(dir));
        }
        let words = String::from_utf8_lossy(&mount.stderr).into_owned();
        let refused = ["permission denied", "only root", "must be superuser", "not permitted"];
        let is_refused = refused.iter().any(|part| words.to_lowercase().contains(part));
        assert!(is_refused, "the disk cannot be mounted: {words}");
        let words =
            format!("a test of full disks is skipped, since only root may mount: {words}\n");
        std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()).unwrap();
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Gives the disk as much room as anybody needs here.
fn disk_grows(disk: &SmallDisk) {
    let options = ["-o", "remount,size=64m"];
    let done = Command::new("mount").args(options).arg(disk.path()).status().unwrap();
    assert!(done.success(), "the disk cannot be made larger");
}

/// Fills the disk up to the last byte.
fn fill(disk: &Path) -> std::path::PathBuf {
    use std::io::Write as _;
    let path = disk.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    for size in [65_536, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

fn is_full(store: &Store) -> bool {
    matches!(store.health(), Health::Full { .. })
}

#[test]
fn a_full_disk_stops_the_intake_and_everything_is_there_once_there_is_room() {
    let Some(disk) = SmallDisk::new("size=4m") else { return };
    let store = open(disk.path());
    let journal = create(&store, new_flow("full"));
    let flow = journal.flow();
    journal.stage(&stage(0, "work"));
    journal.sync(None).unwrap();
    let filler = fill(disk.path());
    let mut runs = Vec::new();
    for index in 0..3000 {
        runs.push(run_through(&journal, key(0, index), Outcome::Value(value(index, 100))));
    }
    let large = value(9, 2 * MAX_INLINE_RESULT);
    run_through(&journal, key(1, 0), Outcome::Value(large.clone()));
    wait_until("a full disk", || is_full(&store));
    let flag = Arc::new(Flag::default());
    for index in 3000..MAX_BACKLOG as u64 {
        submit(&journal, key(0, index), RunId::new());
    }
    assert!(poll_room(&journal, &flag).is_pending());
    // Whoever waits for an answer is told at once; whoever can be cancelled, when it is.
    let refused = store.create_flow(new_flow("another"), at(1));
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    let cancel = CancelToken::new();
    cancel.cancel();
    assert!(matches!(journal.sync(Some(&cancel)), Err(StoreError::Cancelled)));
    let nobody = CancelToken::new();
    std::fs::remove_file(filler).unwrap();
    // The rest does not fit a disk of this size, so it is made larger rather than waited for.
    let larger =
        Command::new("mount").args(["-o", "remount,size=256m"]).arg(disk.path()).status().unwrap();
    assert!(larger.success());
    journal.sync(Some(&nobody)).unwrap();
    assert!(matches!(store.health(), Health::Good));
    wait_until("room", || flag.0.load(Ordering::SeqCst));
    assert!(poll_room(&journal, &flag).is_ready());
    for (index, run) in runs.iter().enumerate() {
        let recorded = journal.recorded(key(0, index as u64)).unwrap();
        let Some(Recorded::Ended { run: found, outcome, .. }) = recorded else {
            panic!("run {index}: {recorded:?}")
        };
        assert_eq!((found, outcome), (*run, Outcome::Value(value(index as u64, 100))));
    }
    let Some(Recorded::Ended { outcome, .. }) = journal.recorded(key(1, 0)).unwrap() else {
        panic!("the large value is lost")
    };
    assert_eq!(outcome, Outcome::Value(large));
    drop(journal);
    store.close();
    drop(open(disk.path()).take_up(flow, at(5)).unwrap());
}

#[test]
fn how_a_run_ended_is_known_to_its_journal_while_the_disk_is_full() {
    let Some(disk) = SmallDisk::new("size=4m") else { return };
    let store = open(disk.path());
    let journal = create(&store, new_flow("full"));
    journal.stage(&stage(0, "work"));
    journal.sync(None).unwrap();
    let filler = fill(disk.path());
    // Of several, since the log may have room for the first ones.
    let outcome = |index| Outcome::Value(value(index, 3000));
    let mut runs = Vec::new();
    for index in 0..2000 {
        runs.push(run_through(&journal, key(0, index), outcome(index)));
    }
    wait_until("the disk is full", || is_full(&store));
    let at_once = CancelToken::new();
    at_once.cancel();
    assert!(matches!(store.sync(Some(&at_once)), Err(StoreError::Cancelled)));
    for (index, run) in (0..).zip(&runs) {
        let found = match journal.ended_lately(key(0, index)) {
            Some((run, outcome)) => Some(Recorded::Ended { run, arguments: [7; 16], outcome }),
            None => journal.recorded(key(0, index)).unwrap(),
        };
        let arguments = [7; 16];
        let expected = Recorded::Ended { run: *run, arguments, outcome: outcome(index) };
        assert_eq!(found, Some(expected), "{index}");
    }
    assert!(journal.ended_lately(key(0, 1999)).is_some());
    std::fs::remove_file(filler).unwrap();
    disk_grows(&disk);
    journal.sync(None).unwrap();
    // What is on disk is no more held in memory.
    assert_eq!(journal.ended_lately(key(0, 1999)), None);
    assert!(journal.recorded(key(0, 1999)).unwrap().is_some());
}

#[test]
fn a_store_is_closed_on_a_full_disk_without_waiting_for_room() {
    let Some(disk) = SmallDisk::new("size=2m") else { return };
    let store = open(disk.path());
    let journal = create(&store, new_flow("full"));
    run_through(&journal, key(0, 0), Outcome::Value(value(1, 1)));
    journal.sync(None).unwrap();
    let filler = fill(disk.path());
    for index in 1..5000 {
        run_through(&journal, key(0, index), Outcome::Value(value(1, 100)));
    }
    wait_until("a full disk", || is_full(&store));
    let began = Instant::now();
    store.clone().close();
    assert!(began.elapsed() < DEADLINE);
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(matches!(journal.sync(None), Err(StoreError::Failed(_))));
    assert!(poll_room(&journal, &Arc::new(Flag::default())).is_ready());
    let flow = journal.flow();
    drop(journal);
    std::fs::remove_file(filler).unwrap();
    let journal = open(disk.path()).take_up(flow, at(3)).unwrap();
    assert!(matches!(journal.recorded(key(0, 0)).unwrap(), Some(Recorded::Ended { .. })));
    assert_eq!(journal.recorded(key(0, 4999)).unwrap(), None);
}

#[test]
fn a_disk_without_inodes_is_as_full_as_one_without_room() {
    let Some(disk) = SmallDisk::new("size=16m,nr_inodes=32") else { return };
    let store = open(disk.path());
    let journal = create(&store, new_flow("inodes"));
    journal.sync(None).unwrap();
    let mut files = Vec::new();
    for number in 0.. {
        let path = disk.path().join(format!("file-{number}"));
        if std::fs::File::create(&path).is_err() {
            break;
        }
        files.push(path);
    }
    let large = value(1, 2 * MAX_INLINE_RESULT);
    run_through(&journal, key(0, 0), Outcome::Value(large.clone()));
    wait_until("a full disk", || is_full(&store));
    assert_eq!(journal.recorded(key(0, 0)).unwrap(), None);
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
    journal.sync(None).unwrap();
    let recorded = journal.recorded(key(0, 0)).unwrap();
    assert!(
        matches!(recorded, Some(Recorded::Ended { outcome: Outcome::Value(v), .. }) if v == large)
    );
}

#[test]
fn flows_are_asked_to_wait_while_the_writer_does_not_keep_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("stalled"));
    let flag = Arc::new(Flag::default());
    // Somebody else's transaction stalls the writer, well within how long it waits for that.
    let other = sql(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(poll_room(&journal, &flag).is_ready());
    let run = RunId::new();
    submit(&journal, key(0, 0), run);
    for _ in 0..=MAX_BACKLOG {
        journal.state(key(0, 0), run, &State::running(at(2)));
    }
    assert!(journal.backlog() > MAX_BACKLOG);
    assert!(poll_room(&journal, &flag).is_pending());
    assert!(!flag.0.load(Ordering::SeqCst));
    other.execute_batch("COMMIT").unwrap();
    journal.sync(None).unwrap();
    assert!(flag.0.load(Ordering::SeqCst), "nobody said that there is room");
    assert!(poll_room(&journal, &flag).is_ready());
    assert_eq!(journal.backlog(), 0);
    // Bytes count as well as records.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let large = value(1, 8 * 1024 * 1024);
    for index in 1..=9 {
        run_through(&journal, key(0, index), Outcome::Value(large.clone()));
    }
    assert!(poll_room(&journal, &flag).is_pending());
    other.execute_batch("COMMIT").unwrap();
    journal.sync(None).unwrap();
    assert_eq!(count(dir.path(), "runs"), 10);
}

#[test]
fn a_store_that_has_failed_says_so_to_everybody_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let journal = create(&store, new_flow("failing"));
    journal.sync(None).unwrap();
    // A table that is gone is no want of room, and trying again does not help.
    sql(dir.path()).execute_batch("DROP TABLE notes").unwrap();
    journal.note(at(1), "hook", "words");
    let error = journal.sync(None).unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
    assert!(error.to_string().contains("notes"), "{error}");
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(journal.failure().is_some());
    submit(&journal, key(0, 0), RunId::new());
    assert_eq!(journal.backlog(), 0);
    assert!(matches!(store.create_flow(new_flow("x"), at(1)), Err(StoreError::Failed(_))));
    drop(journal);
    store.close();
}
