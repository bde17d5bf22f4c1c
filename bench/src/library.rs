//! Sandmill as a library: the executors, as an embedder has them, and the sandbox alone.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use sandmill::core::{Attempt, CancelToken, Invoker as _};
use sandmill::future::OnError;
use sandmill::sandbox::{Sandbox, SandboxConfig};
use sandmill::{
    Call, Component, Events, ExecutorKind, Host, HostBuilder, Isolation, MapOptions,
    RemoteSettings, RemoteWorkers, RunId, Task, WorkerCommand,
};

use crate::arguments;
use crate::flows;
use crate::measure::{Answer, Latency, Measure};
use crate::nats::Nats;
use crate::places::Places;
use crate::subject::Subject;

/// Results that may wait to be taken, as in `sandmill map`.
const WINDOW: usize = 1_024;
/// Bytes of such results, where they are large; at least this many may wait whatever they have.
const WINDOW_BYTES: u64 = 64 << 20;
const WINDOW_LEAST: u64 = 64;

/// How the runs of a host are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As maps and calls.
    Calls,
    /// As the runs of a flow file, which is written down where the host has a store.
    Flow,
}

/// A host, and what is measured of it.
pub(crate) struct Library {
    host: Host,
    guest: Component,
    guest_path: PathBuf,
    way: Way,
    /// After the host, so that it goes after it.
    _nats: Option<Nats>,
    /// Flow files, the data directory, what the server keeps: last of all.
    folder: tempfile::TempDir,
}

impl Library {
    /// A host that makes its runs so, with as many slots as `slots` says.
    pub(crate) fn open(places: &Places, name: &str, slots: usize) -> Result<Self> {
        let folder = tempfile::tempdir_in(&places.scratch)?;
        let mut nats = None;
        let local = |workers, slots| {
            let command = worker_command(places);
            let workers = RemoteWorkers::Local { command, workers, slots, adapt: None };
            let host = Host::builder().executor(ExecutorKind::Remote);
            host.remote(RemoteSettings::new(workers))
        };
        let pool = || Host::builder().executor(ExecutorKind::Pool).slots(slots);
        let (builder, way): (HostBuilder, Way) = match name {
            "inline" => (Host::builder().executor(ExecutorKind::Inline), Way::Calls),
            "pool" => (pool(), Way::Calls),
            "flow" => (pool(), Way::Flow),
            "journal" => (pool().data_dir(folder.path().join("data")), Way::Flow),
            "processes" => {
                let pool = pool().isolation(Isolation::Processes);
                (pool.worker_command(worker_command(places)), Way::Calls)
            }
            "remote-1" => (local(1, slots), Way::Calls),
            "remote-2" => (local(2, 1), Way::Calls),
            "nats" => {
                let running = nats.insert(Nats::start(places, folder.path(), slots)?);
                let host = Host::builder().executor(ExecutorKind::Remote);
                (host.remote(RemoteSettings::new(running.workers()?)), Way::Calls)
            }
            other => bail!("there is no executor `{other}`"),
        };
        let host = builder.build()?;
        let guest = host.load(&places.guest)?;
        let guest_path = places.guest.clone();
        Ok(Self { host, guest, guest_path, way, _nats: nats, folder })
    }

    fn task(&self, name: &str, window: Option<usize>) -> Result<Task> {
        let options = MapOptions { window, fail_fast: false };
        Ok(self.host.task(&self.guest, name)?.map_options(options))
    }

    /// Takes results as they come.
    fn stream(&self, task: &Task, runs: u64) -> Result<Answer> {
        let start = Instant::now();
        let mut done = 0;
        for run in task.map_over("number", 0..runs).into_ordered() {
            run.result(None)?;
            done += 1;
        }
        Ok(answer(start, done))
    }

    fn echo(&self, runs: u64, bytes: u64) -> Result<Answer> {
        let arguments = arguments::echo(bytes)?;
        let expected = arguments.get("bytes").context("it was put there")?;
        let calls = (0..runs).map(move |_| arguments.clone());
        let window = (WINDOW_BYTES / bytes.max(1)).clamp(WINDOW_LEAST, WINDOW as u64);
        let task = self.task("echo", usize::try_from(window).ok())?;
        let start = Instant::now();
        let mut done = 0;
        for run in task.map(calls).into_ordered() {
            let value = run.result(None)?;
            let is_whole = value.len_bytes() == expected.len_bytes();
            ensure!(is_whole, "an echo came back with another length");
            done += 1;
        }
        Ok(answer(start, done))
    }

