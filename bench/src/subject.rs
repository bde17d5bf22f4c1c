//! The subjects: what is measured side by side, each in a process of its own. Which of them are
//! asked what is the plan's.

use anyhow::Result;

use crate::measure::{Answer, Measure};

/// Something that can be measured.
pub(crate) trait Subject {
    /// Does what the measure says, and says how long that took.
    fn measure(&mut self, measure: Measure) -> Result<Answer>;
}

/// Where a subject stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// The limit.
    Bare,
    /// Sandmill.
    Ours,
    /// What others would pick.
    Peer,
}

/// How a subject's process is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launch {
    /// This program.
    Own,
    /// A script in `peers/`, by python3.
    Python(&'static str),
}

/// One subject.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name in tables and for `--only`.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    pub(crate) family: Family,
    pub(crate) launch: Launch,
    /// What it is held against: the bare loop on as many threads.
    pub(crate) against: &'static str,
    /// The most runs of one measurement that it can be asked for in reasonable time, for one that
    /// takes long for each.
    pub(crate) most: u64,
}

const ANY: u64 = u64::MAX;

const fn own(
    name: &'static str,
    what: &'static str,
    family: Family,
    against: &'static str,
) -> Entry {
    Entry { name, what, family, launch: Launch::Own, against, most: ANY }
}

const fn python(name: &'static str, what: &'static str, script: &'static str, most: u64) -> Entry {
    let (family, launch) = (Family::Peer, Launch::Python(script));
    Entry { name, what, family, launch, against: "bare", most }
}

/// All of them, in the order of tables.
pub(crate) const SUBJECTS: &[Entry] = &[
    own("bare-1", "bare loop, 1 thread", Family::Bare, "bare-1"),
    own("bare", "bare loop, a thread a core", Family::Bare, "bare"),
    own("sandbox", "the sandbox alone, 1 thread", Family::Ours, "bare-1"),
    own("inline", "library, inline", Family::Ours, "bare-1"),
    own("pool", "library, pool, a slot a core", Family::Ours, "bare"),
    own("flow", "a flow file on that pool", Family::Ours, "bare"),
    own("journal", "the same, durable", Family::Ours, "bare"),
    own("map", "`sandmill map`, the whole process", Family::Ours, "bare"),
    own("processes", "pool in processes of a slot", Family::Ours, "bare"),
    own("remote-1", "remote, 1 worker, a slot a core", Family::Ours, "bare"),
    own("remote-2", "remote, 2 workers of a slot", Family::Ours, "bare"),
    own("nats", "remote over NATS, 1 worker", Family::Ours, "bare"),
    own("call", "`sandmill call`, the whole process", Family::Ours, "start"),
    own("start", "bare process: compiled code, one run", Family::Bare, "start"),
    Entry {
        most: 500,
        ..own("wasmtime", "`wasmtime run`, a process a task", Family::Peer, "start")
    },
    python("process-pool", "Python's ProcessPoolExecutor", "process_pool.py", 10_000),
    python("dask", "Dask LocalCluster, processes", "dask_cluster.py", 10_000),
    python("ray", "Ray tasks", "ray_tasks.py", 10_000),
    python("prefect", "Prefect 3, thread task runner", "prefect_threads.py", 10_000),
];

/// The subject of this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    SUBJECTS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_held_against_one_that_is_there() {
        for entry in SUBJECTS {
            let against = find(entry.against).unwrap();
            assert_eq!((against.family, against.against), (Family::Bare, against.name));
            assert_eq!(find(entry.name), Some(entry), "{} is there twice", entry.name);
        }
    }
}
