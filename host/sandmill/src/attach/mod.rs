//! Runs that another process has, by their ids: found, waited for and cancelled from here.

mod attach;
mod watcher;

pub use attach::{AttachError, Runs};
pub use watcher::{ATTACH_POLL_LEAST, ATTACH_POLL_MOST, MAX_ATTACHED};
