//! Named points at which a test can have the process killed. Nothing but tests sets them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Where a test can have the process killed: before and after each write that a store makes.
pub const POINTS: &[&str] = &[
    "store-locked",
    "store-migrating",
    "store-migrated",
    "recovery-begun",
    "recovery-runs-written",
    "recovery-runs-committed",
    "recovery-flow-written",
    "recovery-flow-committed",
    "recovery-done",
    "flow-creating",
    "flow-written",
    "flow-created",
    "flow-taken-up",
    "batch-begun",
    "batch-written",
    "batch-committed",
    "blob-opened",
    "blob-written",
    "blob-synced",
    "blob-renamed",
    "blob-settled",
    "flow-ending",
    "flow-ended",
    "delete-marked",
    "delete-runs",
    "delete-done",
    "blob-deleted",
];

/// The environment variable that names a point: `name=kill`, or `name=kill@7` for its seventh hit.
pub const VARIABLE: &str = "SANDMILL_FAILPOINT";

const UNREAD: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static MODE: AtomicU8 = AtomicU8::new(UNREAD);
static SET: OnceLock<Option<Point>> = OnceLock::new();

struct Point {
    name: String,
    /// Hits still to come before the one that kills.
    left: AtomicU64,
}

/// Says that this point is reached. Kills the process when a test asked for that.
pub fn hit(name: &'static str) {
    if MODE.load(Ordering::Relaxed) != OFF {
        look_up(name);
    }
}

#[cold]
fn look_up(name: &'static str) {
    let set = SET.get_or_init(|| std::env::var(VARIABLE).ok().as_deref().and_then(parse));
    MODE.store(if set.is_some() { ON } else { OFF }, Ordering::Relaxed);
    let Some(point) = set.as_ref().filter(|point| point.name == name) else { return };
    // Goes below zero only after the kill, which does not return.
    if point.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way; not one more write must happen.
        loop {
            std::thread::park();
        }
    }
}

/// What the variable says; nothing when it does not fit, because users may set anything.
fn parse(text: &str) -> Option<Point> {
    let (name, action) = text.split_once('=')?;
    let hits = match action.split_once('@') {
        None if action == "kill" => 1,
        Some(("kill", hits)) => hits.parse().ok().filter(|hits| *hits > 0)?,
        _ => return None,
    };
    Some(Point { name: name.to_owned(), left: AtomicU64::new(hits) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_is_a_point() {
        let point = parse("batch-begun=kill@3").unwrap();
        assert_eq!((point.name.as_str(), point.left.into_inner()), ("batch-begun", 3));
        assert_eq!(parse("x=kill").unwrap().left.into_inner(), 1);
        for wrong in ["", "x", "x=", "x=panic", "x=kill@", "x=kill@0", "x=kill@-1", "x=kill@a"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
