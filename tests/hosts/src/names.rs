//! Names of networks, which tell the process that made them, so that what a killed process left
//! behind can be told from what is in use, and is taken down.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use sandmill_test_artifacts as artifacts;

use crate::tool::{attempt, call};

/// What all names begin with; then come the process, a dash, and what tells its networks apart.
const PREFIX: &str = "sm";

/// Held while a network is made: of two processes, one makes its network first.
pub(crate) struct Making {
    _lock: File,
}

impl Making {
    pub(crate) fn hold() -> Self {
        let path = artifacts::scratch().join("networks.lock");
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        let lock = lock.unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()));
        Self { _lock: lock }
    }

    /// A name that no other network has. Names of links are at most 15 bytes long: there is room for
    /// the largest process id and for one letter and digit more.
    #[expect(clippy::unused_self, reason = "names are given while the lock is held")]
    pub(crate) fn name(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < 100, "that are too many networks for one process");
        format!("{PREFIX}{}-{number}", process::id())
    }

    /// A network of 256 addresses that nobody uses here: its first three numbers.
    #[expect(clippy::unused_self, reason = "the lock is held")]
    pub(crate) fn subnet(&self) -> String {
        let used = call("ip -4 route show table all");
        let first = process::id() % 100;
        (0..100 * 250)
            .map(|step| format!("10.{}.{}", 100 + (first + step / 250) % 100, 1 + step % 250))
            .find(|subnet| !used.contains(&format!("{subnet}.")))
            .expect("there are more subnets than tests")
    }

    /// Takes down what processes that are gone have left behind.
    #[expect(clippy::unused_self, reason = "the lock is held")]
    pub(crate) fn sweep(&self) {
        for namespace in namespaces().iter().filter(|name| is_left(name)) {
            take_down_namespace(namespace);
        }
        for link in links().iter().filter(|name| is_left(name)) {
            // With one end of a pair the other goes too.
            let _ = attempt(&format!("ip link del {link}"));
        }
    }
}

/// Ends whatever runs in a namespace, and takes it down.
pub(crate) fn take_down_namespace(namespace: &str) {
    let inside = attempt(&format!("ip netns pids {namespace}")).unwrap_or_default();
    for pid in inside.lines().filter_map(|line| line.trim().parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            // It may have gone by now.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = attempt(&format!("ip netns del {namespace}"));
}

/// Whether the name is that of a network whose process is gone.
fn is_left(name: &str) -> bool {
    let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    process.is_some_and(|(process, _)| {
        process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists()
    })
}

fn namespaces() -> BTreeSet<String> {
    // Each line is a name, and may be followed by an id.
    let listed = call("ip netns list");
    listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn links() -> BTreeSet<String> {
    // Each line begins with a name, which of a pair is followed by `@` and its other end.
    let listed = call("ip -br link show");
    let first = |line: &str| line.split([' ', '@']).next().map(str::to_owned);
    listed.lines().filter_map(first).collect()
}
