//! Everything that can go wrong with a store, in words. What is done about it is not here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandmill_core::{StateType, Timestamp};
use sandmill_wire::{Digest, RunId};

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process writes to the directory.
    #[error(
        "the data directory {} is in use by process {pid} ({holder}) since {}: wait for it, stop \
         it, or use another directory",
        dir.display(), Moment(*since)
    )]
    Held {
        /// The process; 0 when it has not said so yet.
        pid: u32,
        /// What it is, by its own word.
        holder: String,
        /// Since when it holds the directory.
        since: Timestamp,
        /// The directory.
        dir: PathBuf,
    },
    /// A later version of Sandmill wrote the store. Nothing was changed.
    #[error(
        "{} was written by a newer version of sandmill (schema {found}; this one knows up to \
         {known}): use that version, or another data directory", path.display()
    )]
    TooNew {
        /// The version of its schema.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
        /// The file.
        path: PathBuf,
    },
    /// A record does not say what was once written: its seal or its digest does not fit.
    #[error("{what} is damaged: what it says is not what was written")]
    Corrupt {
        /// Which record.
        what: String,
    },
    /// A database file as a whole is damaged.
    #[error(
        "{} is damaged ({message}): restore it from a backup, save what can be read with \
         `sqlite3 {} .recover`, or move it away to start with an empty history",
        path.display(), path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        message: String,
    },
    /// There is no store in the directory.
    #[error(
        "there is no run history in {}: a flow that is run with this data directory begins one",
        dir.display()
    )]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// A write-ahead log is there, and reading it takes writing beside it.
    #[error(
        "{} cannot be read without permission to write in its directory, because its write-ahead \
         log was left behind: read it as its owner",
        path.display()
    )]
    Unwritable {
        /// The database file.
        path: PathBuf,
    },
    /// Nothing has the id or the name that was asked for.
    #[error("there is no {what} `{text}`: {hint}")]
    Unknown {
        /// What was looked for: `flow run`, `run`.
        what: &'static str,
        /// The words that were asked for.
        text: String,
        /// What would be found.
        hint: String,
    },
    /// Several things have an id that begins as asked for.
    #[error("`{text}` is the beginning of more than one {what}: {}", candidates.join(", "))]
    Ambiguous {
        /// What was looked for: `flow run`, `run`.
        what: &'static str,
        /// The words that were asked for.
        text: String,
        /// Some of those that it could be.
        candidates: Vec<String>,
    },
    /// The logs cannot be written.
    #[error("logs: {0}")]
    Logs(String),
    /// There is no such flow run.
    #[error("there is no flow run {flow}")]
    NoSuchFlow {
        /// The id that was asked for.
        flow: RunId,
    },
    /// The flow run has ended for good.
    #[error("flow run {flow} has ended ({state}) and cannot go on: run it again instead")]
    Ended {
        /// The flow run.
        flow: RunId,
        /// How it ended.
        state: StateType,
    },
    /// The flow run goes on in this process.
    #[error("flow run {flow} is running")]
    Running {
        /// The flow run.
        flow: RunId,
    },
    /// There is no such blob, or it is not what its name says.
    #[error("the blob {digest} is missing or damaged")]
    NoBlob {
        /// Its name.
        digest: Digest,
    },
    /// There is no room on the disk, or no inodes.
    #[error("the disk is full: {what}")]
    Full {
        /// What could not be written.
        what: String,
    },
    /// The directory is not one that only this user can reach.
    #[error("{0}")]
    NotPrivate(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Something could not be written down because it has no encoding.
    #[error("{what} cannot be encoded: {message}")]
    Encoding {
        /// What.
        what: &'static str,
        /// Why.
        message: String,
    },
    /// The store failed before, and takes no records any more.
    #[error("the store has failed and records nothing any more: {0}")]
    Failed(Arc<Self>),
    /// The wait was cancelled while the disk was full.
    #[error("cancelled while the disk is full: what happened last is not recorded")]
    Cancelled,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::Full { what: path.display().to_string() };
        }
        Self::Io { path: path.to_owned(), source }
    }

    /// What SQLite's word means for the database file `path`.
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { what: path.display().to_string() },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path: path.to_owned(), message: source.to_string() }
            }
            _ => Self::Sqlite { path: path.to_owned(), source },
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}

/// Whether a file could not be written for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A time as people write it, in UTC.
pub(crate) struct Moment(pub(crate) Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_micros() / 1_000_000;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Days to a date of the Gregorian calendar, in years that begin with March
        // (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        let shown = |seconds: u64| Moment(Timestamp::from_micros(seconds * 1_000_000)).to_string();
        assert_eq!(shown(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(shown(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(shown(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(shown(1_795_258_360), "2026-11-21 10:52:40 UTC");
        // The last moment that there is must not overflow on the way.
        assert!(Moment(Timestamp::from_micros(u64::MAX)).to_string().ends_with("UTC"));
    }
}
