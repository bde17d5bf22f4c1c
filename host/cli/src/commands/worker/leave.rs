//! How a worker leaves: what tells it to, what it waits for, and with which exit code.

use std::io::Read as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sandmill::WorkerHost;
use sandmill::core::units::format_duration;
use sandmill::executors::worker::WorkerStatus;

use super::watch::Log;
use crate::error::{CliError, Result};
use crate::text::counted;
use crate::{exit_code, signals};

/// How often it is said what a worker that leaves still waits for.
const SAY_AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked at whether it has left.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for whatever tells the worker to leave.
pub(super) struct Leaving(Receiver<()>);

impl Leaving {
    /// The first SIGTERM or Ctrl-C. The second ends the process.
    pub(super) fn on_signal() -> Self {
        let (told, leaving) = mpsc::channel();
        signals::listen();
        signals::on_interrupt(move || {
            // Whoever waits has gone only with the process.
            let _ = told.send(());
        });
        Self(leaving)
    }

    /// The end of standard input. Signals are the parent's: a Ctrl-C reaches all processes of a
    /// terminal, and the parent says what comes of it.
    pub(super) fn with_parent() -> Result<Self> {
        signals::ignore();
        let (told, leaving) = mpsc::channel();
        let wait = move || {
            let mut rest = [0; 256];
            while matches!(std::io::stdin().lock().read(&mut rest), Ok(read) if read > 0) {}
            let _ = told.send(());
        };
        std::thread::Builder::new()
            .name("sandmill-parent".to_owned())
            .spawn(wait)
            .map_err(|error| CliError::infrastructure("no thread to be had").detail(error))?;
        Ok(Self(leaving))
    }

    /// Waits for so long; whether it is told to leave.
    pub(super) fn wait(&self, time: Duration) -> bool {
        !matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

/// Leaves, and says with what code to exit.
pub(super) fn leave(host: WorkerHost, log: &Log, grace: Duration) -> u8 {
    let began = Instant::now();
    // Runs in slots when the grace was over: they are cancelled then, whatever they end as.
    let mut cut = host.status().running;
    if let Some(words) = left(&host.status()) {
        let grace = format_duration(grace);
        log.write(format_args!(
            "leaving: waiting up to {grace} for {words}; press Ctrl-C again to leave at once"
        ));
    }
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| host.drain(grace));
        let mut said = Instant::now();
        while !draining.is_finished() {
            std::thread::sleep(LOOK);
            if began.elapsed() < grace {
                cut = host.status().running;
            }
            if said.elapsed() >= SAY_AGAIN {
                said = Instant::now();
                if let Some(words) = left(&host.status()) {
                    log.write(format_args!("leaving: waiting for {words}"));
                }
            }
        }
    });
    let is_over = began.elapsed() >= grace;
    let untaken = host.status().untaken;
    host.close();
    let (is_cut, is_untaken) = (is_over && cut > 0, untaken > 0);
    if is_cut {
        let runs = counted(cut as u64, "run");
        log.warn(format_args!("{runs} cancelled as the worker left"));
    }
    if is_untaken {
        let results = counted(untaken, "result");
        log.warn(format_args!("{results} not taken by whoever ordered them: they are lost"));
    }
    if (is_cut || is_untaken) && !log.is_silent() {
        return exit_code::RUN_FAILED;
    }
    log.write("left");
    exit_code::SUCCESS
}

/// What a worker that leaves waits for; none where that is nothing.
fn left(status: &WorkerStatus) -> Option<String> {
    let mut parts = Vec::new();
    if status.running > 0 {
        parts.push(format!("{} to end", counted(status.running as u64, "run")));
    }
    if status.kept > 0 {
        parts.push(format!("{} to be taken", counted(status.kept as u64, "result")));
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}
