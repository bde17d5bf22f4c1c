//! Logs as runs write them and people read them: through events into the file, and back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sandmill_core::{
    Clock, EventKind, Events, LogLevel, LogLine, LogSource, Progress, State, Submitted, Timestamp,
};
use sandmill_store::{
    LOGS_FILE, LogCursor, LogQuery, LogReader, LogScope, LogStore, MAX_QUEUED_LOG_BYTES,
};
use sandmill_wire::RunId;

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(60);

struct Fixture {
    dir: tempfile::TempDir,
    clock: Clock,
    events: Events,
    store: LogStore,
}

impl Fixture {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    fn within(dir: tempfile::TempDir) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_000));
        let events = Events::new(clock.clone());
        let store = LogStore::open(dir.path());
        events.observe(store.sink());
        Self { dir, clock, events, store }
    }

    fn reader(&self) -> LogReader {
        LogReader::new(self.dir.path())
    }

    fn submit(&self, flow: RunId) -> RunId {
        let run = RunId::new();
        self.events.emit(run, || {
            EventKind::Submitted(Submitted {
                name: "count[3]".into(),
                stage: "count".into(),
                map_index: Some(3),
                parent: Some(flow),
                component: None,
            })
        });
        run
    }

    fn line(&self, run: RunId, level: LogLevel, message: impl Into<String>) {
        self.clock.advance(Duration::from_micros(1));
        let message = message.into();
        self.events
            .emit(run, || EventKind::Log(LogLine { source: LogSource::Log, level, message }));
    }

    fn flush(&self) {
        assert!(self.store.flush(LONG), "the writer is stuck");
        assert_eq!(self.store.take_fault(), None);
    }
}

fn texts(reader: &LogReader, query: &LogQuery) -> (Vec<String>, LogCursor) {
    let (lines, cursor) = reader.lines(query).unwrap();
    (lines.into_iter().map(|record| record.line.message).collect(), cursor)
}

#[test]
fn lines_come_back_by_flow_and_by_run_in_their_order() {
    let it = Fixture::new();
    let (flow, other) = (RunId::new(), RunId::new());
    let (one, two, alien) = (it.submit(flow), it.submit(flow), it.submit(other));
    it.line(one, LogLevel::Info, "a");
    it.line(two, LogLevel::Debug, "b");
    it.line(alien, LogLevel::Error, "not ours");
    it.line(flow, LogLevel::Warn, "of the flow itself");
    it.line(one, LogLevel::Error, "c\nwith a line break and \u{1b}[31m");
    it.flush();
    let reader = it.reader();
    let (records, _) = reader.lines(&LogQuery::new(LogScope::Flow(flow))).unwrap();
    let seen: Vec<_> = records.iter().map(|it| (it.run, it.flow, it.at.as_micros())).collect();
    assert_eq!(
        seen,
        [(one, flow, 1_001), (two, flow, 1_002), (flow, flow, 1_004), (one, flow, 1_005)]
    );
    assert_eq!(records[3].line.message, "c\nwith a line break and \u{1b}[31m");
    assert_eq!((records[1].line.level, records[1].line.source), (LogLevel::Debug, LogSource::Log));

    let of_one = LogQuery::new(LogScope::Run(one));
    assert_eq!(texts(&reader, &of_one).0.len(), 2);
    let severe = LogQuery { level: LogLevel::Warn, ..LogQuery::new(LogScope::Flow(flow)) };
    assert_eq!(texts(&reader, &severe).0.len(), 2);
}

#[test]
fn a_follower_gets_each_line_once() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    let reader = it.reader();
    let mut query = LogQuery { limit: 3, ..LogQuery::new(LogScope::Flow(flow)) };
    let mut seen = Vec::new();
    for round in 0..4 {
        for number in 0..5 {
            it.line(run, LogLevel::Info, format!("{round}.{number}"));
        }
        it.flush();
        loop {
            let (lines, cursor) = texts(&reader, &query);
            query.after = cursor;
            if lines.is_empty() {
                break;
            }
            assert!(lines.len() <= 3);
            seen.extend(lines);
        }
    }
    let all: Vec<String> =
        (0..4).flat_map(|round| (0..5).map(move |number| format!("{round}.{number}"))).collect();
    assert_eq!(seen, all);
    // The last ones, and on from there.
    let (last, cursor) = reader.last(&query).unwrap();
    assert_eq!(last.iter().map(|it| &*it.line.message).collect::<Vec<_>>(), ["3.2", "3.3", "3.4"]);
    assert_eq!(cursor, query.after);
}

