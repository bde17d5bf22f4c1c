//! How a fleet over direct links is set up, and its bounds.

use std::time::Duration;

/// How often each side of a link says that it is there, where it says nothing else.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a host that is not heard of keeps its runs; then they go elsewhere.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);
/// How long a worker goes on with what it has, and keeps results, after its link broke.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// How long a start waits for the first host.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Heartbeats that may be missed before a link is taken for broken, and made anew. Less than a lease
/// has, so that there is time for that.
pub const SILENT_HEARTBEATS: u32 = 2;
/// How long a start waits for further hosts once the first one is there.
pub const OTHERS_PATIENCE: Duration = Duration::from_secs(1);
/// The wait before a host is tried again, at first; twice as long after each further failure.
pub const BACKOFF_LEAST: Duration = Duration::from_millis(100);
/// The longest such wait.
pub const BACKOFF_MOST: Duration = Duration::from_secs(5);
/// The wait before a worker is tried again that was reached and cannot be used: it is named twice, or says
/// odd things of itself.
pub const REFUSED_WAIT: Duration = Duration::from_secs(30);
/// How long links may take to say goodbye.
pub const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Least often the time is looked at: leases, waits that are over, what is shown of hosts.
pub const TICK: Duration = Duration::from_millis(250);
/// Stages whose limits, grants and needs are remembered between runs.
pub const MAX_STAGES: usize = 1_024;
/// Stages that one link is told of before they are told anew. A worker takes 10,000.
pub const LINK_SPECS: u32 = 4_096;
/// Bytes of such stages, roughly, before they are told anew: 16 MiB. Until it is told the last of the new
/// ones, a worker has as many of the old ones at most.
pub const LINK_SPEC_BYTES: usize = 16 << 20;
/// Messages of all links that wait for the driver.
pub const NEWS_QUEUE: usize = 1_024;
/// Messages that the driver takes up at a time.
pub const NEWS_BATCH: usize = 256;
/// Bytes of one message to a worker, roughly: one large item may make it larger.
pub const MESSAGE_BYTES: usize = 128 << 10;
/// Items of one message to a worker.
pub const MESSAGE_ITEMS: usize = 1_024;
/// How long what need not be said at once waits for more to be said with it: what was settled, and orders
/// for a worker that has enough to do.
pub const WORD_DELAY: Duration = Duration::from_millis(1);
/// Orders and settlements that are said together at most where they wait for each other.
pub const WORDS_TOGETHER: usize = 512;
/// Runs that each slot of a worker has at least while orders for it wait.
pub const ENOUGH_A_SLOT: u32 = 4;
/// For how long these keep it busy at least: timers count in whole milliseconds, so that what waits for one
/// may wait for two, and is on its way then.
pub const ENOUGH_TIME: Duration = Duration::from_millis(2);
/// Hosts that may refuse a run before it is given up: they may be short of room, but not for ever.
pub const MAX_REFUSED: u32 = 10;
/// Words for one worker that may wait to be said to it before no more is heard from it.
pub const MAX_UNSAID: usize = 16_384;
/// How often a value is asked for before its run is given up, where the link stands all the while.
pub const TRANSFER_TRIES: u32 = 3;

/// How a fleet over direct links is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectConfig {
    /// Who this is, for people who look at a worker: a host name and a process id.
    pub name: String,
    /// The version of this program, for people.
    pub program: String,
    /// See [`DEFAULT_HEARTBEAT`].
    pub heartbeat: Duration,
    /// See [`DEFAULT_LEASE`]; at least as long as three heartbeats.
    pub lease: Duration,
    /// See [`DEFAULT_GRACE`].
    pub grace: Duration,
    /// See [`DEFAULT_CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// Runs that a host is given beyond its slots, for each slot, at least.
    pub prefetch_per_slot: u32,
    /// The same at most, of runs that are over within
    /// [`PREFETCH_HORIZON`](sandmill_scheduler::PREFETCH_HORIZON) together.
    pub max_prefetch_per_slot: u32,
    /// How long runs wait for busy hosts before that is said of them.
    pub pending_notice_after: Duration,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self {
            name: format!("process {}", std::process::id()),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat: DEFAULT_HEARTBEAT,
            lease: DEFAULT_LEASE,
            grace: DEFAULT_GRACE,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            prefetch_per_slot: sandmill_scheduler::DEFAULT_PREFETCH_PER_SLOT,
            max_prefetch_per_slot: sandmill_scheduler::DEFAULT_MAX_PREFETCH_PER_SLOT,
            pending_notice_after: sandmill_scheduler::DEFAULT_PENDING_NOTICE_AFTER,
        }
    }
}

impl DirectConfig {
    /// The same with every time within what the fleet can keep to.
    pub(super) fn checked(mut self) -> Self {
        const SHORTEST: Duration = Duration::from_millis(10);
        self.heartbeat = self.heartbeat.max(SHORTEST);
        self.lease = self.lease.max(self.heartbeat * (SILENT_HEARTBEATS + 1));
        self
    }

    /// How long a link may be silent.
    pub(super) fn silence(&self) -> Duration {
        self.heartbeat * SILENT_HEARTBEATS
    }
}
