//! The data directory: opened for writing or reading, and what is said when that does not work.

use std::time::Duration;

use sandmill::store::{Reader, Store, StoreConfig, StoreError};

use crate::config::Config;
use crate::error::{CliError, Result};
use crate::output::moment;

/// Opens the data directory for writing: one process at a time can. `holder` says to others what
/// this process is.
pub(crate) fn open(config: &Config, holder: &str) -> Result<Store> {
    try_open(config, holder, config.store_wait)?.map_err(|error| store_error(&error))
}

/// The same, for whoever knows what to do when it does not work.
pub(crate) fn try_open(
    config: &Config,
    holder: &str,
    wait: Duration,
) -> Result<Result<Store, StoreError>> {
    let dir = directory(config)?.to_owned();
    Ok(Store::open(StoreConfig { dir, wait, holder: holder.to_owned() }))
}

/// Opens the data directory for reading: any number of processes can, whoever writes.
pub(crate) fn reader(config: &Config) -> Result<Reader> {
    Reader::open(directory(config)?).map_err(|error| store_error(&error))
}

/// The data directory.
pub(crate) fn directory(config: &Config) -> Result<&std::path::Path> {
    config.data_dir.as_deref().ok_or_else(|| {
        CliError::infrastructure("this system has no place for the history of runs")
            .hint("name one with --data-dir or `store.dir`, or use --no-history")
    })
}

/// What to say of an error of the store.
pub(crate) fn store_error(error: &StoreError) -> CliError {
    let infrastructure = || CliError::infrastructure(error.to_string());
    match error {
        StoreError::Held { pid, holder, since, dir } => {
            let message =
                format!("another process writes to the data directory `{}`", dir.display());
            let ago = moment::ago(*since, moment::now());
            let who = format!("process {pid}: {holder}, since {} ({ago})", moment::utc(*since));
            CliError::infrastructure(message)
                .detail(who)
                .hint("wait for it: `store.wait` says how long (SANDMILL_STORE__WAIT=10m)")
                .hint("or use another directory (--data-dir DIR), or keep nothing (--no-history)")
        }
        StoreError::NoStore { .. } => CliError::input(error.to_string()),
        StoreError::Unknown { what, text, hint } => {
            CliError::input(format!("there is no {what} `{text}`")).hint(hint)
        }
        StoreError::Ambiguous { what, text, candidates } => {
            CliError::input(format!("`{text}` is the beginning of more than one {what}"))
                .details(candidates)
                .hint("write more of the id")
        }
        StoreError::NoSuchFlow { .. } => {
            CliError::input(error.to_string()).hint("`sandmill runs list` lists them")
        }
        StoreError::Ended { flow, .. } => CliError::input(error.to_string())
            .hint(format!("run it again with `sandmill runs rerun {flow}`")),
        StoreError::Running { .. } => CliError::input(error.to_string()),
        StoreError::Full { .. } => {
            infrastructure().hint("make room, or use another directory (--data-dir DIR)")
        }
        _ => infrastructure().hint("`sandmill doctor` looks at the data directory"),
    }
}

/// Bytes that this user can still write to the disk of a directory; none where that is not known.
pub(crate) fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
