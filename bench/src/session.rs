//! A subject's process, from the side of whoever asks. Nothing is waited for without end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;

use crate::measure::{Answer, Latency, Measure, Said};
use crate::places::{Places, workspace};
use crate::process_tree;
use crate::subject::{Entry, Launch};

/// How long a subject may take to be ready.
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(120);
/// How long a subject may take to end once it was told to.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Names the interpreter for the scripts in `peers/`.
const PYTHON: &str = "SANDMILL_BENCH_PYTHON";

/// One measurement, with what it cost the subject's processes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reading {
    pub(crate) runs: u64,
    pub(crate) seconds: f64,
    /// CPU time of all processes of the subject.
    pub(crate) cpu_seconds: f64,
    /// The peaks of their memory together, from when this measurement began.
    pub(crate) peak_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
}

impl Reading {
    /// Runs in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.runs as f64 / self.seconds
    }
}

/// Why there is no session.
pub(crate) enum Closed {
    /// It is not on this machine, and what to do about it.
    Missing(String),
    /// It does not work.
    Failed(anyhow::Error),
}

/// A subject that can be asked.
pub(crate) struct Session {
    entry: &'static Entry,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it is, in its own words.
    pub(crate) what: String,
}

impl Session {
    /// Starts the subject's process, and waits until it can be asked.
    pub(crate) fn open(entry: &'static Entry, places: &Places) -> Result<Self, Closed> {
        let mut session = Self::start(entry, places).map_err(Closed::Failed)?;
        match session.hear(OPEN_PATIENCE).map_err(Closed::Failed)? {
            Said::Ready { what } => session.what = what,
            Said::Missing { why } => return Err(Closed::Missing(why)),
            other => return Err(Closed::Failed(anyhow!("it began with {other:?}"))),
        }
        Ok(session)
    }

    fn start(entry: &'static Entry, places: &Places) -> Result<Self> {
        let mut command = match entry.launch {
            Launch::Own => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["subject", entry.name]);
                for (flag, path) in places.arguments() {
                    command.arg(flag).arg(path);
                }
                command
            }
            Launch::Python(script) => {
                let python =
                    std::env::var_os(PYTHON).map_or_else(|| "python3".into(), PathBuf::from);
                let mut command = Command::new(python);
                command.arg(workspace().join("bench/peers").join(script));
                command.current_dir(&places.scratch);
                command
            }
        };
        // What is set for the tests, or by the user, is nothing for the processes of a subject: the
        // `sandmill` binary takes no variable that it does not know, and minds those that it does.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SANDMILL_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("it was asked for")?;
        let (heard, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if heard.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { entry, child, stdin, lines, what: String::new() })
    }

    /// Asks for one measurement, which may take so long.
    pub(crate) fn measure(&mut self, measure: Measure, patience: Duration) -> Result<Reading> {
        let id = self.child.id();
        process_tree::reset_peaks(id);
        let before = process_tree::cpu_seconds(id);
        let stdin = self.stdin.as_mut().context("it is there until the end")?;
        writeln!(stdin, "{}", serde_json::to_string(&measure)?)?;
        stdin.flush()?;
        let answer = match self.hear(patience)? {
            Said::Measured(answer) => answer,
            Said::Failed { why } => bail!("{why}"),
            other => bail!("it answered {other:?}"),
        };
        if answer.runs != measure.runs() {
            bail!("{} of {} runs came to a good end", answer.runs, measure.runs());
        }
        let cpu_seconds = process_tree::cpu_seconds(id) - before;
        let Answer { runs, seconds, latency, peak_bytes } = answer;
        let peak_bytes = peak_bytes.unwrap_or_else(|| process_tree::peak_bytes(id));
        Ok(Reading { runs, seconds, cpu_seconds, peak_bytes, latency })
    }

    fn hear(&mut self, patience: Duration) -> Result<Said> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => serde_json::from_str(&line)
                .with_context(|| format!("`{}` said `{line}`", self.entry.name)),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {patience:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("its process has ended"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let start = Instant::now();
        while start.elapsed() < END_PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // It did not end by itself; what it started notices that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
