//! Reading logs, beside whoever writes them. How a file is opened for reading is in
//! `reader::open`, together with that of the store.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandmill_core::{LogLevel, LogLine, Progress, Timestamp};
use sandmill_wire::RunId;

use super::file;
use super::writer::{id, number};
use crate::StoreError;
use crate::reader::open_read_only;

/// Most lines that one call gives: more is asked for with the cursor.
pub const MAX_LOG_PAGE: usize = 10_000;

/// Whose lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogScope {
    /// Those of all runs of a flow run, and its own.
    Flow(RunId),
    /// Those of one run.
    Run(RunId),
}

/// A place among the lines: what comes after it is new to its holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor(i64);

/// Which lines.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery {
    /// Whose.
    pub scope: LogScope,
    /// Only what came after; from the first line by default.
    pub after: LogCursor,
    /// Only lines that matter at least so much.
    pub level: LogLevel,
    /// How many at most, up to [`MAX_LOG_PAGE`].
    pub limit: usize,
}

impl LogQuery {
    /// All lines, from the first, a page at a time.
    #[must_use]
    pub const fn new(scope: LogScope) -> Self {
        Self { scope, after: LogCursor(0), level: LogLevel::Trace, limit: MAX_LOG_PAGE }
    }
}

/// One line that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// When.
    pub at: Timestamp,
    /// The run that wrote it.
    pub run: RunId,
    /// The flow run that this one is part of; the run itself where it is part of none.
    pub flow: RunId,
    /// What it says.
    pub line: LogLine,
}

/// How far a run had come when it last said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressRecord {
    /// When.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// How far.
    pub progress: Progress,
}

/// Reads the logs in a data directory, while others write them or nobody does. Where there are
/// none yet, it answers with none.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl LogReader {
    /// A reader of the logs in this directory. They are opened when they are first asked for, and
    /// may come to be later.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join(file::LOGS_FILE), connection: Mutex::default() }
    }

    /// The next lines in the order in which they were written, and where to go on: the same place
    /// when there are none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&self, query: &LogQuery) -> Result<(Vec<LogRecord>, LogCursor), StoreError> {
        let sql = "WHERE {column} = ? AND sequence > ? AND level >= ?
                   ORDER BY sequence LIMIT ?";
        let found = self.select(query, sql, query.after.0)?;
        let cursor = found.last().map_or(query.after, |(sequence, _)| LogCursor(*sequence));
        Ok((found.into_iter().map(|(_, record)| record).collect(), cursor))
    }

    /// The last lines before the end, in the order in which they were written, and where to go on
    /// from there. What the query is to come after is not looked at.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last(&self, query: &LogQuery) -> Result<(Vec<LogRecord>, LogCursor), StoreError> {
        let sql = "WHERE {column} = ? AND sequence <= ? AND level >= ?
                   ORDER BY sequence DESC LIMIT ?";
        let found = self.select(query, sql, i64::MAX)?;
        let cursor = found.first().map_or(query.after, |(sequence, _)| LogCursor(*sequence));
        Ok((found.into_iter().rev().map(|(_, record)| record).collect(), cursor))
    }

    /// How far a run had come when it last said so.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn progress(&self, run: RunId) -> Result<Option<ProgressRecord>, StoreError> {
        self.with(|connection| {
            let sql = "SELECT at, done, total, message FROM progress WHERE run = ?";
            let mut statement = connection.prepare_cached(sql)?;
            statement
                .query_row([id(&run)], |row| {
                    Ok(ProgressRecord {
                        at: Timestamp::from_micros(unsigned(row.get(0)?)),
                        run,
                        progress: Progress {
                            done: unsigned(row.get(1)?),
                            total: row.get::<_, Option<i64>>(2)?.map(unsigned),
                            message: row.get(3)?,
                        },
                    })
                })
                .optional()
        })
        .map(Option::flatten)
    }

    fn select(
        &self,
        query: &LogQuery,
        condition: &str,
        place: i64,
    ) -> Result<Vec<(i64, LogRecord)>, StoreError> {
        let (column, run) = match query.scope {
            LogScope::Flow(run) => ("flow", run),
            LogScope::Run(run) => ("run", run),
        };
        let condition = condition.replace("{column}", column);
        let sql = format!(
            "SELECT sequence, flow, run, at, source, level, message FROM lines {condition}"
        );
        let limit = query.limit.min(MAX_LOG_PAGE) as u64;
        let level = file::level_number(query.level);
        self.with(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows =
                statement.query_map(params![id(&run), place, level, number(limit)], record)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .map(Option::unwrap_or_default)
    }

    /// Does something with the file; none where there is no file.
    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut connection = self.connection.lock();
        if connection.is_none() {
            *connection = open_read_only(&self.path, file::MIGRATIONS)?;
        }
        let Some(opened) = connection.as_ref() else { return Ok(None) };
        let result = read(opened).map_err(|error| StoreError::sqlite(&self.path, error));
        if result.is_err() {
            // The next one is not to suffer from what became of this connection.
            *connection = None;
        }
        result.map(Some)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<(i64, LogRecord)> {
    let run = |column: usize| -> rusqlite::Result<RunId> {
        Ok(RunId::from_bytes(row.get::<_, [u8; 16]>(column)?))
    };
    let unknown =
        |column: usize, number: i64| rusqlite::Error::IntegralValueOutOfRange(column, number);
    let (source, level): (i64, i64) = (row.get(4)?, row.get(5)?);
    let record = LogRecord {
        flow: run(1)?,
        run: run(2)?,
        at: Timestamp::from_micros(unsigned(row.get(3)?)),
        line: LogLine {
            source: file::source_of(source).ok_or_else(|| unknown(4, source))?,
            level: file::level_of(level).ok_or_else(|| unknown(5, level))?,
            message: row.get(6)?,
        },
    };
    Ok((row.get(0)?, record))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
