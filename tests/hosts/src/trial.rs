//! A flow that a coordinator runs on the workers of a network, while a test has something go wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::binary;
use crate::certificates::Certificates;
use crate::history::{self, Whole};
use crate::metrics::Metrics;
use crate::network::Network;
use crate::process::{Ended, Process};
use crate::worker::{Worker, WorkerSetup};
use crate::workload::Workload;

/// Longer than a flow takes, whatever happens to it.
pub const LONG: Duration = Duration::from_secs(180);
/// Within this time of healing a flow has to go on.
pub const HEALED_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks at what happens.
const LOOK: Duration = Duration::from_millis(200);
/// Runs that a worker may have had, in its slots and before them, for each slot.
const HAD_A_SLOT: u64 = 4;
/// How often both sides of a link say that they are there, and how long a host that is not heard of
/// keeps its runs, where a test has these run out: shorter than they are by default, so that it does not
/// take long, and longer than a busy machine stands still.
const BRISK: [(&str, &str); 2] =
    [("SANDMILL_REMOTE__HEARTBEAT", "2s"), ("SANDMILL_REMOTE__LEASE", "6s")];
/// Longer than the [brisk](Trial::be_brisk) lease.
pub const PAST_THE_LEASE: Duration = Duration::from_secs(9);
/// Slots of the pool: its runs sleep most of the time.
const POOL: &str = "128";

/// Hosts with workers, a flow and a store.
pub struct Trial {
    /// What ties the hosts together.
    pub network: Network,
    folder: TempDir,
    /// Who may do what.
    pub certificates: Certificates,
    security: Vec<Vec<String>>,
    workload: Workload,
    flow: PathBuf,
    slots: usize,
    workers: Vec<Option<Worker>>,
    more: Vec<String>,
    is_brisk: bool,
    /// In which format coordinators say how a flow ended.
    output: &'static str,
    /// Coordinators that were started: what each says goes to files of its own.
    coordinators: AtomicU32,
}

impl Trial {
    /// Three hosts, each with a worker of so many slots, and a flow for them.
    ///
    /// # Panics
    /// When they cannot be had.
    #[must_use]
    pub fn new(workload: Workload, slots: usize) -> Self {
        let mut trial = Self::without_workers(workload, slots);
        for host in 0..trial.network.hosts() {
            trial.start_worker(host);
        }
        trial
    }

    /// The same before any worker was started.
    ///
    /// # Panics
    /// When they cannot be had.
    #[must_use]
    pub fn without_workers(workload: Workload, slots: usize) -> Self {
        let network = Network::new(3);
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let certificates = Certificates::new(&folder.path().join("certificates"));
        let security = certificates.issue_to_hosts(&network);
        let _ = certificates.issue("submit", "coordinator", &[]);
        let flow = workload.write(folder.path());
        let workers = (0..network.hosts()).map(|_| None).collect();
        Self {
            network,
            folder,
            certificates,
            security,
            workload,
            flow,
            slots,
            workers,
            more: vec![],
            is_brisk: false,
            output: "quiet",
            coordinators: AtomicU32::new(0),
        }
    }

    /// Has coordinators give up hosts sooner than by default: [`PAST_THE_LEASE`] is long enough.
    #[must_use]
    pub const fn be_brisk(mut self) -> Self {
        self.is_brisk = true;
        self
    }

    /// Has coordinators write down all that there is to say of a flow that ended ([`Ended::document`]), and
    /// not its result alone.
    #[must_use]
    pub const fn tell_all(mut self) -> Self {
        self.output = "json";
        self
    }

    /// Gives all workers that are started from now on these arguments besides.
    pub fn give_workers(&mut self, arguments: &[&str]) {
        self.more = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// Has all workers that are started from now on know others by these arguments.
    pub fn secure_workers(&mut self, arguments: &[&str]) {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        self.security.fill(arguments);
    }

    /// A join token that nobody has yet.
    ///
    /// # Panics
    /// When none is made.
    #[must_use]
    pub fn token(&self) -> String {
        let token = binary::call(self.folder(), &["cert", "token"]);
        token.unwrap_or_else(|error| panic!("{error}")).trim().to_owned()
    }

    /// The binary on a host, not started yet.
    #[must_use]
    pub fn binary(&self, host: usize, arguments: &[&str]) -> Command {
        let mut command = self.network.command(host, binary::path());
        command.args(arguments);
        binary::surround(&mut command, self.folder());
        command
    }

    /// The flow's file.
    #[must_use]
    pub fn flow(&self) -> String {
        self.flow.display().to_string()
    }

    /// Where everything is kept.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The flow's store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// Starts the worker of a host, and waits until it serves.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_worker(&mut self, host: usize) {
        let (slots, security) = (self.slots, self.security[host].clone());
        let setup = WorkerSetup { slots, security, more: self.more.clone() };
        let mut worker = Worker::start(&self.network, host, &setup, self.folder.path());
        let started = Instant::now();
        while worker.metrics().is_err() {
            let gone = worker.process().has_ended();
            assert!(!gone && started.elapsed() < LONG, "no worker: {}", worker.process().said());
            thread::sleep(Duration::from_millis(20));
        }
        self.workers[host] = Some(worker);
    }

