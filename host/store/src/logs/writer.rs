//! The thread that writes logs, a batch at a time. Whatever goes wrong costs lines and nothing
//! else.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, params};
use sandmill_core::{LogLevel, LogLine, LogSource, Timestamp};
use sandmill_wire::RunId;

use super::file;
use super::queue::{Batch, Line, NewestProgress, Owner, Queue};

/// Lines that one transaction deletes: so many are away in a few milliseconds, and the lines that
/// come meanwhile wait no longer than that.
const DELETED_AT_A_TIME: i64 = 20_000;
/// Free pages that are given back to the file system after a deletion, at a time.
const VACUUMED_PAGES: u32 = 4_096;

/// The first thing that went wrong, until somebody asks.
#[derive(Debug, Default)]
pub(super) struct Fault(Mutex<(bool, Option<String>)>);

impl Fault {
    /// Keeps the words, if they are the first.
    pub(super) fn note(&self, words: String) {
        let mut fault = self.0.lock();
        if !fault.0 {
            *fault = (true, Some(words));
        }
    }

    /// The words, the first time.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().1.take()
    }
}

/// Writes until the queue is closed, or the file turns out to be damaged.
pub(super) fn write_all(connection: &mut Connection, queue: &Arc<Queue>, fault: &Fault) {
    while let Some(mut batch) = queue.take() {
        let deletions = std::mem::take(&mut batch.deletions);
        let written = if batch.has_text() { write(connection, &batch) } else { Ok(()) };
        let mut damaged = false;
        match written {
            Ok(()) => queue.done([]),
            Err(error) => {
                damaged = file::is_damage(&error);
                fault.note(format!("logs cannot be written: {error}"));
                queue.done(counts(&batch));
            }
        }
        for deletion in deletions {
            let deleted = delete(connection, &deletion.flows).map_err(|error| {
                damaged |= file::is_damage(&error);
                error.to_string()
            });
            // Whoever asked may have gone.
            let _ = deletion.answer.send(deleted);
        }
        // Writing on would only make it worse.
        if damaged {
            return;
        }
    }
}

/// How many lines of each run are in a batch.
fn counts(batch: &Batch) -> Vec<(Owner, u64, Timestamp)> {
    let mut counts: HashMap<Owner, (u64, Timestamp)> = batch.dropped.clone();
    for line in &batch.lines {
        let count = counts.entry(line.owner).or_insert((0, line.at));
        *count = (count.0.saturating_add(1), count.1.max(line.at));
    }
    counts.into_iter().map(|(owner, (count, at))| (owner, count, at)).collect()
}

fn write(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for line in &batch.lines {
        insert(&transaction, line)?;
    }
    for (&owner, &(count, at)) in &batch.dropped {
        insert(&transaction, &Line { owner, at, line: dropped(count) })?;
    }
    for progress in batch.progress.values() {
        update(&transaction, progress)?;
    }
    transaction.commit()
}

/// The line that says how many were dropped.
fn dropped(count: u64) -> LogLine {
    let lines = if count == 1 { "1 line was".to_owned() } else { format!("{count} lines were") };
    let message = format!("{lines} dropped here: the log could not be written as fast");
    LogLine { source: LogSource::Host, level: LogLevel::Warn, message }
}

fn insert(transaction: &Transaction<'_>, line: &Line) -> rusqlite::Result<()> {
    let sql = "INSERT INTO lines (flow, run, at, source, level, message) VALUES (?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![
        id(&line.owner.flow),
        id(&line.owner.run),
        number(line.at.as_micros()),
        file::source_number(line.line.source),
        file::level_number(line.line.level),
        line.line.message,
    ])?;
    Ok(())
}

fn update(transaction: &Transaction<'_>, newest: &NewestProgress) -> rusqlite::Result<()> {
    let sql = "REPLACE INTO progress (run, flow, at, done, total, message)
               VALUES (?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![
        id(&newest.owner.run),
        id(&newest.owner.flow),
        number(newest.at.as_micros()),
        number(newest.progress.done),
        newest.progress.total.map(number),
        newest.progress.message,
    ])?;
    Ok(())
}

/// Deletes what belongs to these flow runs, and answers how many lines it were.
fn delete(connection: &mut Connection, flows: &[RunId]) -> rusqlite::Result<u64> {
    let mut deleted = 0;
    for flow in flows {
        loop {
            let sql = "DELETE FROM lines WHERE sequence IN
                       (SELECT sequence FROM lines WHERE flow = ? LIMIT ?)";
            let some =
                connection.prepare_cached(sql)?.execute(params![id(flow), DELETED_AT_A_TIME])?;
            deleted += some as u64;
            if some == 0 {
                break;
            }
        }
        connection.prepare_cached("DELETE FROM progress WHERE flow = ?")?.execute([id(flow)])?;
    }
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUMED_PAGES})"))?;
    Ok(deleted)
}

/// The bytes of an id.
pub(super) fn id(run: &RunId) -> &[u8] {
    run.as_uuid().as_bytes()
}

/// A number as SQLite has it. None of ours gets near its end.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
