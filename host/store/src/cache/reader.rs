//! Reading the cache of a data directory, beside whoever writes it. How results get into it is in
//! `handle`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use sandmill_core::Timestamp;
use sandmill_wire::Value;

use super::entry::{CacheRecord, CachedValue};
use super::explain::{Expired, Explanation};
use super::filter::{CacheFilter, CacheTotals};
use super::key::{CacheKey, KeyDigest};
use super::table::{self, Found, KEPT_BOUNDS, Place, Read};
use crate::StoreError;
use crate::blobs::Blobs;
use crate::db::{HISTORY, MIGRATIONS};
use crate::reader::open_read_only;

/// Reads the cache in a data directory, while others write it or nobody does. Where there is none
/// yet, it answers that there is nothing in it.
pub struct CacheReader {
    path: PathBuf,
    blobs: Blobs,
    connection: Mutex<Option<Connection>>,
}

impl std::fmt::Debug for CacheReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheReader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is under a key.
pub(super) enum Look {
    Nothing,
    /// An entry that is not what was written: it should go.
    Damaged,
    Entry(Box<Found>),
}

impl CacheReader {
    /// A reader of the cache in this directory. It is opened when it is first asked for.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join(HISTORY), blobs: Blobs::at(dir), connection: Mutex::default() }
    }

    /// Entries that fit, newest first, no more than `limit`. Damaged ones are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, filter: &CacheFilter, limit: usize) -> Result<Vec<CacheRecord>, StoreError> {
        self.with(|connection| table::list(connection, filter, limit))
            .map(Option::unwrap_or_default)
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn totals(&self) -> Result<CacheTotals, StoreError> {
        self.with(table::totals).map(Option::unwrap_or_default)
    }

    /// What the cache has for a call with this key that accepts results up to this age, and if
    /// nothing, how the nearest entry differs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn explain(
        &self,
        key: &CacheKey,
        accepts: Option<Duration>,
        now: Timestamp,
    ) -> Result<Explanation, StoreError> {
        let digest = key.digest();
        let mut explanation =
            Explanation { key: digest, entry: None, expired: None, nearest: None };
        if let Look::Entry(found) = self.look(digest)? {
            let record = found.record;
            explanation.expired = Expired::check(record.created, record.expires, accepts, now);
            explanation.entry = Some(record);
        } else {
            explanation.nearest =
                self.with(|connection| table::nearest(connection, key))?.flatten();
        }
        Ok(explanation)
    }

    /// The entry under a key.
    pub(super) fn look(&self, key: KeyDigest) -> Result<Look, StoreError> {
        let read = self.with(|connection| table::find(connection, key))?.flatten();
        Ok(match read {
            None => Look::Nothing,
            Some(Read::Damaged) => Look::Damaged,
            Some(Read::Whole(found)) => Look::Entry(found),
        })
    }

    /// The value of an entry; none where it is damaged.
    pub(super) fn value(&self, found: Found) -> Result<Option<CachedValue>, StoreError> {
        let bytes = match found.place {
            Place::Row(bytes) => bytes,
            Place::Blob(digest) => match self.blobs.get(&digest) {
                Ok(bytes) => bytes,
                Err(StoreError::NoBlob { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let CacheRecord { run, created, .. } = found.record;
        Ok(Value::check(bytes, &KEPT_BOUNDS).ok().map(|value| CachedValue { value, run, created }))
    }

    /// Does something with the database; none where there is none.
    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut connection = self.connection.lock();
        if connection.is_none() {
            *connection = open_read_only(&self.path, MIGRATIONS)?;
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
