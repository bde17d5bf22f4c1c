//! The file of logs: how it is opened for writing, and the numbers that stand for words in it. Who
//! writes to it is in `writer`, who reads it in `reader`.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use sandmill_core::{LogLevel, LogSource};

use crate::StoreError;
use crate::db;
use crate::lock::private_file;

/// The name of the file in the data directory.
pub const LOGS_FILE: &str = "logs.db";
/// What a file of logs that cannot be read is called once it was put aside.
const DAMAGED_FILE: &str = "logs.db.damaged";
/// What SQLite keeps beside a file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// The steps from an empty file to the schema of today, oldest first.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("../../migrations/logs/0001_lines.sql")];

/// Whether this says that the bytes of a database are not what they should be.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the file for writing, and makes it where there is none. One that is damaged is put aside
/// and begun anew: the words say so.
pub(super) fn open(dir: &Path) -> Result<(Connection, Option<String>), StoreError> {
    match open_once(dir) {
        Err(error @ StoreError::Damaged { .. }) => {
            put_aside(dir)?;
            let words = format!("{error}; it is now {DAMAGED_FILE}, and logs were begun anew");
            Ok((open_once(dir)?, Some(words)))
        }
        other => other.map(|connection| (connection, None)),
    }
}

fn open_once(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(LOGS_FILE);
    let fault = |error| StoreError::sqlite(&path, error);
    if path.metadata().map_or(0, |metadata| metadata.len()) == 0 {
        // So that what is deleted can be given back to the file system. It has to be said before
        // anything else is in the file, and stays.
        let settings = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;";
        private_file(&path)?;
        Connection::open(&path).and_then(|new| new.execute_batch(settings)).map_err(fault)?;
    }
    let connection = db::open_writer(&path, MIGRATIONS)?;
    // A power cut may take the last lines with it, and never the file: nothing is acknowledged on
    // the strength of a log line, and an fsync for each batch would only slow down the states'.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(fault)?;
    Ok(connection)
}

/// Gives a damaged file another name. An older one that was put aside makes room: two say no more
/// than one.
fn put_aside(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(LOGS_FILE);
    for companion in COMPANIONS {
        // Mostly there is none.
        let _ = std::fs::remove_file(dir.join(format!("{LOGS_FILE}{companion}")));
    }
    std::fs::rename(&path, dir.join(DAMAGED_FILE)).map_err(|error| StoreError::io(&path, error))
}

/// The number by which a source is kept.
pub(super) const fn source_number(source: LogSource) -> i64 {
    match source {
        LogSource::Log => 0,
        LogSource::Stdout => 1,
        LogSource::Stderr => 2,
        LogSource::Host => 3,
    }
}

/// The source that a number stands for.
pub(super) const fn source_of(number: i64) -> Option<LogSource> {
    Some(match number {
        0 => LogSource::Log,
        1 => LogSource::Stdout,
        2 => LogSource::Stderr,
        3 => LogSource::Host,
        _ => return None,
    })
}

/// The number by which a level is kept: higher ones matter more.
pub(super) const fn level_number(level: LogLevel) -> i64 {
    match level {
        LogLevel::Trace => 0,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
    }
}

/// The level that a number stands for.
pub(super) const fn level_of(number: i64) -> Option<LogLevel> {
    Some(match number {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        _ => return None,
    })
}