    fn one_by_one(&self, runs: u64) -> Result<Answer> {
        let task = self.task("nothing", None)?;
        let mut times = Vec::new();
        let start = Instant::now();
        for number in 0..runs {
            let start = Instant::now();
            task.call(sandmill::args! { "number" => number }?).result(None)?;
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(Answer { latency: Latency::of(times), ..answer(start, runs) })
    }

    fn flow(&self, stages: &[&str], width: u64) -> Result<Answer> {
        let path = self.folder.path().join("flow.toml");
        std::fs::write(&path, flows::text(&self.guest_path, stages))?;
        flows::run(&self.host, &path, width, stages.len() as u64)
    }
}

impl Subject for Library {
    fn measure(&mut self, measure: Measure) -> Result<Answer> {
        match (self.way, measure) {
            (Way::Calls, Measure::Nothing { runs }) => {
                self.stream(&self.task("nothing", Some(WINDOW))?, runs)
            }
            (Way::Calls, Measure::Hold { runs }) => {
                let task = self.task("nothing", None)?;
                let start = Instant::now();
                let all = task.map_over("number", 0..runs).results(None, OnError::Cancel)?;
                Ok(answer(start, all.len() as u64))
            }
            (Way::Calls, Measure::Spin { runs, rounds, .. }) => {
                self.stream(&self.task("spin", Some(WINDOW))?.with("rounds", &rounds)?, runs)
            }
            (Way::Calls, Measure::Echo { runs, bytes }) => self.echo(runs, bytes),
            (Way::Calls, Measure::RoundTrip { runs }) => self.one_by_one(runs),
            (Way::Flow, Measure::Nothing { runs }) => self.flow(&["nothing"], runs),
            (_, Measure::Flow { width }) => {
                self.flow(&["next"; crate::measure::STAGES as usize], width)
            }
            (Way::Flow, _) | (_, Measure::Start { .. }) => bail!("this is not measured here"),
        }
    }
}

/// What makes a worker of this machine.
fn worker_command(places: &Places) -> WorkerCommand {
    WorkerCommand::new(&places.sandmill, ["--output", "quiet", "worker", "--for-parent"])
}

fn answer(start: Instant, runs: u64) -> Answer {
    Answer { runs, seconds: start.elapsed().as_secs_f64(), ..Answer::default() }
}

/// The sandbox without an executor: attempts, one after the other.
pub(crate) struct Alone {
    sandbox: Sandbox,
    guest: Component,
}

impl Alone {
    /// A sandbox with one slot.
    pub(crate) fn open(places: &Places) -> Result<Self> {
        let sandbox = Sandbox::new(SandboxConfig { slots: 1, ..SandboxConfig::default() })?;
        let guest = sandmill::load_component(&places.guest)?;
        sandbox.prepare(&guest).map_err(|end| anyhow::anyhow!(end.message))?;
        Ok(Self { sandbox, guest })
    }

    fn run(&self, call: &Call) -> Result<()> {
        let (cancel, events) = (CancelToken::new(), Events::default());
        let attempt =
            Attempt { run: RunId::new(), number: 1, call, cancel: &cancel, events: &events };
        let report = self.sandbox.invoke(attempt);
        ensure!(report.outcome.is_success(), "a run ended as {:?}", report.outcome);
        Ok(())
    }
}

impl Subject for Alone {
    fn measure(&mut self, measure: Measure) -> Result<Answer> {
        let (task, arguments, runs) = match measure {
            Measure::Nothing { runs } | Measure::RoundTrip { runs } => {
                ("nothing", arguments::nothing()?, runs)
            }
            Measure::Spin { runs, rounds, .. } => ("spin", arguments::spin(rounds)?, runs),
            Measure::Echo { runs, bytes } => ("echo", arguments::echo(bytes)?, runs),
            _ => bail!("the sandbox alone has none of this"),
        };
        let call = Call::new(&self.guest, task, arguments);
        let mut times = Vec::new();
        let one_by_one = matches!(measure, Measure::RoundTrip { .. });
        let started = Instant::now();
        for number in 0..runs {
            let start = one_by_one.then(Instant::now);
            self.run(&call).with_context(|| format!("run {number}"))?;
            times.extend(start.map(|start| start.elapsed().as_secs_f64()));
        }
        Ok(Answer { latency: Latency::of(times), ..answer(started, runs) })
    }
}