#[test]
fn only_the_newest_progress_of_a_run_is_kept() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    for done in 0..=100 {
        let progress = Progress { done, total: Some(100), message: format!("at {done}") };
        it.events.emit(run, || EventKind::Progress(progress));
    }
    it.flush();
    let newest = it.reader().progress(run).unwrap().unwrap();
    assert_eq!(newest.progress, Progress { done: 100, total: Some(100), message: "at 100".into() });
    let rows: i64 = raw(it.dir.path())
        .query_row("SELECT count(*) FROM progress", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn where_nothing_was_logged_there_is_nothing_to_read() {
    let dir = tempfile::tempdir().unwrap();
    let reader = LogReader::new(dir.path());
    let flow = RunId::new();
    assert_eq!(texts(&reader, &LogQuery::new(LogScope::Flow(flow))).0, [""; 0]);
    assert_eq!(reader.progress(flow).unwrap(), None);
    // The same reader sees logs that come to be later.
    let it = Fixture::within(dir);
    let run = it.submit(flow);
    it.line(run, LogLevel::Info, "late");
    it.flush();
    assert_eq!(texts(&reader, &LogQuery::new(LogScope::Flow(flow))).0, ["late"]);
}

#[test]
fn a_flow_and_all_of_its_lines_go_together() {
    let it = Fixture::new();
    let (gone, kept) = (RunId::new(), RunId::new());
    let (run, other) = (it.submit(gone), it.submit(kept));
    for number in 0..1_000 {
        it.line(run, LogLevel::Info, format!("{number}"));
    }
    it.line(other, LogLevel::Info, "stays");
    it.events.emit(run, || {
        EventKind::Progress(Progress { done: 1, total: None, message: String::new() })
    });
    assert_eq!(it.store.delete(&[gone]).unwrap(), 1_000);
    let reader = it.reader();
    assert!(texts(&reader, &LogQuery::new(LogScope::Flow(gone))).0.is_empty());
    assert!(texts(&reader, &LogQuery::new(LogScope::Run(run))).0.is_empty());
    assert_eq!(reader.progress(run).unwrap(), None);
    assert_eq!(texts(&reader, &LogQuery::new(LogScope::Flow(kept))).0, ["stays"]);
    assert_eq!(it.store.delete(&[gone]).unwrap(), 0);
}

#[test]
fn runs_that_have_ended_are_forgotten() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    it.line(run, LogLevel::Info, "before");
    let ended = sandmill_wire::Outcome::Value(sandmill_wire::Value::nil());
    let state = State::from_outcome(&ended, it.clock.now());
    it.events.emit(run, || EventKind::State(state));
    // Nobody knows any more which flow it was of.
    it.line(run, LogLevel::Info, "after");
    it.flush();
    assert_eq!(texts(&it.reader(), &LogQuery::new(LogScope::Flow(flow))).0, ["before"]);
    assert_eq!(texts(&it.reader(), &LogQuery::new(LogScope::Run(run))).0, ["before", "after"]);
}

#[test]
fn what_waits_is_written_before_the_store_goes() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    for number in 0..500 {
        it.line(run, LogLevel::Info, format!("{number}"));
    }
    let reader = it.reader();
    let Fixture { dir: _dir, store, .. } = it;
    drop(store);
    assert_eq!(texts(&reader, &LogQuery::new(LogScope::Flow(flow))).0.len(), 500);
}

#[test]
fn lines_without_room_are_dropped_and_counted_and_nobody_waits() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    it.line(run, LogLevel::Info, "first");
    it.flush();
    // Somebody else writes, and takes their time.
    let blocker = raw(it.dir.path());
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let text = "x".repeat(16 << 10);
    let pushed = 3 * MAX_QUEUED_LOG_BYTES / text.len();
    let begun = Instant::now();
    for _ in 0..pushed {
        it.line(run, LogLevel::Info, text.clone());
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "logging waited for the disk");
    blocker.execute_batch("COMMIT").unwrap();
    it.flush();
    let reader = it.reader();
    let (mut kept, mut dropped) = (0, 0);
    let mut query = LogQuery { limit: 500, ..LogQuery::new(LogScope::Run(run)) };
    loop {
        let (lines, cursor) = reader.lines(&query).unwrap();
        query.after = cursor;
        if lines.is_empty() {
            break;
        }
        for record in lines {
            if record.line.source == LogSource::Host {
                let number = record.line.message.split(' ').next().unwrap();
                dropped += number.parse::<usize>().unwrap();
                assert_eq!(record.flow, flow);
            } else {
                kept += 1;
            }
        }
    }
    assert!(dropped >= pushed / 3, "{dropped} of {pushed} lines were dropped");
    assert_eq!(kept + dropped, pushed + 1);
}

