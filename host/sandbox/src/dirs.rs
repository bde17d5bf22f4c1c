//! `wasi:filesystem`: which directories of the host a run sees.
//!
//! File operations run on the I/O runtime's blocking threads, not on the slot's own: opening a
//! FIFO or reading from a mount that hangs may block for ever, and only what waits in a future
//! can be ended at the run's deadline. That costs two thread switches an operation. Measured with
//! a guest that reads one small file (open, stat, read, …): 105 µs a run, against 35 µs where the
//! slot's thread blocks itself, and 22 µs for a run that opens nothing. One FIFO that held a slot
//! for good would cost more.

use sandmill_core::{Access, DirGrant};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Opens the granted directories. Read-only ones refuse every change: writing, truncating,
/// creating, renaming, linking and removing.
///
/// # Errors
/// The words of a refusal that name the directory.
pub(crate) fn open(builder: &mut WasiCtxBuilder, grants: &[DirGrant]) -> Result<(), String> {
    for grant in grants {
        let perms = match grant.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        builder.preopened_dir(&grant.host, &grant.guest, perms).map_err(|error| {
            format!("the granted directory {} cannot be opened: {error:#}", grant.host.display())
        })?;
    }
    Ok(())
}
