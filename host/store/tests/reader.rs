//! Reading a store through the face that people's commands use, while it is written and after.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use sandmill_core::{AttemptEnd, State, StateType, Timestamp, Usage};
use sandmill_store::{
    Created, EventCursor, FlowFilter, FlowSource, HistoryEvent, HistoryKind, Journal, NewFlow,
    Reader, RunEnd, RunFilter, RunKey, SourceComponent, StageRecord, Store, StoreConfig,
    StoreError,
};
use sandmill_wire::{Digest, End, EndKind, Outcome, RunId, Value};

struct Fixture {
    _root: tempfile::TempDir,
    dir: PathBuf,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        let store = open(&dir);
        Self { _root: root, dir, store }
    }

    fn reader(&self) -> Reader {
        self.store.sync().unwrap();
        Reader::open(&self.dir).unwrap()
    }

    fn create(&self, flow: NewFlow, created: Timestamp) -> Journal {
        match self.store.create_flow(flow, created).unwrap() {
            Created::New(journal) => journal,
            Created::Exists(run) => panic!("{run} has the key"),
        }
    }

    fn flow(&self, name: &str, created: u64) -> Journal {
        self.create(new_flow(name), at(created))
    }

    fn raw(&self) -> Connection {
        Connection::open(self.dir.join("history.db")).unwrap()
    }
}

fn open(dir: &Path) -> Store {
    let wait = Duration::from_secs(30);
    Store::open(StoreConfig { dir: dir.to_owned(), wait, holder: "a test".to_owned() }).unwrap()
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + micros)
}

