//! Opening a database for reading, whoever owns it and whether it can be written to or not.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::StoreError;
use crate::db;

/// Opens a database file for reading; none where there is none, or nothing in it yet.
///
/// A database with a write-ahead log needs two files beside it even for reading. Where they cannot
/// be made because the directory cannot be written to, and no log is there, nobody is writing and
/// the database is read as one that does not change.
pub(crate) fn open_read_only(
    path: &Path,
    migrations: &[&str],
) -> Result<Option<Connection>, StoreError> {
    match path.metadata() {
        Ok(metadata) if metadata.len() == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path, error)),
    }
    let opened = match db::open_reader(path, migrations) {
        Err(StoreError::Sqlite { source, .. }) if is_for_want_of_writing(&source) => {
            open_unchanging(path, migrations)?
        }
        other => other?,
    };
    // Whoever makes a store makes its tables and its version in one step: before that it is empty.
    let version: i64 = opened
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))?;
    Ok((version > 0).then_some(opened))
}

fn is_for_want_of_writing(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn open_unchanging(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).metadata().is_ok_and(|metadata| metadata.len() > 0) {
        return Err(StoreError::Unwritable { path: path.to_owned() });
    }
    let fault = |error| StoreError::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection =
        Connection::open_with_flags(uri(&db::resolved(path)?), flags).map_err(fault)?;
    db::prepare_reader(&connection, path, migrations)?;
    Ok(connection)
}

/// The name of a file that does not change, as SQLite reads it.
fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_survive_being_written_as_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a ?b#c%20d é&e=f.db");
        let made = Connection::open(&path).unwrap();
        made.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (7)").unwrap();
        drop(made);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let read = Connection::open_with_flags(uri(&path), flags).unwrap();
        let seven: i64 = read.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(seven, 7);
    }
}
