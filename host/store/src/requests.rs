//! What other processes ask of the writer of a data directory: a file for each request.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sandmill_wire::RunId;

use crate::StoreError;
use crate::lock::{private_dir, sync_dir};

/// The most requests that are taken at a time.
const MAX_TAKEN: usize = 10_000;

/// What follows the id in the name of a request to cancel.
const CANCEL: &str = "cancel";

/// The folder of the requests, in the data directory.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("requests")
}

/// Asks that a flow run be cancelled.
pub(crate) fn request_cancel(dir: &Path, flow: RunId) -> Result<(), StoreError> {
    let folder = folder(dir);
    private_dir(&folder)?;
    let path = folder.join(format!("{flow}.{CANCEL}"));
    // Under a name of its own first, so that it is there whole or not at all.
    let unfinished = folder.join(format!(".{}-{flow}", std::process::id()));
    File::create(&unfinished)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(|error| StoreError::io(&path, error))?;
    sync_dir(&folder)
}

/// Takes the requests that are there. One that cannot be read is none.
pub(crate) fn take(dir: &Path) -> Vec<RunId> {
    let Ok(entries) = fs::read_dir(folder(dir)) else { return Vec::new() };
    let mut taken: Vec<RunId> = entries
        .flatten()
        .take(MAX_TAKEN)
        .filter_map(|entry| {
            let name = entry.file_name();
            let (id, CANCEL) = name.to_str()?.rsplit_once('.')? else { return None };
            let flow = id.parse().ok()?;
            // One that somebody else took is theirs.
            fs::remove_file(entry.path()).ok().map(|()| flow)
        })
        .collect();
    taken.sort_unstable();
    taken
}
