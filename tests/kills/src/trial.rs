//! One flow, killed again and again until it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sandmill_core::StateType;
use sandmill_store::{FlowFilter, MAX_LIST, Reader, RunFilter};
use sandmill_test_artifacts as artifacts;

use crate::workload::{self, SECOND, Workload};

/// Longer than a flow takes, killed or not.
const LONG: Duration = Duration::from_secs(120);
/// Signal 9.
const SIGKILL: i32 = 9;
/// What tells the process to kill itself (see the store's failpoints).
const FAILPOINT: &str = "SANDMILL_FAILPOINT";

/// How a process is to die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kill {
    /// From outside, after this time.
    After(Duration),
    /// By itself, when it comes to this point for the `n`-th time.
    At {
        /// One of the store's failpoints.
        point: String,
        /// How often it has to come there.
        times: u64,
    },
}

/// What a trial came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Processes that were killed.
    pub kills: u64,
    /// Processes that ended by themselves before they could be killed.
    pub escapes: u64,
    /// Runs that had to be done again, because their first time was not in the journal yet.
    pub repeated: u64,
}

/// A flow in a folder and a store of its own.
pub struct Trial {
    workload: Workload,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    /// How often each run had been done when the journal first said that it is completed.
    completed: BTreeMap<u64, u64>,
    tally: Tally,
}

impl Trial {
    /// A new one.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let arguments = workload.prepare(folder.path());
        Self { workload, folder, arguments, completed: BTreeMap::new(), tally: Tally::default() }
    }

    /// How long the flow takes when nobody kills it: kills at random are to fall into that time.
    ///
    /// # Panics
    /// When what has to hold does not.
    #[must_use]
    pub fn undisturbed(workload: Workload) -> Duration {
        let trial = Self::new(workload);
        let started = Instant::now();
        let _ = trial.finish();
        started.elapsed()
    }

    /// Starts the flow or takes it up, and has it killed. Whether it ended before that.
    ///
    /// # Panics
    /// When what has to hold does not.
    pub fn kill(&mut self, kill: &Kill) -> bool {
        let mut command = self.command();
        if let Kill::At { point, times } = kill {
            command.env(FAILPOINT, format!("{point}=kill@{times}"));
        }
        let mut child = command.spawn().expect("the binary can be started");
        if let Kill::After(time) = kill {
            thread::sleep(*time);
            // It may have ended by then.
            let _ = child.kill();
        }
        let (code, killed, output) = wait(child);
        assert!(killed || code == Some(0), "{kill:?}: exit code {code:?}\n{output}");
        if killed {
            self.tally.kills += 1;
        } else {
            self.tally.escapes += 1;
        }
        self.look(&format!("after {kill:?}"));
        !killed
    }

    /// Lets the flow come to its end, and checks everything.
    ///
    /// # Panics
    /// When what has to hold does not.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        let child = self.command().spawn().expect("the binary can be started");
        let (code, _, output) = wait(child);
        assert_eq!(code, Some(0), "the flow does not end well:\n{output}");
        let result = output.lines().next_back().unwrap_or_default().trim().to_owned();
        assert_eq!(result, Workload::result().to_string(), "{:?}: {output}", self.workload);
        self.look("at the end");
        let counts = workload::counted(self.folder.path());
        assert_eq!(counts.len() as u64, Workload::marked_runs(), "some runs were never done");
        assert_eq!(
            self.completed.len() as u64,
            Workload::marked_runs(),
            "some are not written down"
        );
        self.tally.repeated = counts.values().map(|count| count - 1).sum();
        self.tally
    }

    /// Starts the flow, or takes it up where there is one.
    fn command(&self) -> Command {
        let mut command = Command::new(artifacts::sandmill_binary());
        let scratch = artifacts::scratch();
        command
            .env("XDG_CONFIG_HOME", scratch.join("no-config"))
            .env("XDG_CACHE_HOME", scratch.join("cache"))
            .env("SANDMILL_STORE__DIR", self.store())
            .env_remove(FAILPOINT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match self.flow_is_there() {
            Some(true) => command.args(["runs", "result", "latest", "--output", "quiet"]),
            Some(false) => command.args(["runs", "resume", "latest", "--output", "quiet"]),
            None => command.arg("run").args(&self.arguments).args(["--output", "quiet"]),
        };
        command
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Whether the flow's run has ended; none when there is none yet.
    fn flow_is_there(&self) -> Option<bool> {
        let reader = Reader::open(&self.store()).ok()?;
        let flows = reader.flows(&FlowFilter::default()).expect("the store can be read");
        assert!(flows.len() <= 1, "there are {} runs of the flow", flows.len());
        flows.first().map(|flow| flow.state.is_final())
    }

    /// Compares what the journal calls completed with what was done.
    fn look(&mut self, when: &str) {
        let counts = workload::counted(self.folder.path());
        for (number, before) in &self.completed {
            let now = counts.get(number);
            assert_eq!(now, Some(before), "{when}: run {number} was completed, and done again");
        }
        for number in completed(&self.store()) {
            let count = counts.get(&number).copied();
            let count = count.unwrap_or_else(|| panic!("{when}: run {number} was never done"));
            self.completed.entry(number).or_insert(count);
        }
    }
}

/// The runs that the journal calls completed, by their numbers.
fn completed(store: &Path) -> BTreeSet<u64> {
    let Ok(reader) = Reader::open(store) else { return BTreeSet::new() };
    let Some(flow) = reader.flows(&FlowFilter::default()).expect("flows").into_iter().next() else {
        return BTreeSet::new();
    };
    let mut numbers = BTreeSet::new();
    for (stage, first, step) in [("first", 0, 1), ("second", SECOND, 2)] {
        let filter = RunFilter {
            stage: Some(stage.to_owned()),
            states: vec![StateType::Completed],
            limit: MAX_LIST,
            ..RunFilter::default()
        };
        let runs = reader.runs(flow.run, &filter).expect("runs");
        let indices = runs.iter().filter_map(|run| run.key.index);
        numbers.extend(indices.map(|index| first + step * index));
    }
    numbers
}

/// Waits for the end: the exit code, whether it was killed, and what it printed.
fn wait(child: Child) -> (Option<i32>, bool, String) {
    let started = Instant::now();
    let output = child.wait_with_output().expect("it can be waited for");
    assert!(started.elapsed() < LONG, "it took {:?}", started.elapsed());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = format!("{}\n{}", text(&output.stderr), text(&output.stdout));
    (output.status.code(), output.status.signal() == Some(SIGKILL), printed)
}
