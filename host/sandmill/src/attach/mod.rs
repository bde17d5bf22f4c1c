//! Runs that another process has, by their ids: found, waited for and cancelled from here.

mod runs;
mod watcher;

pub use runs::{AttachError, Runs};
pub use watcher::{ATTACH_POLL_LEAST, ATTACH_POLL_MOST, MAX_ATTACHED};
