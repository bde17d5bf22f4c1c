//! How a fleet over an engine is set up, and its bounds.

use std::time::Duration;

use sandmill_transport::engine::EngineConfig;

use super::super::direct::{DEFAULT_GRACE, DEFAULT_LEASE};

/// How often workers and the coordinator say that they are there.
pub const DEFAULT_BEAT: Duration = Duration::from_secs(2);
/// Runs that the engine has for each slot of its workers beyond the one in it, at least.
pub const DEFAULT_PREFETCH: usize = 1;
/// Runs that the engine has for each slot at most, where runs are short.
pub const MOST_A_SLOT: usize = 512;
/// So long the runs in the engine are to last its workers; the shorter they are, the more go there,
/// and the more of them share an item.
pub const BATCH_HORIZON: Duration = Duration::from_millis(250);
/// How long few short runs wait for others to share their item, while so many are in the engine that the
/// slots have enough to do.
pub const BATCH_WAIT: Duration = Duration::from_millis(2);
/// Runs that the fleet wants at least, so that what waits is known to it and can be told why.
pub const WINDOW_LEAST: usize = 64;
/// Items that are put into the engine at a time.
pub const PUBLISHES: usize = 32;
/// How often an item that nobody is known to have is looked for in its queue.
pub const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Items that are looked for at a time.
pub(super) const CHECKS: usize = 16;
/// How long a run that was asked to stop, and that no worker is known to have, is waited for.
pub const CANCEL_PATIENCE: Duration = Duration::from_millis(300);
/// How long a worker has to have had a free slot, and a run to have waited at a busy one, before the
/// run is asked back so that the other may take it.
pub const SHARE_AFTER: Duration = Duration::from_secs(1);
/// How long a run that would be given up with one more host is the only such run that is in the engine
/// or at a worker: one that has gone on for longer is not likely to be what costs the hosts.
pub const TRIAL: Duration = Duration::from_secs(60);
/// How often what has to be in the engine is looked at.
pub const ENSURE_EVERY: Duration = Duration::from_secs(10);
/// Least often the time is looked at.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Messages that wait for the driver.
pub(super) const NEWS_QUEUE: usize = 1_024;
/// Hosts that one reason for waiting names.
pub(super) const MAX_HOSTS_SHOWN: usize = 8;
/// How long the end of a session may take.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How a fleet over an engine is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFleetConfig {
    /// The engine.
    pub engine: EngineConfig,
    /// Who this is, for people who look at a worker: a host name and a process id.
    pub name: String,
    /// The version of this program, for people.
    pub program: String,
    /// See [`DEFAULT_BEAT`].
    pub beat: Duration,
    /// How long a worker that is not heard of keeps its runs; at least three beats. It does not
    /// count while the engine is away, since then nobody could be heard.
    pub lease: Duration,
    /// How long a worker goes on with what it has when the coordinator is not heard of.
    pub grace: Duration,
    /// Runs that the engine has for each slot of its workers beyond the one in it, at least. With 0
    /// none goes there before a slot is free for it, and each goes by itself.
    pub prefetch_per_slot: usize,
    /// How long runs wait before it is said of them why.
    pub pending_notice_after: Duration,
}

impl EngineFleetConfig {
    /// A fleet over this engine, with defaults otherwise.
    #[must_use]
    pub fn new(engine: EngineConfig) -> Self {
        Self {
            engine,
            name: format!("process {}", std::process::id()),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            beat: DEFAULT_BEAT,
            lease: DEFAULT_LEASE,
            grace: DEFAULT_GRACE,
            prefetch_per_slot: DEFAULT_PREFETCH,
            pending_notice_after: sandmill_scheduler::DEFAULT_PENDING_NOTICE_AFTER,
        }
    }

    /// The same with every time within what the fleet can keep to.
    pub(super) fn checked(mut self) -> Self {
        const SHORTEST: Duration = Duration::from_millis(10);
        self.beat = self.beat.max(SHORTEST);
        self.lease = self.lease.max(self.beat * 3);
        self
    }

    /// How long a run may be in the engine without anybody having it before it is looked for.
    pub(super) fn unclaimed(&self) -> Duration {
        self.beat + self.beat / 2
    }
}
