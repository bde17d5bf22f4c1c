//! Flows that tests write: a folder with a flow file, the probe beside it, and a folder in which
//! runs leave marks that no guest can take back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sandmill_test_artifacts as artifacts;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Called, sandmill_in};

/// A flow in a folder of its own.
pub struct Flow {
    folder: TempDir,
}

impl Flow {
    /// A flow of this name with these tasks. `{marks}` stands for the grant of the marks' folder, as
    /// `/marks`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new(name: &str, head: &str, tasks: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a directory");
        fs::create_dir(folder.path().join("marks")).expect("a directory can be made");
        fs::copy(artifacts::guest("probe"), folder.path().join("probe.wasm"))
            .expect("the component can be copied");
        let flow = Self { folder };
        flow.write(name, head, tasks);
        flow
    }

    /// Writes the flow anew.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, head: &str, tasks: &str) {
        let marks =
            "grants.dirs = [{ host = \"marks\", guest = \"/marks\", access = \"read-write\" }]";
        let tasks = tasks.replace("{marks}", marks);
        let text = format!(
            "[flow]\nname = {name:?}\n{head}\n[components.probe]\npath = \"probe.wasm\"\n{tasks}"
        );
        fs::write(self.path().join("flow.toml"), text).expect("the flow can be written");
    }

    /// A flow that leaves a mark for each number below `count`, and adds up twice the numbers.
    #[must_use]
    pub fn stamps(count: u64) -> Self {
        let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let tasks = format!(
            "[tasks.stamp]\ncall = \"probe.stamp\"\narguments.folder = \"/marks\"\n\
             arguments.number = {{ map = [{}] }}\n{{marks}}\n\
             [tasks.total]\ncall = \"probe.sum\"\narguments.numbers = {{ from = \"stamp.result\" }}\n",
            numbers.join(",")
        );
        Self::new("stamps", "result = \"total.result\"", &tasks)
    }

    /// A flow whose runs sleep, each a millisecond longer than the one before, and leave a mark
    /// for each afterwards; it adds up the marks.
    #[must_use]
    pub fn slow_stamps(count: u64) -> Self {
        let millis: Vec<String> =
            (0..count).map(|run| (Self::SHORTEST + run).to_string()).collect();
        let tasks = format!(
            "[tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = {{ map = [{}] }}\n\
             [tasks.stamp]\ncall = \"probe.stamp\"\narguments.folder = \"/marks\"\n\
             arguments.number = {{ map = \"nap.result\" }}\n{{marks}}\n\
             [tasks.total]\ncall = \"probe.sum\"\narguments.numbers = {{ from = \"stamp.result\" }}\n",
            millis.join(",")
        );
        Self::new("stamps", "result = \"total.result\"", &tasks)
    }

    /// Milliseconds that the first run of [`Flow::slow_stamps`] sleeps.
    pub const SHORTEST: u64 = 30;

    /// The number that run `index` of [`Flow::slow_stamps`] marks: what its clock said of its sleep.
    #[must_use]
    pub const fn marked_by(index: u64) -> u64 {
        (Self::SHORTEST + index) * 1_000_000
    }

    /// A flow that sleeps `times` times for a tenth of a second.
    #[must_use]
    pub fn naps(times: usize) -> Self {
        let tasks = format!(
            "[tasks.nap]\ncall = \"probe.sleep\"\narguments.millis = {{ map = [{}] }}\n",
            vec!["100"; times].join(",")
        );
        Self::new("naps", "", &tasks)
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// How often each number has left a mark.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn marks(&self) -> BTreeMap<u64, u64> {
        let mut marks = BTreeMap::new();
        let folder: PathBuf = self.path().join("marks");
        for entry in fs::read_dir(folder).expect("the directory can be listed") {
            let name = entry.expect("the directory can be listed").file_name();
            let name = name.to_string_lossy().into_owned();
            let (number, _) = name.split_once('.').expect("a mark has a number");
            *marks.entry(number.parse().expect("a mark has a number")).or_default() += 1;
        }
        marks
    }

    /// Calls the binary in the flow's folder, and waits for it.
    #[must_use]
    pub fn call(&self, arguments: &[&str]) -> Called {
        sandmill_in(self.path(), arguments)
    }

    /// The document that a command prints, whatever its exit code.
    #[must_use]
    pub fn document(&self, arguments: &[&str]) -> Value {
        json(&self.call(&[arguments, &["--output", "json"]].concat()))
    }

    /// How many runs of the latest flow run have ended; none while there is no flow run.
    #[must_use]
    pub fn done(&self) -> Option<u64> {
        let listed = self.call(&["runs", "list", "--limit", "1", "--output", "json"]);
        let listed: Value = serde_json::from_str(&listed.stdout).ok()?;
        listed["flows"][0]["runs"]["done"].as_u64()
    }
}

/// The document that was printed.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn json(called: &Called) -> Value {
    serde_json::from_str(&called.stdout).unwrap_or_else(|error| panic!("{error}: {called:?}"))
}

/// The documents that were printed, one a line.
///
/// # Panics
/// When one is none.
#[must_use]
pub fn json_lines(called: &Called) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    called.stdout.lines().map(line).collect()
}
