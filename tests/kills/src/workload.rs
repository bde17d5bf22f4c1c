//! The flows that are killed: each run of theirs leaves a file behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sandmill_test_artifacts as artifacts;

/// A flow in two mapped stages and a sum, once as a file and once as a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A flow file.
    File,
    /// A flow component.
    Component,
}

/// Runs of a mapped stage.
pub(crate) const RUNS: u64 = 60;
/// What tells the runs of the second stage from those of the first.
pub(crate) const SECOND: u64 = 1_000;

impl Workload {
    /// Both.
    pub const ALL: [Self; 2] = [Self::File, Self::Component];

    /// Writes what the flow needs into `folder`: the arguments of `sandmill run`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn prepare(self, folder: &Path) -> Vec<String> {
        fs::create_dir_all(marks(folder)).expect("the folder can be made");
        match self {
            Self::File => {
                let file = folder.join("flow.toml");
                fs::write(&file, flow_file(folder)).expect("the flow can be written");
                vec![file.display().to_string()]
            }
            Self::Component => {
                let component = artifacts::guest("flows");
                vec![
                    format!("{}#stamp_twice", component.display()),
                    "-p".to_owned(),
                    "folder=/marks".to_owned(),
                    "-p".to_owned(),
                    format!("runs={RUNS}"),
                    "-p".to_owned(),
                    format!("second={SECOND}"),
                    "--dir".to_owned(),
                    format!("{}::/marks:rw", marks(folder).display()),
                ]
            }
        }
    }

    /// What the flow comes to.
    #[must_use]
    pub const fn result() -> u64 {
        // Each run gives twice its number; the second stage takes what the first one gave.
        let first = RUNS * (RUNS - 1);
        2 * (first + RUNS * SECOND)
    }

    /// How many runs leave a file behind.
    #[must_use]
    pub const fn marked_runs() -> u64 {
        2 * RUNS
    }
}

fn flow_file(folder: &Path) -> String {
    let probe = artifacts::guest("probe");
    let grant = format!(
        "grants.dirs = [{{ host = {:?}, guest = \"/marks\", access = \"read-write\" }}]",
        marks(folder)
    );
    let numbers: Vec<String> = (0..RUNS).map(|number| number.to_string()).collect();
    format!(
        r#"[flow]
name = "stamps"
result = "total.result"

[components.probe]
path = {probe:?}

[tasks.first]
call = "probe.stamp"
arguments.folder = "/marks"
arguments.number = {{ map = [{}] }}
{grant}

[tasks.moved]
call = "probe.add"
arguments.left = {{ map = "first.result" }}
arguments.right = {SECOND}

[tasks.second]
call = "probe.stamp"
arguments.folder = "/marks"
arguments.number = {{ map = "moved.result" }}
{grant}

[tasks.total]
call = "probe.sum"
arguments.numbers = {{ from = "second.result" }}
"#,
        numbers.join(", "),
    )
}

/// Where the runs leave their files.
#[must_use]
pub(crate) fn marks(folder: &Path) -> PathBuf {
    folder.join("marks")
}

/// How often each run was done, by its number.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub(crate) fn counted(folder: &Path) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(marks(folder)).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name();
        let name = name.to_str().expect("its name is text");
        let number = name.split('.').next().and_then(|number| number.parse().ok());
        *counts.entry(number.expect("its name begins with a number")).or_default() += 1;
    }
    counts
}
