//! Named points at which a test can have the process killed, or a write fail. Nothing but tests
//! sets them.

use std::io;
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

/// Those of them at which a test can have a write or a sync fail with an error of the device.
pub const FAILING: &[&str] =
    &["batch-written", "batch-committed", "blob-written", "blob-synced", "blob-settled"];

/// The environment variable that names a point: `name=kill`, or `name=kill@7` for its seventh hit.
/// `name=eio@7` fails there once, `name=eio@7+` from there on.
pub const VARIABLE: &str = "SANDMILL_FAILPOINT";

const UNREAD: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static MODE: AtomicU8 = AtomicU8::new(UNREAD);
static SET: OnceLock<Option<Point>> = OnceLock::new();

struct Point {
    name: String,
    action: Action,
    /// The hit at which it happens, counted from 1.
    at: u64,
    hits: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    FailOnce,
    FailFromThenOn,
}

/// Says that this point is reached. Kills the process when a test asked for that.
pub fn hit(name: &'static str) {
    if MODE.load(Ordering::Relaxed) != OFF {
        // Who cannot fail here is not to: see `FAILING`.
        let _ = look_up(name);
    }
}

/// Says that this point is reached, which is one of [`FAILING`]. Kills the process when a test
/// asked for that.
///
/// # Errors
/// That of a device (`EIO`), when a test asked for that.
pub fn fails(name: &'static str) -> io::Result<()> {
    if MODE.load(Ordering::Relaxed) == OFF { Ok(()) } else { look_up(name) }
}

#[cold]
fn look_up(name: &'static str) -> io::Result<()> {
    let set = SET.get_or_init(|| std::env::var(VARIABLE).ok().as_deref().and_then(parse));
    MODE.store(if set.is_some() { ON } else { OFF }, Ordering::Relaxed);
    let Some(point) = set.as_ref().filter(|point| point.name == name) else { return Ok(()) };
    let hits = point.hits.fetch_add(1, Ordering::AcqRel) + 1;
    match point.action {
        Action::Kill if hits == point.at => kill(),
        Action::FailOnce if hits == point.at => Err(rustix::io::Errno::IO.into()),
        Action::FailFromThenOn if hits >= point.at => Err(rustix::io::Errno::IO.into()),
        _ => Ok(()),
    }
}

fn kill() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal is on its way; not one more write must happen.
    loop {
        std::thread::park();
    }
}

/// What the variable says; nothing when it does not fit, because users may set anything.
fn parse(text: &str) -> Option<Point> {
    let (name, action) = text.split_once('=')?;
    let (action, at) = match action.split_once('@') {
        None => (action, "1"),
        Some(action) => action,
    };
    let (action, at) = match (action, at.strip_suffix('+')) {
        ("kill", None) => (Action::Kill, at),
        ("eio", None) => (Action::FailOnce, at),
        ("eio", Some(at)) => (Action::FailFromThenOn, at),
        _ => return None,
    };
    let at = at.parse().ok().filter(|at| *at > 0)?;
    Some(Point { name: name.to_owned(), action, at, hits: AtomicU64::new(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_is_a_point() {
        let point = parse("batch-begun=kill@3").unwrap();
        assert_eq!((point.name.as_str(), point.action, point.at), ("batch-begun", Action::Kill, 3));
        assert_eq!(parse("x=kill").unwrap().at, 1);
        assert_eq!(parse("x=eio@2").unwrap().action, Action::FailOnce);
        assert_eq!(parse("x=eio@2+").unwrap().action, Action::FailFromThenOn);
        let wrong = ["", "x", "x=", "x=panic", "x=kill@", "x=kill@0", "x=kill@-1", "x=kill@a"];
        for wrong in wrong.into_iter().chain(["x=kill@2+", "x=eio@", "x=eio@+", "x=eio+"]) {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
