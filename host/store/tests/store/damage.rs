//! Rot: every byte of a small store flipped, the file cut at many lengths, blobs swapped. What is
//! read is right, or is said to be damaged; it is never wrong, and nothing panics.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sandmill_core::State;
use sandmill_store::{Journal, MAX_INLINE_RESULT, Recorded, RunKey, Store, StoreError};
use sandmill_wire::{Outcome, RunId};

use crate::common::{
    at, create, failed, key, new_flow, open, run_through, stage, submit, try_open, value,
};

/// What a small store holds, as whoever takes its flow up has to find it.
struct Sample {
    dir: tempfile::TempDir,
    flow: RunId,
    runs: BTreeMap<RunKey, Recorded>,
    steps: Vec<(u64, Vec<u8>)>,
}

impl Sample {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        // What is of others must not lead astray either: their rows come before and after.
        let before = other(&store, "before");
        let journal = create(&store, new_flow("sample"));
        let mut runs = BTreeMap::new();
        journal.flow_state(&State::running(at(1)));
        journal.stage(&stage(0, "work"));
        journal.stage(&stage(1, "more"));
        let outcomes = [
            Outcome::Value(value(1, 3)),
            failed("no time"),
            Outcome::Value(value(2, MAX_INLINE_RESULT + 5)),
            Outcome::Value(value(3, MAX_INLINE_RESULT + 6)),
            Outcome::Value(value(4, 40)),
        ];
        for (index, outcome) in (0..).zip(&outcomes) {
            for stage in [0, 1] {
                let run = run_through(&journal, key(stage, index), outcome.clone());
                let recorded =
                    Recorded::Ended { run, arguments: [7; 16], outcome: outcome.clone() };
                runs.insert(key(stage, index), recorded);
            }
        }
        let run = RunId::new();
        submit(&journal, key(1, 9), run);
        runs.insert(key(1, 9), Recorded::Unfinished { run, attempts: 0 });
        let steps: Vec<(u64, Vec<u8>)> = (0..4).map(|seq| (seq, vec![3; 20])).collect();
        for (seq, body) in &steps {
            journal.step(*seq, body.clone());
        }
        let flow = journal.flow();
        other(&store, "after");
        leave(store, journal);
        drop(before);
        Self { dir, flow, runs, steps }
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("data/history.db")
    }

    /// Opens the store and reads everything. Whether anything was said to be damaged.
    fn read(&self, what: &str) -> bool {
        let store = match try_open(self.dir.path()) {
            Ok(store) => store,
            Err(error) => return clean(&error, what),
        };
        let journal = match store.take_up(self.flow, at(50)) {
            Ok(journal) => journal,
            Err(error) => return clean(&error, what),
        };
        let damaged = self.compare(&journal, what);
        leave(store, journal);
        damaged
    }

    fn compare(&self, journal: &Journal, what: &str) -> bool {
        let mut damaged = false;
        for (key, expected) in &self.runs {
            match journal.recorded(*key) {
                Ok(Some(Recorded::Corrupt { .. })) => damaged = true,
                Ok(recorded) => assert_eq!(recorded.as_ref(), Some(expected), "{what}: {key:?}"),
                Err(error) => damaged |= clean(&error, what),
            }
        }
        match journal.steps(0, 100) {
            Ok(steps) => assert_eq!(steps, self.steps, "{what}"),
            Err(error) => damaged |= clean(&error, what),
        }
        damaged
    }
}

/// Whether an error is one that a damaged file may lead to: anything but a wait that does not end.
fn clean(error: &StoreError, what: &str) -> bool {
    let words = error.to_string();
    assert!(!words.is_empty(), "{what}");
    assert!(!matches!(error, StoreError::Held { .. } | StoreError::Full { .. }), "{what}: {words}");
    true
}

/// A flow run with a little of everything, that is not asked for.
fn other(store: &Store, name: &str) -> Journal {
    let journal = create(store, new_flow(name));
    journal.stage(&stage(0, "work"));
    journal.stage(&stage(1, "more"));
    for index in 0..3 {
        run_through(&journal, key(1, index), Outcome::Value(value(index, 3)));
        journal.step(index, vec![1; 4]);
    }
    journal
}

fn leave(store: Store, journal: Journal) {
    drop(journal);
    store.close();
}

/// Puts the store back as it was.
struct Files(Vec<(PathBuf, Vec<u8>)>, PathBuf);

impl Files {
    fn of(data: &Path) -> Self {
        let mut files = Vec::new();
        for entry in walk(data) {
            let bytes = fs::read(&entry).unwrap();
            files.push((entry, bytes));
        }
        Self(files, data.to_owned())
    }

