//! What a running task may ask about its own run, and the progress it reports. Outside of a host
//! the answers come from `testing::with` or are those of a first, unhurried attempt.
//!
//! Reading anything here makes the run depend on more than its arguments, so the host no longer
//! takes it for a pure function; [`report_progress`] alone does not count.

use std::time::Duration;

#[cfg(target_family = "wasm")]
use crate::bindings::sandmill::task::context as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::host;

/// This run's id: a UUIDv7 in its usual text form. It stays the same over attempts.
pub fn run_id() -> String {
    host::run_id()
}

/// Which try of this run this is, from 1.
pub fn attempt() -> u32 {
    host::attempt()
}

/// The position among the calls of a map, from 0; `None` outside of a map.
pub fn map_index() -> Option<u64> {
    host::map_index()
}

/// The time left until the host stops this run; `None` when no deadline is set. Real time, whether
/// or not the clock is granted.
pub fn deadline() -> Option<Duration> {
    host::deadline().map(Duration::from_nanos)
}

/// Tells whoever watches how far the run has come: `done` of `total` units (`None` when the total
/// is not known), and a few words. Reports may be merged; only the newest counts.
pub fn report_progress(done: u64, total: Option<u64>, message: &str) {
    host::report_progress(done, total, crate::log::beginning(message));
}

/// Whether somebody asked this run to stop. The host ends a cancelled run by itself after its
/// grace (by default at once); a task that wants to end by its own word looks here.
pub fn is_cancelled() -> bool {
    host::is_cancelled()
}
