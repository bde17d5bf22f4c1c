//! Opening database files: settings, versions of the schema, and what errors mean. What is in the
//! tables is not here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use crate::failpoint::hit;
use crate::lock::private_file;

/// The database of the history, in the data directory.
pub(crate) const HISTORY: &str = "history.db";

/// By which a store is told from any other SQLite database: `SNDM`.
pub(crate) const APPLICATION_ID: i32 = 0x534e_444d;

/// The steps from an empty database to the schema of today, oldest first. The version of a schema
/// is how many of them it has. One that was released is never changed.
pub(crate) const MIGRATIONS: &[&str] =
    &[include_str!("../migrations/0001_history.sql"), include_str!("../migrations/0002_cache.sql")];

/// How long one connection waits for another.
const BUSY: Duration = Duration::from_secs(10);

/// Pages of the write-ahead log after which it is put into the database (16 MiB).
const CHECKPOINT_PAGES: u32 = 4096;

/// Bytes that the write-ahead log is cut to once it is in the database.
const MAX_IDLE_LOG: u32 = 64 * 1024 * 1024;

/// What makes a connection look at the file at all.
const FIRST_LOOK: &str = "SELECT count(*) FROM sqlite_schema";

/// Statements that are kept prepared for each connection.
const STATEMENTS: usize = 64;

/// Opens a database file for the one writer, and makes it if need be. Nothing is changed in one
/// that a newer version wrote.
pub(crate) fn open_writer(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let fault = |error| StoreError::sqlite(path, error);
    let known = migrations.len() as i64;
    if path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        // By a connection that cannot write: closing one that can may put a write-ahead log into
        // the database.
        let looker = look(path)?;
        check_version(&looker, path, known)?;
    }
    private_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(path, flags)?;
    let settings = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = {MAX_IDLE_LOG}; \
         PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;"
    );
    connection.execute_batch(&settings).map_err(fault)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(fault)?;
    if mode != "wal" {
        let message = format!("it has no write-ahead log but journal mode {mode}");
        return Err(StoreError::Damaged { path: path.to_owned(), message });
    }
    let version = version(&connection, path)?;
    if version < known {
        hit("store-migrating");
        let transaction = connection.transaction().map_err(fault)?;
        for migration in migrations.iter().skip(usize::try_from(version).unwrap_or(0)) {
            transaction.execute_batch(migration).map_err(fault)?;
        }
        transaction.pragma_update(None, "user_version", known).map_err(fault)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
        transaction.commit().map_err(fault)?;
        hit("store-migrated");
    }
    Ok(connection)
}

/// Closes the writer's connection. Where nobody else reads the file by then, its write-ahead log
/// goes into it and away. `is_whole`: no write has failed for good. It never fails: what is in the
/// log is on disk as it is.
pub(crate) fn close_writer(writer: Connection, is_whole: bool) {
    if is_whole {
        // Who still reads is not waited for.
        let _ = writer.busy_timeout(Duration::ZERO);
        let _ = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    drop(writer);
}

/// Opens a database file that is there, for reading.
pub(crate) fn open_reader(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let connection = look(path)?;
    check_version(&connection, path, migrations.len() as i64)?;
    Ok(connection)
}

/// Connects for reading. A process that was killed while it made the file has left a journal of
/// what to undo, which is before there is a write-ahead log: it is undone first, because nobody can
/// read until then, and no reader can do it.
fn look(path: &Path) -> Result<Connection, StoreError> {
    let first = |connection: &Connection| connection.query_row(FIRST_LOOK, [], |_| Ok(()));
    let looker = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    match first(&looker) {
        Err(error)
            if error.sqlite_error_code() == Some(ErrorCode::ReadOnly)
                && Path::new(&journal).exists() =>
        {
            drop(looker);
            let undoer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            first(&undoer).map_err(|error| StoreError::sqlite(path, error))?;
            drop(undoer);
            connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        }
        // Whoever asks for something will see what is wrong.
        _ => Ok(looker),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let fault = |error| StoreError::sqlite(path, error);
    // Every connection is used by one thread at a time.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(resolved(path)?, flags).map_err(fault)?;
    settle(&connection, path)?;
    Ok(connection)
}

/// The same file by a way without links. SQLite is told to follow none, because the file itself
/// must not be one; but people keep their directories behind links.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf, StoreError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(path.to_owned());
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let dir = dir.canonicalize().map_err(|error| StoreError::io(path, error))?;
    Ok(dir.join(name))
}

/// Sets up a connection for reading that was opened in another way, and looks at the version.
pub(crate) fn prepare_reader(
    connection: &Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    settle(connection, path)?;
    check_version(connection, path, migrations.len() as i64)
}

fn settle(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let fault = |error| StoreError::sqlite(path, error);
    connection.busy_timeout(BUSY).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // What a damaged file says is not to be believed: neither its schema nor the sizes of cells.
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
        .map_err(fault)
}

fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))
}

fn check_version(connection: &Connection, path: &Path, known: i64) -> Result<(), StoreError> {
    let damaged = |message: &str| {
        Err(StoreError::Damaged { path: path.to_owned(), message: message.to_owned() })
    };
    let found = version(connection, path)?;
    let application: i32 = connection
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))?;
    match (found, application) {
        // Made and not yet filled: whoever made it was stopped there.
        (0, 0) => {
            let tables: i64 = connection
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(|error| StoreError::sqlite(path, error))?;
            if tables == 0 { Ok(()) } else { damaged("it is the database of something else") }
        }
        (_, application) if application != APPLICATION_ID => {
            damaged("it is the database of something else")
        }
        (found, _) if found > known => {
            Err(StoreError::TooNew { found, known, path: path.to_owned() })
        }
        (found, _) if found < 1 => damaged("it has no version"),
        _ => Ok(()),
    }
}
