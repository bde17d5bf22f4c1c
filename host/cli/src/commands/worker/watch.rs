//! What a worker's log has: who came, who was refused, who left, which components were taken, and
//! whether its engine is there.
//! Secrets are in none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use sandmill::Digest;
use sandmill::executors::worker::WorkerStatus;
use sandmill::transport::direct::Notice;
use sandmill::transport::engine::EngineLink;
use tokio::sync::watch::Receiver;

use super::lines::Lines;
use crate::error::Result;
use crate::output::{Ui, escape, moment, warning};

/// How long a worker that has left waits for whoever reads its log.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Writes lines with the time before them. It is written to where links are served, so nothing here
/// waits for whoever reads it.
pub(super) struct Log {
    /// None where the log is silent.
    lines: Option<Lines>,
    quiet: bool,
}

impl Log {
    /// A log on stderr; nothing goes to a silent one.
    pub(super) fn new(ui: &Arc<Ui>, silent: bool) -> Result<Self> {
        let (ui, quiet) = (Arc::clone(ui), ui.is_quiet());
        let lines = (!silent).then(|| Lines::new(move |line| ui.write(&line))).transpose()?;
        Ok(Self { lines, quiet })
    }

    /// Whether nothing is written.
    pub(super) const fn is_silent(&self) -> bool {
        self.lines.is_none()
    }

    /// Writes a line.
    pub(super) fn write(&self, what: impl Display) {
        if let Some(lines) = self.lines.as_ref().filter(|_| !self.quiet) {
            // What others sent is in it.
            let line = escape::line(&what.to_string()).into_owned();
            lines.push(format!("{}  {line}", moment::utc_millis(moment::now())));
        }
    }

    /// Writes what is not as it should be, however quiet the log is to be.
    pub(super) fn warn(&self, what: impl Display) {
        if let Some(lines) = &self.lines {
            lines.push(warning(what));
        }
    }

    /// Waits until all is written, if somebody reads it.
    pub(super) fn flush(&self) {
        if let Some(lines) = &self.lines {
            lines.flush(FLUSH_PATIENCE);
        }
    }

    /// Writes what happened at a link.
    pub(super) fn notice(&self, notice: &Notice) {
        self.write(notice);
    }
}

/// Sees what changed at a worker.
pub(super) struct Watch {
    log: Arc<Log>,
    components: BTreeSet<Digest>,
    sessions: BTreeMap<String, String>,
}

impl Watch {
    /// Nothing was seen yet.
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self { log, components: BTreeSet::new(), sessions: BTreeMap::new() }
    }

    /// Writes what changed since the last look.
    pub(super) fn look(&mut self, status: &WorkerStatus) {
        let components: BTreeSet<Digest> = status.components.iter().copied().collect();
        for digest in components.difference(&self.components) {
            self.log.write(format_args!("took component {digest}"));
        }
        for digest in self.components.difference(&components) {
            self.log.write(format_args!("let go of component {digest}"));
        }
        self.components = components;
        let who = |name: &str, peer: &str| format!("{name} ({peer})");
        let sessions: BTreeMap<String, String> = status
            .sessions
            .iter()
            .map(|it| (it.session.to_string(), who(&it.name, &it.peer)))
            .collect();
        for (session, name) in &sessions {
            if !self.sessions.contains_key(session) {
                self.log.write(format_args!("session of {name} opened"));
            }
        }
        for (session, name) in &self.sessions {
            if !sessions.contains_key(session) {
                self.log.write(format_args!("session of {name} ended"));
            }
        }
        self.sessions = sessions;
    }
}

/// Sees how the connection to an engine stands.
pub(super) struct EngineWatch {
    log: Arc<Log>,
    /// Where it is, without passwords.
    shown: String,
    link: Receiver<EngineLink>,
    told: EngineLink,
}

impl EngineWatch {
    /// The connection was made.
    pub(super) fn new(log: Arc<Log>, shown: String, link: Receiver<EngineLink>) -> Self {
        let told = link.borrow().clone();
        Self { log, shown, link, told }
    }

    /// Writes what changed since the last look.
    pub(super) fn look(&mut self) {
        let now = self.link.borrow().clone();
        let shown = &self.shown;
        if now.count > self.told.count && now.is_up {
            self.log.write(format_args!("the engine at {shown} is there again"));
        } else if self.told.is_up && !now.is_up {
            let why = now.why.as_deref().unwrap_or("the connection broke");
            self.log.write(format_args!("the engine at {shown} is away: {why}"));
        }
        self.told = now;
    }
}