    /// The worker of a host.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn worker(&self, host: usize) -> &Worker {
        self.workers[host].as_ref().expect("the worker is there")
    }

    /// Takes the worker of a host away, to be waited for.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn take_worker(&mut self, host: usize) -> Process {
        self.workers[host].take().expect("the worker is there").into_process()
    }

    /// Kills the worker of a host.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_worker(&mut self, host: usize) {
        let worker = self.take_worker(host);
        worker.signal(Signal::KILL);
        assert_eq!(worker.wait(LONG).code, None, "a signal ended it");
    }

    /// The numbers of a worker.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn metrics(&self, host: usize) -> Metrics {
        self.worker(host).metrics().unwrap_or_else(|error| panic!("worker {host}: {error}"))
    }

    /// Starts the coordinator.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn run(&self) -> Process {
        let security = self.certificates.files("coordinator");
        self.start_coordinator(&["run", &self.flow()], &security)
    }

    /// Has another coordinator take up what one left behind.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn resume(&self) -> Process {
        let security = self.certificates.files("coordinator");
        self.start_coordinator(&["runs", "resume", "latest"], &security)
    }

    /// Starts a coordinator of these words with this security.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_coordinator(&self, words: &[&str], security: &[String]) -> Process {
        let mut command = self.coordinator(words, security);
        let number = self.coordinators.fetch_add(1, Ordering::Relaxed);
        Process::start(&mut command, self.folder(), &format!("coordinator-{number}"))
    }

    /// A coordinator that is not started yet.
    #[must_use]
    pub fn coordinator(&self, words: &[&str], security: &[String]) -> Command {
        let mut command = binary::command(&self.store(), words);
        command.args(["--output", self.output, "--executor", "remote"]);
        if self.is_brisk {
            command.envs(BRISK);
        }
        for host in 0..self.network.hosts() {
            command.args(["--host", &self.address(host)]);
        }
        command.args(security);
        command
    }

    /// Where the worker of a host is reached.
    #[must_use]
    pub fn address(&self, host: usize) -> String {
        format!("tls://{}:{}", self.network.address(host), crate::worker::PORT)
    }

    /// How many runs of the flow have ended, by what the store says; 0 before there is a flow run.
    #[must_use]
    pub fn done(&self) -> u64 {
        let shown = binary::document(&self.store(), &["runs", "show", "latest"]);
        shown.ok().and_then(|shown| shown["flow"]["runs"]["done"].as_u64()).unwrap_or(0)
    }

    /// Waits until so many runs have ended.
    ///
    /// # Panics
    /// When that takes longer than `patience`, or the coordinator ends before.
    pub fn wait_for(&self, coordinator: &mut Process, runs: u64, patience: Duration) -> Duration {
        self.until(coordinator, patience, &format!("{runs} runs"), || self.done() >= runs)
    }

    /// Waits until something is so: how long it took.
    ///
    /// # Panics
    /// When that takes longer than `patience`, or the coordinator ends before.
    pub fn until(
        &self,
        coordinator: &mut Process,
        patience: Duration,
        what: &str,
        is_so: impl Fn() -> bool,
    ) -> Duration {
        let asked = Instant::now();
        loop {
            let ended = coordinator.has_ended();
            if is_so() {
                return asked.elapsed();
            }
            let said = || format!("{} runs are done; {}", self.done(), coordinator.said());
            assert!(!ended, "the coordinator ended before {what}: {}", said());
            assert!(asked.elapsed() < patience, "{what} take longer than {patience:?}: {}", said());
            thread::sleep(LOOK);
        }
    }

    /// Waits until the flow has gone on since a link was healed, and the worker of this host with it.
    /// How long that took.
    ///
    /// # Panics
    /// When it takes longer than [`HEALED_WITHIN`].
    pub fn wait_for_healing(&self, coordinator: &mut Process, host: usize) -> Duration {
        // What it had in its slots and before them may end without anybody to tell.
        let had = self.slots as u64 * HAD_A_SLOT;
        let (done, made) = (self.done(), self.made(host) + had);
        self.until(coordinator, HEALED_WITHIN, &format!("runs of host {host}"), || {
            self.done() > done && self.made(host) > made
        })
    }

    /// How many runs of the worker of a host have ended with a value.
    #[must_use]
    pub fn made(&self, host: usize) -> u64 {
        count(&self.metrics(host), "sandmill_worker_runs_ended_total{end=\"value\"}")
    }

    /// Waits for the end, and checks everything that has to hold whatever went wrong.
    ///
    /// # Panics
    /// When it does not.
    pub fn finish(&self, coordinator: Process) -> (Ended, Whole) {
        let ended = coordinator.wait(LONG).exits(0);
        let tells_all = self.output == "json";
        let document = ended.document();
        let result = if tells_all { &document["result"] } else { &document };
        let wanted = serde_json::to_value(self.workload.result()).expect("numbers are a document");
        assert!(*result == wanted, "the result is another");
        assert!(
            tells_all || ended.last_line() == result_of_the_pool(&self.workload),
            "the pool's result has other bytes"
        );
        let whole = history::whole(&self.store(), "nap", self.workload.runs());
        (ended, whole)
    }
}

/// What the same flow comes to in a pool, which is asked for once however large the component is.
fn result_of_the_pool(workload: &Workload) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let workload = &workload.clone().with_component_as_it_is();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let result = known.entry(format!("{workload:?}")).or_insert_with(|| {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let flow = workload.write(folder.path()).display().to_string();
        let words = ["run", &flow, "--no-history", "--output", "quiet"];
        let pool = ["--executor", "pool", "--slots", POOL];
        let written = binary::call(folder.path(), &[&words[..], &pool].concat());
        let written = written.unwrap_or_else(|error| panic!("{error}"));
        written.lines().next_back().unwrap_or_default().trim().to_owned()
    });
    result.clone()
}

/// A whole number of a worker: the sum of all of this name, or that with exactly these labels. 0 where
/// there is none yet.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count is whole")]
pub fn count(metrics: &Metrics, name: &str) -> u64 {
    metrics.sum(name) as u64
}
