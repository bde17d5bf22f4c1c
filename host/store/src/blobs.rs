//! Blobs: files named by the SHA-256 of what is in them. Who names them is not here.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sandmill_wire::Digest;

use crate::StoreError;
use crate::failpoint::{fails, hit};
use crate::lock::{private_dir, sync_dir};

/// The folder of the blobs, in the data directory.
pub(crate) const FOLDER: &str = "blobs";

/// What the names of files begin with that are not whole yet.
const UNFINISHED: &str = ".new-";

/// The most bytes of a blob that is read into memory: the most that a value or a component has.
pub const MAX_BLOB_BYTES: u64 = 1024 * 1024 * 1024;

/// The blobs of a data directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Blobs(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// Blobs that were put by hand since the store was opened. Nothing may name them yet, and
    /// still they are not garbage. Components, so there are few.
    pinned: Mutex<HashSet<Digest>>,
    /// Makes the names of unfinished files differ.
    made: AtomicU64,
    /// Folders, by the first byte of their blobs, that are sure to stay in the root.
    settled: Mutex<HashSet<u8>>,
}

impl Blobs {
    /// The blobs of the data directory `dir`, where the folder is there already.
    pub(crate) fn at(dir: &Path) -> Self {
        let root = dir.join(FOLDER);
        let (pinned, made, settled) = Default::default();
        Self(Arc::new(Inner { root, pinned, made, settled }))
    }

    /// Makes the folder, and clears away what a process left unfinished that was killed.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        private_dir(&self.0.root)?;
        for entry in self.read_dir(&self.0.root)? {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())
                    .map_err(|error| StoreError::io(&entry.path(), error))?;
            }
        }
        Ok(())
    }

    fn read_dir(&self, folder: &Path) -> Result<Vec<fs::DirEntry>, StoreError> {
        fs::read_dir(folder)
            .and_then(Iterator::collect)
            .map_err(|error| StoreError::io(folder, error))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.0.root.join(&hex[..2]).join(hex)
    }

    /// Writes a blob, so that it is there whole whatever happens from now on. One that is there is
    /// looked at first, and written again when it is damaged.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        if self.is_whole(&digest, bytes.len()) {
            // Whoever wrote it may have been killed before it was sure to stay.
            settle(path.parent().unwrap_or(&self.0.root))?;
            self.settle_folder(&digest)?;
            return Ok(digest);
        }
        let number = self.0.made.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.0.root.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written = self.write(&unfinished, &path, bytes);
        if written.is_err() {
            // On a full disk it would keep the room that everybody waits for.
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| self.settle_folder(&digest)).map(|()| digest)
    }

    /// Makes the folder of a blob last, once for each since the store was opened: whoever made it
    /// may have been killed, or may not have come to it yet.
    fn settle_folder(&self, digest: &Digest) -> Result<(), StoreError> {
        let folder = digest.as_bytes()[0];
        if !self.0.settled.lock().contains(&folder) {
            sync_dir(&self.0.root)?;
            self.0.settled.lock().insert(folder);
        }
        Ok(())
    }

    fn write(&self, unfinished: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let fault = |error| StoreError::io(path, error);
        hit("blob-opened");
        let mut file = File::create(unfinished).map_err(fault)?;
        file.write_all(bytes).map_err(fault)?;
        fails("blob-written").map_err(fault)?;
        file.sync_all().map_err(fault)?;
        fails("blob-synced").map_err(fault)?;
        let folder = path.parent().unwrap_or(&self.0.root);
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(fault(error));
            }
            _ => {}
        }
        fs::rename(unfinished, path).map_err(fault)?;
        hit("blob-renamed");
        settle(folder)
    }

    /// Puts a blob that nothing names yet: it stays until the store is closed.
    pub(crate) fn put_pinned(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.0.pinned.lock().insert(Digest::of(bytes));
        self.put(bytes)
    }

    fn is_whole(&self, digest: &Digest, length: usize) -> bool {
        let fits = |metadata: fs::Metadata| metadata.len() == length as u64;
        self.path(digest).metadata().is_ok_and(fits) && self.get(digest).is_ok()
    }

    /// The bytes of a blob. One that is not what its name says is as good as none.
    pub(crate) fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoBlob { digest: *digest });
            }
            Err(error) => return Err(StoreError::io(&path, error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(MAX_BLOB_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| StoreError::io(&path, error))?;
        if bytes.len() as u64 > MAX_BLOB_BYTES || Digest::of(&bytes) != *digest {
            return Err(StoreError::NoBlob { digest: *digest });
        }
        Ok(bytes)
    }

    /// Deletes a blob unless it is pinned. How many bytes it had, where there was one.
    pub(crate) fn delete(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        // Held until it is gone: whoever pins it then finds that it is not there, and writes it.
        let pinned = self.0.pinned.lock();
        if pinned.contains(digest) {
            return Ok(None);
        }
        let path = self.path(digest);
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        let removed = match fs::remove_file(&path) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
        };
        hit("blob-deleted");
        removed
    }

    /// The folders that blobs are in.
    pub(crate) fn folders(&self) -> Result<Vec<PathBuf>, StoreError> {
        let entries = self.read_dir(&self.0.root)?;
        Ok(entries.iter().map(fs::DirEntry::path).filter(|path| path.is_dir()).collect())
    }

    /// The blobs in one of these folders.
    pub(crate) fn list(&self, folder: &Path) -> Result<Vec<Digest>, StoreError> {
        let entries = self.read_dir(folder)?;
        Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }
}

/// Makes what is in a folder of blobs last.
fn settle(folder: &Path) -> Result<(), StoreError> {
    sync_dir(folder)?;
    fails("blob-settled").map_err(|error| StoreError::io(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::at(dir.path());
        blobs.prepare().unwrap();
        (dir, blobs)
    }

    #[test]
    fn what_is_damaged_is_as_good_as_none_and_is_written_again() {
        let (_dir, blobs) = blobs();
        let digest = blobs.put(b"some bytes").unwrap();
        assert_eq!(blobs.get(&digest).unwrap(), b"some bytes");
        let path = blobs.path(&digest);
        for damage in [&b"some bytez"[..], b"some byte", b"", b"some bytes!"] {
            fs::write(&path, damage).unwrap();
            assert!(matches!(blobs.get(&digest), Err(StoreError::NoBlob { .. })));
            assert_eq!(blobs.put(b"some bytes").unwrap(), digest);
            assert_eq!(blobs.get(&digest).unwrap(), b"some bytes");
        }
        assert_eq!(blobs.delete(&digest).unwrap(), Some(10));
        assert_eq!(blobs.delete(&digest).unwrap(), None);
        assert!(matches!(blobs.get(&digest), Err(StoreError::NoBlob { .. })));
    }

    #[test]
    fn what_was_left_unfinished_is_cleared_away_and_the_rest_is_listed() {
        let (dir, blobs) = blobs();
        let digest = blobs.put_pinned(b"kept").unwrap();
        fs::write(dir.path().join("blobs/.new-1-1"), b"half").unwrap();
        blobs.prepare().unwrap();
        assert!(!dir.path().join("blobs/.new-1-1").exists());
        let folders = blobs.folders().unwrap();
        assert_eq!(blobs.list(&folders[0]).unwrap(), [digest]);
        assert_eq!(blobs.delete(&digest).unwrap(), None, "pinned");
        assert_eq!(blobs.get(&digest).unwrap(), b"kept");
    }
}
