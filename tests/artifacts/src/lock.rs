//! A lock between processes: test binaries run side by side, and each may want to build.

use std::fs::{self, File};
use std::path::Path;

/// Holds the lock file in `directory` until it is dropped; the system lets go of it even when the
/// process is killed.
pub(crate) fn hold(directory: &Path) -> File {
    let path = directory.join("sandmill-test-artifacts.lock");
    fs::create_dir_all(directory)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file))
        .unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()))
}