fn new_flow(name: &str) -> NewFlow {
    NewFlow {
        run: RunId::new(),
        name: name.into(),
        source: FlowSource {
            text: Some("[flow]".to_owned()),
            path: "/flows/flow.toml".to_owned(),
            flow: None,
            parameters: Value::from_json_str(r#"{"dir":"/texts"}"#).unwrap(),
            components: Vec::new(),
            overrides: "{}".to_owned(),
            reuse_completed: false,
        },
        parent: None,
        based_on: None,
        idempotency_key: None,
        labels: Vec::new(),
    }
}

fn stage(number: u32, name: &str, mapped: bool, total: Option<u64>) -> StageRecord {
    let component = Some(Digest::of(b"component"));
    StageRecord { stage: number, name: name.into(), component, task: name.into(), mapped, total }
}

const fn key(stage: u32, index: u64) -> RunKey {
    RunKey { stage, index: Some(index) }
}

fn value(json: &str) -> Outcome {
    Outcome::Value(Value::from_json_str(json).unwrap())
}

fn submit(journal: &Journal, key: RunKey, time: u64) -> RunId {
    let run = RunId::new();
    journal.submitted(key, run, &Arc::from("count"), [7; 16], at(time));
    run
}

fn end(journal: &Journal, key: RunKey, run: RunId, outcome: &Outcome, time: u64) {
    let usage = Usage { wall_micros: 5, output: 3, ..Usage::default() };
    let end = RunEnd {
        state: State::from_outcome(outcome, at(time)),
        outcome: outcome.clone(),
        usage,
        attempts: 1,
        value_of: None,
        cache: None,
    };
    journal.ended(key, run, end);
}

/// Submitted at `time`, started one later, ended two later.
fn whole_run(journal: &Journal, key: RunKey, outcome: &Outcome, time: u64) -> RunId {
    let run = submit(journal, key, time);
    journal.state(key, run, &State::running(at(time + 1)));
    end(journal, key, run, outcome, time + 2);
    run
}

fn end_flow(journal: &Journal, outcome: &Outcome, time: u64) {
    journal.flow_ended(&State::from_outcome(outcome, at(time)), outcome);
}

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
    const NAME: &str = "without_permission_to_write_it_is_read_where_that_can_be";
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
    it.store.sync().unwrap();
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

#[test]
fn a_flow_run_is_shown_whole() {
    let it = Fixture::new();
    let digest = it.store.put_blob(b"the component").unwrap();
    let component = SourceComponent { name: "c".to_owned(), digest, origin: "c.wasm".to_owned() };
    let (parent, based_on) = (RunId::new(), RunId::new());
    let mut flow = new_flow("census");
    flow.source.components.push(component);
    let flow = NewFlow {
        parent: Some(parent),
        based_on: Some(based_on),
        idempotency_key: Some("once".to_owned()),
        labels: vec!["nightly".to_owned(), "eu \"west\"".to_owned()],
        ..flow
    };
    let run = flow.run;
    let journal = it.create(flow, at(0));
    journal.flow_state(&State::running(at(5)));
    let reader = it.reader();
    let record = reader.flow(run).unwrap().unwrap();
    assert_eq!((&*record.name, record.run, record.starts), ("census", run, 1));
    assert_eq!(record.state, State::running(at(5)));
    assert_eq!((record.created, record.started, record.ended), (at(0), Some(at(5)), None));
    assert_eq!((record.parent, record.based_on), (Some(parent), Some(based_on)));
    assert_eq!(record.labels, ["nightly", "eu \"west\""]);
    assert_eq!(record.idempotency_key.as_deref(), Some("once"));
    assert_eq!(reader.flow_outcome(run).unwrap(), None);

    let source = reader.source(run).unwrap();
    assert_eq!(source.components[0].digest, digest);
    assert_eq!(source.text.as_deref(), Some("[flow]"));
    assert_eq!(reader.blob(&digest).unwrap(), b"the component");
    assert!(matches!(reader.blob(&Digest::of(b"?")), Err(StoreError::NoBlob { .. })));

    // The same reader sees what is written later.
    let large = Outcome::Value(Value::encode(&"x".repeat(200_000)).unwrap());
    end_flow(&journal, &large, 9);
    it.store.sync().unwrap();
    let record = reader.flow(run).unwrap().unwrap();
    assert_eq!((record.state.kind, record.ended), (StateType::Completed, Some(at(9))));
    assert_eq!(reader.flow_outcome(run).unwrap(), Some(large));
    assert_eq!(reader.flow(RunId::new()).unwrap(), None);
    assert!(matches!(reader.stages(RunId::new()), Err(StoreError::NoSuchFlow { .. })));
}

#[test]
fn the_holder_is_told_and_a_flow_that_nobody_runs_is_interrupted() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.flow_state(&State::running(at(1)));
    journal.stage(&stage(0, "count", true, Some(2)));
    let open = submit(&journal, key(0, 0), 2);
    journal.state(key(0, 0), open, &State::running(at(3)));
    whole_run(&journal, key(0, 1), &value("1"), 2);
    let reader = it.reader();
    let holder = reader.holder().expect("the store is held");
    assert_eq!((holder.pid, &*holder.holder), (std::process::id(), "a test"));
    assert_eq!(reader.flow(flow).unwrap().unwrap().state.kind, StateType::Running);
    assert_eq!(reader.stages(flow).unwrap()[0].counts.running, 1);
    assert_eq!(reader.run(flow, key(0, 0)).unwrap().unwrap().state.kind, StateType::Running);

    // As a kill leaves it: written as running, and nobody there. A copy has no holder.
    let copy = it.dir.with_file_name("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["history.db", "history.db-wal", "lock"] {
        fs::copy(it.dir.join(file), copy.join(file)).unwrap();
    }
    let reader = Reader::open(&copy).unwrap();
    assert_eq!(reader.holder(), None);
    let state = reader.flow(flow).unwrap().unwrap().state;
    assert_eq!((state.kind, &*state.name), (StateType::Paused, "Interrupted"));
    assert!(state.message.unwrap().contains("went away"));
    let counts = reader.stages(flow).unwrap()[0].counts;
    assert_eq!((counts.running, counts.paused, counts.completed), (0, 1, 1));
    let runs = reader.runs(flow, &RunFilter::default()).unwrap();
    let kinds: Vec<StateType> = runs.iter().map(|run| run.state.kind).collect();
    assert_eq!(kinds, [StateType::Paused, StateType::Completed]);
    for (asked, flows, runs) in [
        (StateType::Running, 0, 0),
        (StateType::Paused, 1, 1),
        (StateType::Completed, 0, 1),
        (StateType::Failed, 0, 0),
    ] {
        let filter = FlowFilter { states: vec![asked], ..FlowFilter::default() };
        assert_eq!(reader.flows(&filter).unwrap().len(), flows, "{asked}");
        let filter = RunFilter { states: vec![asked], ..RunFilter::default() };
        assert_eq!(reader.runs(flow, &filter).unwrap().len(), runs, "{asked}");
    }
    // With somebody else in it, it is no more running than with nobody.
    let other = it.dir.with_file_name("other");
    drop(open_beside(&other, &it.dir));
    let reader = Reader::open(&other).unwrap();
    assert_eq!(reader.flow(flow).unwrap().unwrap().state.kind, StateType::Paused);
    drop(journal);
}

