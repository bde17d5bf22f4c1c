//! What a worker says of itself to people and their instruments.

use std::collections::BTreeMap;

use sandmill_transport::message::{Load, WorkerId};
use sandmill_wire::Digest;
use uuid::Uuid;

use super::process;
use super::state::{Counters, Stage, State};
use super::worker::Worker;

/// How a worker stands.
#[derive(Debug, Clone)]
pub struct WorkerStatus {
    /// The worker.
    pub worker: WorkerId,
    /// Its name.
    pub name: String,
    /// How many runs it makes at a time.
    pub slots: usize,
    /// Whether it takes no new runs.
    pub draining: bool,
    /// Runs in slots, also those that nobody waits for any more.
    pub running: usize,
    /// Runs that wait for a slot or a component.
    pub waiting: usize,
    /// Reports that are not settled.
    pub kept: usize,
    /// Large results that are kept for them.
    pub results: usize,
    /// The components that are ready.
    pub components: Vec<Digest>,
    /// Bytes of components that are held or on their way, and of what came of values that broke off.
    pub component_bytes: u64,
    /// Bytes of large arguments that are held or on their way.
    pub value_bytes: u64,
    /// How often each component was transferred to this worker.
    pub transfers: BTreeMap<Digest, u64>,
    /// The coordinators.
    pub sessions: Vec<SessionStatus>,
    /// Runs that ended, by the word for how.
    pub ended: BTreeMap<&'static str, u64>,
    /// Runs that were refused.
    pub refused: u64,
    /// Orders under leases that are not the latest, and ends that nobody waited for any more.
    pub stale: u64,
    /// Runs that were given back.
    pub handed_back: u64,
    /// Orders that were answered by a run that was here already.
    pub answered_again: u64,
    /// Log lines that were left out since links did not keep up.
    pub lines_left_out: u64,
    /// Reports that nobody had taken when the worker left.
    pub untaken: u64,
    /// Bytes of arguments and components that came.
    pub bytes_in: u64,
    /// Bytes of results that went.
    pub bytes_out: u64,
}

/// How one coordinator stands at a worker.
#[derive(Debug, Clone)]
pub struct SessionStatus {
    /// Its session.
    pub session: Uuid,
    /// Who it is, by its own word.
    pub name: String,
    /// Who it is, by the link's word.
    pub peer: String,
    /// Whether it has a link at this moment.
    pub linked: bool,
    /// Its runs in slots.
    pub running: usize,
    /// Its runs that wait.
    pub waiting: usize,
    /// Its reports that are not settled.
    pub kept: usize,
    /// What waits to be said to it: notes of runs, and everything else.
    pub unsaid: (usize, usize),
}

impl Worker {
    /// How busy it is.
    pub(super) fn load(&self) -> Load {
        let state = self.shared.state.lock();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let running = count(state.slots.iter().flatten().count());
        let waiting = count(state.sessions.values().map(|session| session.waiting).sum());
        drop(state);
        let (memory, cpu_micros) = process::usage();
        Load { running, waiting, memory, cpu_micros }
    }

    /// Whether it takes new runs.
    pub(super) fn is_open(&self) -> bool {
        self.shared.state.lock().stage == Stage::Open
    }

    /// How the worker stands.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        let state = self.shared.state.lock();
        let State { counters, sessions, components, .. } = &*state;
        let mut ready: Vec<Digest> = components.ready().collect();
        ready.sort_unstable();
        let mut coordinators: Vec<SessionStatus> = sessions
            .iter()
            .map(|(id, session)| SessionStatus {
                session: *id,
                name: session.name.clone(),
                peer: session.peer.clone(),
                linked: session.link.is_some(),
                running: session.running,
                waiting: session.waiting,
                kept: session.kept,
                unsaid: session.outbox.lengths(),
            })
            .collect();
        coordinators.sort_by_key(|session| session.session);
        let Counters {
            ended,
            refused,
            stale,
            handed_back,
            answered_again,
            lines_left_out,
            untaken,
            bytes_in,
            bytes_out,
        } = counters;
        WorkerStatus {
            worker: self.shared.id,
            name: self.shared.config.name.clone(),
            slots: self.shared.config.slots,
            draining: state.stage != Stage::Open,
            running: state.slots.iter().flatten().count(),
            waiting: sessions.values().map(|session| session.waiting).sum(),
            kept: sessions.values().map(|session| session.kept).sum(),
            results: state.results.len(),
            components: ready,
            component_bytes: components.bytes() + state.partials.bytes(),
            value_bytes: state.values.bytes(),
            transfers: components.transfers().iter().map(|(digest, n)| (*digest, *n)).collect(),
            sessions: coordinators,
            ended: ended.clone(),
            refused: *refused,
            stale: *stale,
            handed_back: *handed_back,
            answered_again: *answered_again,
            lines_left_out: *lines_left_out,
            untaken: *untaken,
            bytes_in: *bytes_in,
            bytes_out: *bytes_out,
        }
    }
}