    fn restore(&self) {
        for file in walk(&self.1) {
            if !self.0.iter().any(|(path, _)| *path == file) {
                fs::remove_file(file).unwrap();
            }
        }
        for (path, bytes) in &self.0 {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Bytes between two that are flipped in one run of the test; each run of it takes others. A run
/// over every byte takes minutes: `SANDMILL_FLIP_EVERY=1`.
const FLIP_EVERY: usize = 61;

/// A number that a person may set for the test.
fn asked_for(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|number| number.parse().ok())
}

/// Where the bytes begin that are flipped. Other ones in each run of the tests, and the same can
/// be had again: `SANDMILL_FLIP_START`.
fn flip_start(every: usize) -> usize {
    let any = RunId::new().as_uuid().as_u128() % every as u128;
    asked_for("SANDMILL_FLIP_START").unwrap_or(any as usize) % every
}

#[test]
fn no_flipped_byte_of_the_history_leads_to_a_wrong_answer() {
    let sample = Sample::new();
    let files = Files::of(&sample.dir.path().join("data"));
    assert!(!sample.read("the store as it was"));
    files.restore();
    let whole = fs::read(sample.database()).unwrap();
    let every = asked_for("SANDMILL_FLIP_EVERY").unwrap_or(FLIP_EVERY).max(1);
    let start = flip_start(every);
    let again = format!("SANDMILL_FLIP_EVERY={every} SANDMILL_FLIP_START={start}");
    // Much of a page is free; what is written is of interest.
    let places: Vec<usize> =
        (0..whole.len()).filter(|place| whole[*place] != 0 || place % 16 == 0).collect();
    let (mut damaged, mut flipped, mut wrong) = (0, 0, Vec::new());
    for place in places.iter().skip(start).step_by(every) {
        for mask in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[*place] ^= mask;
            fs::write(sample.database(), &bytes).unwrap();
            let what = format!("byte {place} ^ {mask:#x}");
            // All of them are of interest, not only the first.
            match catch_unwind(AssertUnwindSafe(|| sample.read(&what))) {
                Ok(noticed) => damaged += usize::from(noticed),
                Err(_) => wrong.push(what),
            }
            flipped += 1;
            files.restore();
        }
    }
    assert!(wrong.is_empty(), "{again}: of {flipped} flips {}: {wrong:#?}", wrong.len());
    assert!(damaged > 0, "{again}: of {flipped} flips none was noticed");
    assert!(!sample.read("the store as it was"));
}

#[test]
fn no_cut_off_history_leads_to_a_wrong_answer() {
    let sample = Sample::new();
    let files = Files::of(&sample.dir.path().join("data"));
    let whole = fs::read(sample.database()).unwrap();
    let mut damaged = 0;
    for length in (1..whole.len()).step_by(4096 - 511) {
        fs::write(sample.database(), &whole[..length]).unwrap();
        // What is cut off may be of no interest here: the index of names of blobs, say.
        damaged += usize::from(sample.read(&format!("cut to {length} bytes")));
        files.restore();
    }
    assert!(damaged > 10, "only {damaged} cuts were noticed");
    assert!(!sample.read("the store as it was"));
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_none() {
    let sample = Sample::new();
    let data = sample.dir.path().join("data");
    let files = Files::of(&data);
    let blobs = walk(&data.join("blobs"));
    assert_eq!(blobs.len(), 2, "two runs of each share one");
    let is_corrupt = |index: u64| {
        let store = open(sample.dir.path());
        let journal = store.take_up(sample.flow, at(9)).unwrap();
        let recorded = journal.recorded(key(0, index)).unwrap();
        leave(store, journal);
        match recorded {
            Some(Recorded::Corrupt { run, what }) => {
                let run = run.unwrap().to_string();
                assert!(what.contains(&run) && what.contains("sha256:"), "{what}");
                true
            }
            recorded => {
                assert_eq!(recorded.as_ref(), Some(&sample.runs[&key(0, index)]));
                false
            }
        }
    };
    let (first, second) = (fs::read(&blobs[0]).unwrap(), fs::read(&blobs[1]).unwrap());
    for place in (0..first.len()).step_by(first.len() / 40) {
        let mut bytes = first.clone();
        bytes[place] ^= 0x10;
        fs::write(&blobs[0], bytes).unwrap();
        let found = [is_corrupt(2), is_corrupt(3)];
        assert_eq!(found.iter().filter(|is| **is).count(), 1, "byte {place}");
    }
    for length in [0, 1, first.len() - 1] {
        fs::write(&blobs[0], &first[..length]).unwrap();
        assert!(is_corrupt(2) != is_corrupt(3), "{length} bytes");
    }
    fs::write(&blobs[0], &second).unwrap();
    fs::write(&blobs[1], &first).unwrap();
    assert!(is_corrupt(2) && is_corrupt(3), "swapped");
    fs::remove_file(&blobs[0]).unwrap();
    fs::remove_file(&blobs[1]).unwrap();
    assert!(is_corrupt(2) && is_corrupt(3), "gone");
    files.restore();
    assert!(!is_corrupt(2) && !is_corrupt(3));
}

#[test]
fn a_run_whose_record_is_damaged_is_made_anew_in_its_place() {
    let sample = Sample::new();
    let rot = |sql: &str| {
        let connection = crate::common::sql(sample.dir.path());
        connection.execute_batch("DROP TRIGGER IF EXISTS runs_are_final").unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
    };
    rot("UPDATE runs SET result = x'2a' WHERE stage = 0 AND idx = 0");
    rot("UPDATE runs SET state = 3, state_name = 'Completed' WHERE stage = 0 AND idx = 1");
    for blob in walk(&sample.dir.path().join("data/blobs")) {
        fs::write(blob, "rotten").unwrap();
    }
    let store = open(sample.dir.path());
    let journal = store.take_up(sample.flow, at(9)).unwrap();
    for index in [0, 1, 2] {
        let recorded = journal.recorded(key(0, index)).unwrap();
        assert!(matches!(recorded, Some(Recorded::Corrupt { .. })), "{index}: {recorded:?}");
        let run = run_through(&journal, key(0, index), Outcome::Value(value(100 + index, 9)));
        journal.sync(None).unwrap();
        let outcome = Outcome::Value(value(100 + index, 9));
        let expected = Recorded::Ended { run, arguments: [7; 16], outcome };
        assert_eq!(journal.recorded(key(0, index)).unwrap(), Some(expected));
    }
    // One that is whole stays, whatever is said of it.
    run_through(&journal, key(0, 4), Outcome::Value(value(999, 9)));
    journal.sync(None).unwrap();
    assert_eq!(journal.recorded(key(0, 4)).unwrap().as_ref(), Some(&sample.runs[&key(0, 4)]));
    // The counts are right again, whatever the damaged rows said.
    let of_stage = "stages WHERE stage = 0 AND completed = 5 AND failed = 0";
    assert_eq!(crate::common::count(sample.dir.path(), of_stage), 1);
    leave(store, journal);
    drop(open(sample.dir.path()).take_up(sample.flow, at(10)).unwrap());
}

#[test]
fn a_flow_run_is_a_basis_for_others_without_its_steps_and_cannot_go_on_without_them() {
    let sample = Sample::new();
    let connection = crate::common::sql(sample.dir.path());
    let id = sample.flow.as_uuid().as_bytes().to_vec();
    let of_it = "flow = (SELECT id FROM flows WHERE run = ?)";
    connection.execute_batch("DROP TRIGGER IF EXISTS steps_stay").unwrap();
    let gone = connection.execute(&format!("DELETE FROM steps WHERE {of_it} AND seq = 2"), [&id]);
    assert_eq!(gone.unwrap(), 1);
    drop(connection);
    let store = open(sample.dir.path());
    let error = store.take_up(sample.flow, at(9)).unwrap_err();
    assert!(error.to_string().contains("steps"), "{error}");
    let journal = create(&store, new_flow("based"));
    let earlier = journal.recorded_of(sample.flow, "work", Some(0)).unwrap().unwrap();
    assert_eq!(Some(&earlier.recorded), sample.runs.get(&key(0, 0)));
    leave(store, journal);
}

#[test]
fn a_tree_of_flow_runs_has_those_whose_records_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tree = vec![create(&store, new_flow("root")).flow()];
    for depth in 0..3 {
        let mut part = new_flow("part");
        part.parent = Some(tree[depth]);
        tree.push(create(&store, part).flow());
    }
    drop(create(&store, new_flow("other")));
    store.close();
    let connection = crate::common::sql(dir.path());
    let rotten = tree[2].as_uuid().as_bytes().to_vec();
    let rot = "UPDATE flows SET name = 'rot' WHERE run = ?";
    assert_eq!(connection.execute(rot, [rotten]).unwrap(), 1);
    drop(connection);
    let store = open(dir.path());
    let reader = sandmill_store::Reader::open(store.dir()).unwrap();
    assert!(reader.flow(tree[2]).is_err());
    assert_eq!(reader.flow_tree(tree[0]).unwrap(), tree);
    drop(reader);
    assert_eq!(store.delete_flow(tree[0]).unwrap().flows, 4);
}