/// Opens a copy of a store for writing.
fn open_beside(copy: &Path, dir: &Path) -> Store {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(copy).unwrap();
    for file in ["history.db", "history.db-wal"] {
        fs::copy(dir.join(file), copy.join(file)).unwrap();
    }
    open(copy)
}

#[test]
fn flows_are_listed_newest_first_by_what_is_asked() {
    let it = Fixture::new();
    let parent = RunId::new();
    let mut journals = Vec::new();
    for (number, name) in ["census", "census-eu", "other", "census"].into_iter().enumerate() {
        let labels: Vec<String> =
            ["a", "b", "c"][..number].iter().map(ToString::to_string).collect();
        let parent = (number == 3).then_some(parent);
        journals.push(it.create(NewFlow { labels, parent, ..new_flow(name) }, at(number as u64)));
    }
    end_flow(&journals[0], &value("1"), 10);
    let failed = Outcome::Ended(End::new(EndKind::TimedOut, "too slow"));
    end_flow(&journals[1], &failed, 11);
    let reader = it.reader();
    let found = |filter: FlowFilter| -> Vec<usize> {
        let place = |run| journals.iter().position(|journal| journal.flow() == run).unwrap();
        reader.flows(&filter).unwrap().iter().map(|flow| place(flow.run)).collect()
    };
    let all = FlowFilter::default;
    assert_eq!(found(all()), [3, 2, 1, 0]);
    assert_eq!(found(FlowFilter { limit: 2, ..all() }), [3, 2]);
    let named = |name: &str| FlowFilter { name: Some(name.to_owned()), ..all() };
    assert_eq!(found(named("census")), [3, 0]);
    assert_eq!(found(named("census*")), [3, 1, 0]);
    assert_eq!(found(named("c?nsus-[ef]u")), [1]);
    assert_eq!(found(named("cens")), [0; 0]);
    let states = |states: &[StateType]| FlowFilter { states: states.to_vec(), ..all() };
    assert_eq!(found(states(&[StateType::Failed, StateType::Completed])), [1, 0]);
    assert_eq!(found(states(&[StateType::Pending])), [3, 2]);
    let labels = |labels: &[&str]| FlowFilter {
        labels: labels.iter().map(ToString::to_string).collect(),
        ..all()
    };
    assert_eq!(found(labels(&["a"])), [3, 2, 1]);
    assert_eq!(found(labels(&["c", "a"])), [3]);
    assert_eq!(found(FlowFilter { since: Some(at(1)), until: Some(at(3)), ..all() }), [2, 1]);
    assert_eq!(found(FlowFilter { parent: Some(parent), ..all() }), [3]);
}