#[test]
fn what_cannot_be_written_is_said_once_and_counted() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    let other = raw(it.dir.path());
    other.execute_batch("ALTER TABLE lines RENAME TO elsewhere").unwrap();
    for _ in 0..3 {
        it.line(run, LogLevel::Info, "lost");
        assert!(it.store.flush(LONG));
    }
    let fault = it.store.take_fault().expect("nothing was said");
    assert!(fault.contains("logs cannot be written"), "{fault}");
    assert_eq!(it.store.take_fault(), None, "it is said once");
    other.execute_batch("ALTER TABLE elsewhere RENAME TO lines").unwrap();
    it.line(run, LogLevel::Info, "kept");
    assert!(it.store.flush(LONG));
    let (lines, _) = texts(&it.reader(), &LogQuery::new(LogScope::Run(run)));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "kept");
    assert!(lines[1].starts_with("3 lines were dropped"), "{lines:?}");
}

#[test]
fn a_damaged_file_is_put_aside_and_logging_goes_on() {
    for damage in [&b"this was never a database, and it is long enough to look at"[..], &[0; 9000]]
    {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOGS_FILE), damage).unwrap();
        let it = Fixture::within(dir);
        let run = it.submit(RunId::new());
        it.line(run, LogLevel::Info, "after");
        assert!(it.store.flush(LONG));
        let fault = it.store.take_fault().expect("nothing was said");
        assert!(fault.contains("logs.db is damaged"), "{fault}");
        assert_eq!(fs::read(it.dir.path().join("logs.db.damaged")).unwrap(), damage);
        assert_eq!(texts(&it.reader(), &LogQuery::new(LogScope::Run(run))).0, ["after"]);
    }
}

#[test]
fn damage_while_it_is_open_ends_logging_and_nothing_else() {
    let it = Fixture::new();
    let flow = RunId::new();
    let run = it.submit(flow);
    for number in 0..2_000 {
        it.line(run, LogLevel::Info, format!("{number}"));
    }
    it.flush();
    raw(it.dir.path()).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    // Every page but the first is nonsense now.
    let path = it.dir.path().join(LOGS_FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let begun = Instant::now();
    while it.store.take_fault().is_none() {
        assert!(begun.elapsed() < LONG, "the damage went unnoticed");
        it.line(run, LogLevel::Info, "more");
        it.store.flush(Duration::from_millis(100));
    }
    // A run goes on logging, and a reader hears of the damage.
    for _ in 0..100_000 {
        it.line(run, LogLevel::Info, "nobody minds");
    }
    assert!(it.reader().lines(&LogQuery::new(LogScope::Flow(flow))).is_err());
}

#[test]
fn where_logs_cannot_be_opened_runs_do_not_mind() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(&dir.path().join("not/there"));
    let fault = store.take_fault().expect("nothing was said");
    assert!(fault.starts_with("logs are not kept: "), "{fault}");
    let events = Events::new(Clock::system());
    events.observe(store.sink());
    let line = LogLine { source: LogSource::Stdout, level: LogLevel::Info, message: "x".into() };
    for _ in 0..1_000 {
        events.emit(RunId::new(), || EventKind::Log(line.clone()));
    }
    assert!(!store.flush(LONG));
    assert!(store.delete(&[RunId::new()]).is_err());
    assert_eq!(store.take_fault(), None);
}

#[test]
fn many_threads_log_at_once() {
    let it = Arc::new(Fixture::new());
    let flow = RunId::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let it = Arc::clone(&it);
            scope.spawn(move || {
                let run = it.submit(flow);
                for number in 0..500 {
                    it.line(run, LogLevel::Info, format!("{number}"));
                }
            });
        }
    });
    it.flush();
    let (records, _) = it.reader().lines(&LogQuery::new(LogScope::Flow(flow))).unwrap();
    assert_eq!(records.len(), 8 * 500);
    assert!(records.is_sorted_by_key(|record| record.at), "they are not in order of time");
}

fn raw(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join(LOGS_FILE)).unwrap();
    connection.busy_timeout(LONG).unwrap();
    connection
}
