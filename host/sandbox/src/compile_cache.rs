//! Compiled code on disk, so that a warm start compiles nothing. Machine code is run as it is, so
//! the directory has to be this user's alone and every entry carries a seal (see `entry`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use sandmill_core::ComponentInfo;

use crate::config::CacheConfig;
use crate::entry::{self, EntryName, MAX_ENTRY_BYTES};
use crate::private_dir;

/// Bytes that the cache takes on disk: 2 GiB. Entries that were not used for longest go first.
pub const CACHE_BYTES: u64 = 2 << 30;

/// Files in the entry directory that are counted and cleared away.
const MAX_LISTED: usize = 100_000;

/// Keeps compiled code between processes. Whatever goes wrong with it costs a compilation.
pub(crate) struct CompileCache {
    store: Result<Store, String>,
    pub(crate) hits: AtomicU64,
    pub(crate) rejected: AtomicU64,
}

struct Store {
    entries: PathBuf,
    key: [u8; 32],
}

impl CompileCache {
    pub(crate) fn open(config: &CacheConfig) -> Self {
        let store = match config {
            CacheConfig::Disabled => Err("not configured".to_owned()),
            CacheConfig::Dir(path) => Store::open(path),
        };
        Self { store, hits: AtomicU64::new(0), rejected: AtomicU64::new(0) }
    }

    /// Where entries are, or why none are kept.
    pub(crate) fn directory(&self) -> Result<&Path, &str> {
        self.store.as_ref().map(|store| &*store.entries).map_err(String::as_str)
    }

    /// Entries and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let files = self.store.as_ref().map(Store::list).unwrap_or_default();
        (files.len() as u64, files.iter().map(|file| file.bytes).sum())
    }

    /// Hands a kept entry to `load`. One that does not open, or that `load` cannot use, is
    /// deleted.
    pub(crate) fn load<T>(
        &self,
        name: &EntryName,
        load: impl FnOnce(ComponentInfo, &[u8]) -> Option<T>,
    ) -> Option<T> {
        let store = self.store.as_ref().ok()?;
        let path = store.entries.join(name.file_name());
        let file = private_dir::open(&path).ok()?;
        // Read once, then checked, then used: what happens to the file meanwhile does not matter.
        let loaded = private_dir::read(&file, MAX_ENTRY_BYTES).ok().and_then(|bytes| {
            let entry = entry::open(&store.key, name, &bytes).ok()?;
            load(entry.info, entry.code)
        });
        if loaded.is_some() {
            self.hits.fetch_add(1, Ordering::Relaxed);
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let times = Timestamps { last_access: keep, last_modification: now };
            // Only the order in which entries are cleared away hangs on it.
            let _ = rustix::fs::futimens(&file, &times);
        } else {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            // Where it cannot be deleted, it is replaced in a moment.
            let _ = std::fs::remove_file(&path);
        }
        loaded
    }

    /// Keeps an entry. Other processes see all of it or nothing.
    pub(crate) fn keep(&self, name: &EntryName, info: &ComponentInfo, code: &[u8]) {
        let Ok(store) = &self.store else { return };
        // A full disk or a lost directory leaves the run as it is: compiled, and not kept.
        if store.write(name, info, code).is_ok() {
            store.clear(CACHE_BYTES);
        }
    }
}

struct Listed {
    path: PathBuf,
    bytes: u64,
    used: std::time::SystemTime,
}

impl Store {
    fn open(path: &Path) -> Result<Self, String> {
        private_dir::ensure(path)?;
        let key = private_dir::secret_key(path)?;
        let entries = path.join("entries");
        private_dir::ensure(&entries)?;
        Ok(Self { entries, key })
    }

    fn write(&self, name: &EntryName, info: &ComponentInfo, code: &[u8]) -> std::io::Result<()> {
        let bytes = entry::seal(&self.key, name, info, code)?;
        let mut file = tempfile::Builder::new().prefix(".new").tempfile_in(&self.entries)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.entries.join(name.file_name()))?;
        std::fs::File::open(&self.entries)?.sync_all()
    }

    fn list(&self) -> Vec<Listed> {
        let Ok(directory) = std::fs::read_dir(&self.entries) else { return Vec::new() };
        directory
            .take(MAX_LISTED)
            .filter_map(|file| {
                let file = file.ok()?;
                let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
                let used = metadata.modified().ok()?;
                Some(Listed { path: file.path(), bytes: metadata.len(), used })
            })
            .collect()
    }

    /// Deletes what was not used for longest, until no more than `limit` bytes are left.
    fn clear(&self, limit: u64) {
        let mut files = self.list();
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        files.sort_by_key(|file| file.used);
        for file in files {
            if total <= limit {
                return;
            }
            // Another process may have been faster.
            let _ = std::fs::remove_file(&file.path);
            total = total.saturating_sub(file.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("cache")).unwrap();
        let info = ComponentInfo { tasks: Vec::new(), imports: Vec::new(), flows: Vec::new() };
        let names = [b"a", b"b", b"c"].map(|bytes| {
            EntryName::new(&sandmill_wire::Digest::of(bytes), &blake3::hash(b"engine"))
        });
        for (age, name) in names.iter().enumerate() {
            store.write(name, &info, &[0; 1000]).unwrap();
            let file = std::fs::File::options()
                .write(true)
                .open(store.entries.join(name.file_name()))
                .unwrap();
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age as u64);
            file.set_modified(then).unwrap();
        }
        store.clear(2500);
        let there = names.map(|name| store.entries.join(name.file_name()).exists());
        assert_eq!(there, [true, true, false]);
    }
}