#[test]
fn names_are_found_and_errors_name_candidates() {
    let it = Fixture::new();
    let id = |text: &str| -> RunId { text.parse().unwrap() };
    let (one, two) =
        (id("01939f3e-6c2a-7000-8000-000000000001"), id("01939f3e-6c2b-7000-8000-000000000002"));
    let first = it.create(NewFlow { run: one, ..new_flow("census") }, at(0));
    let second = it.create(NewFlow { run: two, ..new_flow("other") }, at(1));
    let sub = it.create(NewFlow { parent: Some(two), ..new_flow("sub") }, at(2));
    first.stage(&stage(0, "count", true, None));
    first.stage(&stage(1, "sum", false, None));
    let counted = whole_run(&first, key(0, 3), &value("1"), 5);
    let single = RunKey { stage: 1, index: None };
    whole_run(&first, single, &value("2"), 6);
    let reader = it.reader();
    for text in ["latest", "@", "01939f3e-6c2b", "01939F3E6C2B", &two.to_string()] {
        assert_eq!(reader.find_flow(text).unwrap(), two, "{text}");
    }
    let ambiguous = reader.find_flow("01939f3e").unwrap_err().to_string();
    for part in [&one.to_string(), &two.to_string(), "census", "more than one flow run"] {
        assert!(ambiguous.contains(part), "{ambiguous}");
    }
    for text in ["", "019", "census", "ffff0000", "0193%", "../x"] {
        let error = reader.find_flow(text).unwrap_err();
        assert!(matches!(error, StoreError::Unknown { .. }), "{text}: {error}");
    }
    for text in
        [format!("{one}/count[3]"), "01939f3e-6c2a/count[3]".to_owned(), counted.to_string()]
    {
        assert_eq!(reader.find_run(&text).unwrap(), (one, key(0, 3)), "{text}");
    }
    assert_eq!(reader.find_run(&format!("{one}/sum")).unwrap(), (one, single));
    for (name, hint) in [
        ("count", "name one of its runs, as count[0]"),
        ("sum[0]", "is no map"),
        ("count[9]", "was not submitted yet"),
        ("cuont[3]", "are count, sum"),
    ] {
        let error = reader.find_run(&format!("{one}/{name}")).unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
    let hint = reader.find_run("@/x").unwrap_err().to_string();
    assert!(hint.contains("has no tasks yet"), "{hint}");
    assert!(matches!(reader.find_run("latest"), Err(StoreError::Unknown { .. })));
    drop((second, sub));
}

#[test]
fn pages_of_runs_are_by_stage_and_position() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, Some(25)));
    journal.stage(&stage(1, "sum", false, None));
    let failed = Outcome::Ended(End::new(EndKind::OutOfMemory, "too much"));
    // In any order, as they end.
    for index in (0..25).rev() {
        let outcome = if index % 5 == 0 { failed.clone() } else { value("1") };
        whole_run(&journal, key(0, index), &outcome, 10 + index);
    }
    let single = RunKey { stage: 1, index: None };
    submit(&journal, single, 90);
    let reader = it.reader();
    let mut filter = RunFilter { limit: 10, ..RunFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = reader.runs(flow, &filter).unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 10);
        filter.after = Some(last.key);
        seen.extend(page.iter().map(|run| run.key));
    }
    let all: Vec<RunKey> = (0..25).map(|index| key(0, index)).chain([single]).collect();
    assert_eq!(seen, all);
    let found = |filter: RunFilter| -> Vec<Option<u64>> {
        reader.runs(flow, &filter).unwrap().iter().map(|run| run.key.index).collect()
    };
    let any = RunFilter::default;
    let failed = RunFilter { states: vec![StateType::Failed], ..any() };
    assert_eq!(found(failed), [Some(0), Some(5), Some(10), Some(15), Some(20)]);
    let range = RunFilter { indices: Some(3..6), ..any() };
    assert_eq!(found(range), [Some(3), Some(4), Some(5)]);
    assert_eq!(found(RunFilter { stage: Some("sum".to_owned()), ..any() }), [None]);
    assert_eq!(found(RunFilter { stage: Some("?".to_owned()), ..any() }), [None; 0]);
    assert_eq!(found(RunFilter { states: vec![StateType::Pending], ..any() }), [None]);

    let summary = &reader.stages(flow).unwrap()[0];
    assert_eq!((summary.counts.completed, summary.counts.failed), (20, 5));
    assert_eq!((summary.counts.all(), summary.counts.open()), (25, 0));
    assert_eq!(summary.names["OutOfMemory"], 5);
    assert_eq!((summary.busy_micros, summary.output), (125, 75));
    assert_eq!((summary.first_started, summary.last_ended), (Some(at(11)), Some(at(36))));
}

