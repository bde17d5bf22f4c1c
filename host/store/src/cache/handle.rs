//! The cache as whoever runs calls sees it: results are found, kept and cleared. Whatever goes
//! wrong with it costs a run and nothing else. Which calls it serves is in `invoker`.

use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::Timestamp;

use super::entry::{CachedValue, NewCached};
use super::explain::Expired;
use super::filter::{CacheFilter, Cleared};
use super::key::{CacheKey, KeyDigest};
use super::pending::Pending;
use super::reader::{CacheReader, Look};
use super::table::Bounds;
use super::write::CacheWrite;
use crate::ask::Question;
use crate::{Store, StoreError};

/// Entries in the cache: a million. The oldest go first.
pub const MAX_CACHE_ENTRIES: u64 = 1_000_000;
/// Bytes of the values and arguments in the cache: 4 GiB. The oldest go first.
pub const MAX_CACHE_BYTES: u64 = 4 << 30;

/// How much a cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheBounds {
    /// Entries.
    pub entries: u64,
    /// Bytes of values and arguments.
    pub bytes: u64,
}

impl Default for CacheBounds {
    fn default() -> Self {
        Self { entries: MAX_CACHE_ENTRIES, bytes: MAX_CACHE_BYTES }
    }
}

/// The cache of results of a store that this process holds. The store stays open for as long as
/// its cache is there.
pub struct Cache {
    store: Store,
    reader: CacheReader,
    bounds: Bounds,
    pending: Mutex<Pending>,
    /// The first thing that went wrong, until somebody asks.
    fault: Mutex<(bool, Option<StoreError>)>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Cache {
    /// The cache of this store.
    #[must_use]
    pub fn new(store: &Store, bounds: CacheBounds) -> Self {
        let CacheBounds { entries, bytes } = bounds;
        Self {
            reader: CacheReader::new(store.dir()),
            store: store.clone(),
            bounds: Bounds { entries, bytes },
            pending: Mutex::default(),
            fault: Mutex::default(),
        }
    }

    /// What lists and explains it.
    #[must_use]
    pub const fn reader(&self) -> &CacheReader {
        &self.reader
    }

    /// What went wrong first, the first time that this is asked. Calls that find nothing because
    /// of it are made.
    #[must_use]
    pub fn take_fault(&self) -> Option<StoreError> {
        self.fault.lock().1.take()
    }

    fn note(&self, error: StoreError) {
        let mut fault = self.fault.lock();
        if !fault.0 {
            *fault = (true, Some(error));
        }
    }

    /// The value under a key, for whoever accepts results up to this age; none when there is none
    /// that is whole. A damaged entry is taken out.
    #[must_use]
    pub fn find(
        &self,
        key: &CacheKey,
        accepts: Option<std::time::Duration>,
        now: Timestamp,
    ) -> Option<CachedValue> {
        let digest = key.digest();
        // First what is on its way: once it is no more, it is there.
        if let Some(entry) = self.pending().get(digest) {
            let expired = Expired::check(entry.created, entry.expires, accepts, now).is_some();
            let NewCached { value, run, created, .. } = &*entry;
            let found = CachedValue { value: value.clone(), run: *run, created: *created };
            return (!expired).then_some(found);
        }
        let found = match self.reader.look(digest) {
            Ok(Look::Nothing) => return None,
            Ok(Look::Entry(found)) => found,
            Ok(Look::Damaged) => {
                self.remove(digest);
                return None;
            }
            Err(error) => {
                self.note(error);
                return None;
            }
        };
        let record = &found.record;
        if Expired::check(record.created, record.expires, accepts, now).is_some() {
            return None;
        }
        match self.reader.value(*found) {
            Ok(Some(value)) => Some(value),
            Ok(None) => {
                self.remove(digest);
                None
            }
            Err(error) => {
                self.note(error);
                None
            }
        }
    }

    /// Keeps a result, in place of any under the same key. It is found from now on, and written
    /// when the store gets to it; one for which there is no room on the way is not kept.
    pub fn keep(&self, entry: NewCached) {
        let entry = Arc::new(entry);
        let mut pending = self.pending();
        if pending.has_room(&entry) {
            let put = CacheWrite::Put { entry: Arc::clone(&entry), bounds: self.bounds };
            let written = self.store.post(Question::Cache(put));
            pending.push(entry, written);
        }
    }

    /// What is on its way, without what has arrived.
    fn pending(&self) -> parking_lot::MutexGuard<'_, Pending> {
        let mut pending = self.pending.lock();
        let swept = pending.sweep();
        if let Some(error) = swept.fault {
            self.note(error);
        }
        self.store.sweep_blobs(swept.orphans);
        pending
    }

    fn remove(&self, key: KeyDigest) {
        // Whether it worked shows the next time.
        drop(self.store.post(Question::Cache(CacheWrite::Remove(key))));
    }

    /// Deletes the entries that fit, in many small steps.
    ///
    /// # Errors
    /// When the store cannot be written: what was not deleted by then is so when it is cleared
    /// again.
    pub fn clear(&self, filter: &CacheFilter) -> Result<Cleared, StoreError> {
        // What is on its way is in the queue before the question, and so is deleted with the rest.
        self.pending.lock().forget();
        self.store.clear_cached(filter)
    }
}
