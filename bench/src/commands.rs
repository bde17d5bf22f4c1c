//! Whole processes: the command line as users call it, `wasmtime run`, and the least that a process
//! has to do.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::bare;
use crate::measure::{Answer, Latency, Measure};
use crate::places::Places;
use crate::process_tree::peak_of;
use crate::subject::Subject;

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// One kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `sandmill map`.
    Map,
    /// `sandmill call`.
    Call,
    /// `wasmtime run` of the precompiled command.
    Wasmtime,
    /// This program: see [`bare::start`].
    Start,
}

/// Processes of one kind.
pub(crate) struct Commands {
    kind: Kind,
    places: Places,
    /// The cache of compiled code, or what was compiled beforehand.
    folder: tempfile::TempDir,
}

impl Commands {
    /// Makes ready what is compiled beforehand.
    pub(crate) fn open(places: &Places, kind: Kind) -> Result<Self> {
        let folder = tempfile::tempdir_in(&places.scratch)?;
        let this = Self { kind, places: places.clone(), folder };
        match kind {
            Kind::Map | Kind::Call => {}
            Kind::Start => bare::precompile(&places.guest, &this.compiled())?,
            Kind::Wasmtime => {
                let compile = Command::new("wasmtime")
                    .arg("compile")
                    .arg(&places.command)
                    .arg("-o")
                    .arg(this.compiled())
                    .output()
                    .map_err(|_| anyhow!("not installed: https://wasmtime.dev"))?;
                let said = String::from_utf8_lossy(&compile.stderr).into_owned();
                ensure!(compile.status.success(), "`wasmtime compile` failed: {said}");
            }
        }
        Ok(this)
    }

    fn compiled(&self) -> PathBuf {
        self.folder.path().join("compiled")
    }

    fn command(&self, measure: Measure) -> Result<Command> {
        let mut command = match self.kind {
            Kind::Map | Kind::Call => {
                let mut command = Command::new(&self.places.sandmill);
                command.env("SANDMILL_CACHE__DIRECTORY", self.compiled());
                command.args(["--output", "quiet"]);
                command
            }
            Kind::Wasmtime => Command::new("wasmtime"),
            Kind::Start => Command::new(std::env::current_exe()?),
        };
        match (self.kind, measure) {
            (Kind::Map, Measure::Nothing { runs }) => {
                command.arg("map").arg(&self.places.guest).arg("nothing");
                command.args(["--as", "number", "--range", &format!("0..{runs}")]);
            }
            (Kind::Map, Measure::Spin { runs, rounds, .. }) => {
                command.arg("map").arg(&self.places.guest).arg("spin");
                command.args(["--as", "number", "--range", &format!("0..{runs}")]);
                command.args(["-a", &format!("rounds={rounds}")]);
            }
            (Kind::Call, Measure::Start { .. }) => {
                command.arg("call").arg(&self.places.guest).args(["nothing", "-a", "number=7"]);
            }
            (Kind::Wasmtime, Measure::Start { cold: false, .. } | Measure::Nothing { .. }) => {
                command.args(["run", "--allow-precompiled"]).arg(self.compiled());
            }
            (Kind::Start, Measure::Start { cold: false, .. } | Measure::Nothing { .. }) => {
                command.arg("bare-start").arg(self.compiled());
            }
            _ => bail!("this is not measured here"),
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    /// One process for all runs, which is looked at while it runs.
    fn whole(&self, measure: Measure) -> Result<Answer> {
        let mut command = self.command(measure)?;
        let (over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
        let start = Instant::now();
        let child = command.spawn().context("the process cannot be started")?;
        let id = child.id();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    peak.fetch_max(peak_of(id), Ordering::Relaxed);
                    std::thread::sleep(LOOK);
                }
            });
            let ended = finish(child);
            over.store(true, Ordering::Relaxed);
            ended
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let peak_bytes = Some(peak.into_inner()).filter(|&peak| peak > 0);
        Ok(Answer { runs: measure.runs(), seconds, latency: None, peak_bytes })
    }

    /// A process for each run, one after the other.
    fn each(&self, measure: Measure) -> Result<Answer> {
        let cold = matches!(measure, Measure::Start { cold: true, .. });
        if !cold {
            // What there is to keep is kept before the clock runs.
            finish(self.command(measure)?.spawn()?)?;
        }
        let mut times = Vec::new();
        for _ in 0..measure.runs() {
            if cold {
                match std::fs::remove_dir_all(self.compiled()) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
            let mut command = self.command(measure)?;
            let start = Instant::now();
            finish(command.spawn()?)?;
            times.push(start.elapsed().as_secs_f64());
        }
        let (runs, seconds) = (times.len() as u64, times.iter().sum());
        Ok(Answer { runs, seconds, latency: Latency::of(times), peak_bytes: None })
    }
}

impl Subject for Commands {
    fn measure(&mut self, measure: Measure) -> Result<Answer> {
        match self.kind {
            Kind::Map => self.whole(measure),
            Kind::Call | Kind::Wasmtime | Kind::Start => self.each(measure),
        }
    }
}

/// Waits for a process that has to end well.
fn finish(child: Child) -> Result<()> {
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the process failed ({}): {}", output.status, said.trim());
    Ok(())
}