#[test]
fn attempts_are_all_told_the_last_one_from_the_runs_own_row() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    let (at_key, run) = (key(0, 0), RunId::new());
    journal.submitted(at_key, run, &Arc::from("count"), [0; 16], at(1));
    let attempt = |number: u32, outcome: &str, retry: bool| AttemptEnd {
        number,
        started: at(u64::from(number) * 10),
        ended: at(u64::from(number) * 10 + 5),
        outcome: outcome.to_owned(),
        message: (outcome != "value").then(|| "it took too long".into()),
        usage: Usage { wall_micros: number.into(), ..Usage::default() },
        retry_at: retry.then(|| at(u64::from(number) * 10 + 10)),
    };
    let attempts =
        [attempt(1, "timed-out", true), attempt(2, "timed-out", true), attempt(3, "value", false)];
    for attempt in &attempts {
        let state = if attempt.number == 1 { State::running } else { State::retrying };
        journal.state(at_key, run, &state(attempt.started));
        journal.attempt(at_key, run, attempt);
        if attempt.retry_at.is_some() {
            journal.state(at_key, run, &State::awaiting_retry(attempt.ended, "it took too long"));
        }
    }
    let end = RunEnd {
        state: State::from_outcome(&value("1"), at(35)),
        outcome: value("1"),
        usage: attempts[2].usage,
        attempts: 3,
        value_of: None,
        cache: None,
    };
    journal.ended(at_key, run, end);
    // One that needed no retry has no row but its own.
    let other =
        whole_run(&journal, key(0, 1), &Outcome::Ended(End::new(EndKind::TimedOut, "slow")), 50);
    let reader = it.reader();
    assert_eq!(reader.attempts(flow, at_key).unwrap(), attempts);
    let only = reader.attempts(flow, key(0, 1)).unwrap();
    assert_eq!(only.len(), 1);
    assert_eq!((only[0].number, &*only[0].outcome), (1, "timed-out"));
    assert_eq!((only[0].started, only[0].ended), (at(51), at(52)));
    assert_eq!(only[0].message.as_deref(), Some("slow"));
    assert_eq!(reader.attempts(flow, key(0, 9)).unwrap(), []);
    assert_eq!(reader.outcome(flow, at_key).unwrap(), Some(value("1")));
    assert_eq!(reader.outcome(flow, key(0, 9)).unwrap(), None);
    assert_eq!(reader.run(flow, key(0, 1)).unwrap().unwrap().run, other);
    // All of it, in order of time.
    let events = all_events(&reader, flow, 3);
    let told: Vec<(u64, String)> = events
        .iter()
        .filter(|event| event.run == Some((run, at_key)))
        .map(|event| (event.at.as_micros() - at(0).as_micros(), words(event)))
        .collect();
    let names = [
        (1, "Pending"),
        (10, "Running"),
        (15, "AwaitingRetry: it took too long"),
        (20, "Retrying"),
        (25, "AwaitingRetry: it took too long"),
        (30, "Retrying"),
        (35, "Completed"),
    ];
    assert_eq!(told, names.map(|(at, name)| (at, name.to_owned())));
}

fn words(event: &HistoryEvent) -> String {
    match &event.kind {
        HistoryKind::State(state) => state.to_string(),
        HistoryKind::Note { kind, message } => format!("{kind}: {message}"),
    }
}

fn all_events(reader: &Reader, flow: RunId, limit: usize) -> Vec<HistoryEvent> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let (events, cursor) = reader.events(flow, after.take(), limit).unwrap();
        assert!(events.len() <= limit);
        all.extend(events);
        if cursor.is_at_end() {
            return all;
        }
        after = Some(cursor);
    }
}

#[test]
fn everything_that_happened_is_told_in_order_of_time_once() {
    let it = Fixture::new();
    let (journal, other) = (it.flow("census", 0), it.flow("other", 0));
    let flow = journal.flow();
    journal.flow_state(&State::running(at(1)));
    for journal in [&journal, &other] {
        journal.stage(&stage(0, "count", true, None));
    }
    // Many overlap: each is submitted at 10 i and ends at 10 i + 95, amid those of another flow.
    let mut runs = Vec::new();
    for index in 0..3_000_u64 {
        let run = submit(&journal, key(0, index), 10 * index + 10);
        journal.state(key(0, index), run, &State::running(at(10 * index + 13)));
        runs.push(run);
        whole_run(&other, key(0, index), &value("1"), 10 * index);
        if let Some(before) = index.checked_sub(9) {
            let run = runs[usize::try_from(before).unwrap()];
            end(&journal, key(0, before), run, &value("1"), 10 * index + 15);
        }
    }
    for index in 2_991..3_000_u64 {
        let run = runs[usize::try_from(index).unwrap()];
        end(&journal, key(0, index), run, &value("1"), 10 * index + 105);
    }
    journal.note(at(40_000), "hook", "on_exit ended");
    end_flow(&journal, &value("3000"), 50_000);
    drop(other);
    let reader = it.reader();
    for limit in [1_000, 7_777] {
        let events = all_events(&reader, flow, limit);
        assert!(events.is_sorted_by_key(|event| event.at));
        // Three of each run, and of the flow run: pending, running, the note, the end.
        assert_eq!(events.len(), 3 * 3_000 + 4);
        let of_flow: Vec<String> =
            events.iter().filter(|event| event.run.is_none()).map(words).collect();
        assert_eq!(of_flow, ["Pending", "Running", "hook: on_exit ended", "Completed"]);
        let of_one: Vec<String> = events
            .iter()
            .filter(|event| event.run.is_some_and(|(run, _)| run == runs[100]))
            .map(words)
            .collect();
        assert_eq!(of_one, ["Pending", "Running", "Completed"]);
    }
}

