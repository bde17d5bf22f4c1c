//! What the cache asks of the store's writer, and how the writer does it. The rows themselves are
//! in `table`.

use std::sync::Arc;

use rusqlite::Connection;
use sandmill_wire::Digest;

use super::entry::NewCached;
use super::filter::{CacheFilter, Cleared};
use super::handle::CacheBounds;
use super::key::KeyDigest;
use super::table::{self, Bounds};
use crate::StoreError;
use crate::ask::{Answer, Question};
use crate::blobs::Blobs;
use crate::record::Pruned;
use crate::rows::{MAX_INLINE_RESULT, fault};
use crate::store::Store;

/// One change of the cache.
pub(crate) enum CacheWrite {
    /// Puts a result into it.
    Put { entry: Arc<NewCached>, bounds: Bounds },
    /// Takes out the entry under this key: it is damaged.
    Remove(KeyDigest),
    /// Deletes some of the entries that fit.
    Clear(CacheFilter),
}

impl CacheWrite {
    /// Puts a result into the cache, within its default bounds.
    pub(crate) fn keep(entry: Arc<NewCached>) -> Self {
        let CacheBounds { entries, bytes } = CacheBounds::default();
        Self::Put { entry, bounds: Bounds { entries, bytes } }
    }

    /// About how many bytes it holds on to.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Put { entry, .. } => entry.value.len_bytes() + entry.key.arguments().len_bytes(),
            Self::Remove(_) | Self::Clear(_) => 0,
        }
    }

    /// Does it on the writer's connection, within its transaction. The answer names the blobs that
    /// may have lost their readers.
    pub(crate) fn perform(
        &self,
        connection: &Connection,
        blobs: &Blobs,
    ) -> Result<Answer, StoreError> {
        let failed = |error| fault(connection, error);
        let part = |blobs| Answer::Part { more: false, pruned: Pruned::default(), blobs };
        match self {
            Self::Put { entry, bounds } => {
                let bytes = entry.value.as_bytes();
                let is_large = bytes.len() > MAX_INLINE_RESULT;
                let blob = if is_large { Some(blobs.put(bytes)?) } else { None };
                table::put(connection, entry, blob.as_ref(), *bounds).map(part).map_err(failed)
            }
            Self::Remove(key) => table::remove(connection, *key).map(part).map_err(failed),
            Self::Clear(filter) => {
                let (cleared, more, blobs) = table::clear(connection, filter).map_err(failed)?;
                Ok(Answer::Cleared { cleared, more, blobs })
            }
        }
    }
}

impl Store {
    /// Deletes blobs, where nothing names them any more.
    pub(super) fn sweep_blobs(&self, orphans: Vec<Digest>) {
        if !orphans.is_empty() {
            // Whatever is left behind is found when the store is pruned.
            drop(self.post(Question::DeleteBlobs { digests: orphans.into() }));
        }
    }

    /// Deletes the entries of the cache that fit.
    pub(super) fn clear_cached(&self, filter: &CacheFilter) -> Result<Cleared, StoreError> {
        let mut all = Cleared::default();
        loop {
            let question = Question::Cache(CacheWrite::Clear(filter.clone()));
            let Answer::Cleared { cleared, more, blobs } = self.ask(question)? else {
                return Err(StoreError::Closed);
            };
            all.entries += cleared.entries;
            all.bytes += cleared.bytes;
            self.sweep_blobs(blobs);
            if !more {
                return Ok(all);
            }
        }
    }
}