#[test]
fn a_follower_gets_what_is_new_and_nothing_twice() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    let reader = it.reader();
    let mut cursor: Option<EventCursor> = None;
    let mut follow = || -> Vec<String> {
        it.store.sync().unwrap();
        let (events, next) = reader.events(flow, cursor.take(), 100).unwrap();
        assert!(next.is_at_end());
        cursor = Some(next);
        events.iter().map(words).collect()
    };
    assert_eq!(follow(), ["Pending"]);
    assert_eq!(follow(), [""; 0]);
    journal.flow_state(&State::running(at(1)));
    let run = submit(&journal, key(0, 0), 2);
    assert_eq!(follow(), ["Running", "Pending"]);
    journal.state(key(0, 0), run, &State::running(at(3)));
    let other = submit(&journal, key(0, 1), 4);
    assert_eq!(follow(), ["Running", "Pending"]);
    journal.state(key(0, 0), run, &State::awaiting_retry(at(5), "it broke"));
    journal.state(key(0, 0), run, &State::retrying(at(6)));
    assert_eq!(follow(), ["AwaitingRetry: it broke", "Retrying"]);
    journal.state(key(0, 1), other, &State::running(at(7)));
    end(&journal, key(0, 1), other, &value("1"), 8);
    end(&journal, key(0, 0), run, &value("1"), 9);
    assert_eq!(follow(), ["Running", "Completed", "Completed"]);
    journal.note(at(10), "hook", "on_exit ended");
    end_flow(&journal, &value("2"), 11);
    assert_eq!(follow(), ["hook: on_exit ended", "Completed"]);
    assert_eq!(follow(), [""; 0]);
}

#[test]
fn what_is_damaged_is_named_and_never_shown() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    whole_run(&journal, key(0, 0), &value("1"), 1);
    let large = Outcome::Value(Value::encode(&"x".repeat(200_000)).unwrap());
    whole_run(&journal, key(0, 1), &large, 5);
    end_flow(&journal, &value("2"), 11);
    let reader = it.reader();
    let damage = |sql: &str| {
        let raw = it.raw();
        raw.execute_batch("DROP TRIGGER IF EXISTS runs_are_final").unwrap();
        raw.execute_batch("DROP TRIGGER IF EXISTS flows_are_final").unwrap();
        raw.execute_batch(sql).unwrap();
    };
    let names_it = |error: StoreError| {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    };
    assert_eq!(reader.outcome(flow, key(0, 1)).unwrap(), Some(large));
    let hex = fs::read_dir(it.dir.join("blobs")).unwrap().next().unwrap().unwrap().path();
    let blob = fs::read_dir(hex).unwrap().next().unwrap().unwrap().path();
    fs::write(&blob, "something else").unwrap();
    names_it(reader.outcome(flow, key(0, 1)).unwrap_err());
    damage("UPDATE runs SET result = x'02' WHERE idx = 0");
    names_it(reader.outcome(flow, key(0, 0)).unwrap_err());
    names_it(reader.run(flow, key(0, 0)).unwrap_err());
    names_it(reader.runs(flow, &RunFilter::default()).unwrap_err());
    names_it(reader.events(flow, None, 100).unwrap_err());
    damage("UPDATE stages SET completed = completed + 1");
    names_it(reader.stages(flow).unwrap_err());
    damage("DELETE FROM stages");
    names_it(reader.stages(flow).unwrap_err());
    damage("UPDATE sources SET body = x'80'");
    names_it(reader.source(flow).unwrap_err());
    damage("UPDATE flows SET name = 'cencus'");
    names_it(reader.flow(flow).unwrap_err());
    names_it(reader.flows(&FlowFilter::default()).unwrap_err());
}

#[test]
fn what_is_deleted_is_seen_by_nobody() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    let run = whole_run(&journal, key(0, 0), &value("1"), 1);
    end_flow(&journal, &value("2"), 11);
    drop(journal);
    let reader = it.reader();
    let (_, cursor) = reader.events(flow, None, 2).unwrap();
    it.store.delete_flow(flow).unwrap();
    assert_eq!(reader.flow(flow).unwrap(), None);
    assert!(reader.flows(&FlowFilter::default()).unwrap().is_empty());
    for error in [
        reader.events(flow, Some(cursor), 10).map(drop).unwrap_err(),
        reader.outcome(flow, key(0, 0)).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NoSuchFlow { .. }), "{error}");
    }
    assert!(reader.find_flow("latest").is_err());
    assert!(reader.find_run(&run.to_string()).is_err());
}
