//! What a worker is given when it starts, and the bounds of what it keeps, with their defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandmill_core::Ceiling;

/// Coordinators that a worker serves at a time by default.
pub const DEFAULT_SESSIONS: usize = 64;
/// Runs of one coordinator that may wait at a worker: so many for each of its slots, twice as many as
/// coordinators give ahead by default, …
pub const DEFAULT_WAITING_A_SLOT: usize = 1_024;
/// … and so many besides. What is ordered beyond is given back.
pub const DEFAULT_WAITING_BASE: usize = 256;
/// Bytes of arguments and grants of one coordinator's runs that wait, by default: 256 MiB. One run
/// may wait however large it is.
pub const DEFAULT_WAITING_BYTES: u64 = 256 << 20;
/// The largest component that a worker takes, by default: 32 MiB, as the sandbox does.
pub const DEFAULT_COMPONENT_BYTES: u64 = 32 << 20;
/// Bytes of components that a worker keeps, by default: 512 MiB.
pub const DEFAULT_COMPONENTS_BYTES: u64 = 512 << 20;
/// Bytes of large arguments that a worker keeps for orders to come, by default: 1 GiB.
pub const DEFAULT_VALUES_BYTES: u64 = 1 << 30;
/// Reports of one coordinator that a worker keeps until they are settled, by default. While there
/// are as many, no more of its runs are started.
pub const DEFAULT_KEPT: usize = 4_096;
/// Bytes of such reports, by default: 256 MiB. The same holds.
pub const DEFAULT_KEPT_BYTES: u64 = 256 << 20;
/// The longest grace that a worker grants a session whose link broke, by default: 5 minutes.
pub const DEFAULT_MAX_GRACE: Duration = Duration::from_secs(300);
/// How long a worker waits for a component that it has asked for before it asks again, or asks
/// another, by default: 30 seconds without its first byte.
pub const DEFAULT_NEED_PATIENCE: Duration = Duration::from_secs(30);

/// The stages that one link may have said at a time.
pub const MAX_SPECS: usize = 10_000;
/// Bytes of one stage that a worker makes runs of: 512 KiB, as much as a coordinator tells to others.
pub const MAX_SPEC_BYTES: usize = 512 << 10;
/// Bytes of all stages that one link may have said at a time: 64 MiB.
pub const MAX_SPECS_BYTES: usize = 64 << 20;
/// Bytes of the words in which runs or components are refused; what is beyond is left out: 4 KiB.
pub const MAX_REFUSAL_BYTES: usize = 4 << 10;
/// Components that a worker knows of at a time.
pub const MAX_COMPONENTS: usize = 4_096;
/// Values that a worker keeps for orders to come.
pub const MAX_VALUES: usize = 65_536;
/// Bytes of values whose transfers broke off that a worker keeps, so that they need not be sent again:
/// 64 MiB. What came of a larger one is not kept.
pub const PARTIAL_BYTES: u64 = 64 << 20;
/// Values of which it keeps a beginning.
pub const MAX_PARTIALS: usize = 64;
/// How long it keeps one that nobody goes on with.
pub const PARTIAL_PATIENCE: Duration = Duration::from_secs(300);
/// Slots of one worker.
pub const MAX_WORKER_SLOTS: usize = 4_096;
/// Bytes of what runs of one coordinator said that wait for its link: 4 MiB.
pub const MAX_NOTE_BYTES: usize = 4 << 20;
/// The longest log line that goes in a message; the rest of a longer one is left out: 256 KiB.
pub const MAX_LINE_BYTES: usize = 256 << 10;
/// How long one attempt may wait in all for a link that does not keep up with its log, before
/// lines are left out.
pub const LOG_PATIENCE: Duration = Duration::from_millis(500);
/// A run is told of as started once it is under way for so long: short ones cost no message.
pub const STARTED_AFTER: Duration = Duration::from_millis(5);
/// Heartbeats that may be missed before a link is taken for broken.
pub const HEARTBEATS_MISSED: u32 = 3;
/// The least and the most between two heartbeats, whatever a coordinator asks for.
pub const HEARTBEAT_BOUNDS: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(60));
/// The longest that a report waits for others to be said with it, while the slots have enough to do.
pub const REPORT_DELAY_MOST: Duration = Duration::from_millis(4);
/// Reports that are said together at most where they wait for each other.
pub const REPORTS_TOGETHER: usize = 512;
/// For how long each slot has to have enough to do for a report to wait: the next orders take a part of a
/// millisecond to be there, and timers count in whole ones.
pub const BACKLOG_LEAST: Duration = Duration::from_millis(2);
/// The part of the room for components that those may want who were asked for some and have not begun
/// to bring them, each side by itself: a quarter. One component each may be larger.
pub const ASKED_SHARE: u64 = 4;
/// The part of the room for large arguments that is kept from what one side has on its way, by the sizes
/// that it said: a quarter. What it sends by itself may be larger.
pub const OTHERS_SHARE: u64 = 4;
/// Those who may bring the same component at a time: where one is slow, another begins after the
/// patience with which it was asked for, and the one that has brought least goes.
pub const MAX_SENDERS: usize = 4;
/// How long bytes that come wait for room before they are refused.
pub const ROOM_PATIENCE: Duration = Duration::from_secs(30);
/// How long a worker that leaves waits for its last words to be taken: reports to be settled,
/// goodbyes to be sent. While large results go out it waits longer: see [`LAST_BYTES`].
pub const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long it goes on to wait after a part of a large result went out, since the next one may be long
/// on its way: a link of 16 kbit/s takes one in half a minute.
pub const LAST_BYTES_PATIENCE: Duration = Duration::from_secs(60);
/// The longest that it waits so in all: 10 minutes.
pub const LAST_BYTES: Duration = Duration::from_secs(600);
/// How long a worker that leaves waits for guests that it has cancelled.
pub const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// What a worker is, and what it allows.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its name, for people.
    pub name: String,
    /// The version of its program, for people.
    pub program: String,
    /// How many runs it makes at a time: 1 to [`MAX_WORKER_SLOTS`].
    pub slots: usize,
    /// What it carries.
    pub labels: BTreeSet<String>,
    /// What it has.
    pub resources: BTreeMap<String, f64>,
    /// The most that it lets a run use and reach.
    pub ceiling: Ceiling,
    /// See [`DEFAULT_SESSIONS`].
    pub sessions: usize,
    /// See [`DEFAULT_WAITING_A_SLOT`].
    pub waiting_a_slot: usize,
    /// See [`DEFAULT_WAITING_BASE`].
    pub waiting_base: usize,
    /// See [`DEFAULT_WAITING_BYTES`].
    pub waiting_bytes: u64,
    /// See [`DEFAULT_COMPONENT_BYTES`].
    pub component_bytes: u64,
    /// See [`DEFAULT_COMPONENTS_BYTES`].
    pub components_bytes: u64,
    /// See [`DEFAULT_VALUES_BYTES`].
    pub values_bytes: u64,
    /// See [`DEFAULT_KEPT`].
    pub kept: usize,
    /// See [`DEFAULT_KEPT_BYTES`].
    pub kept_bytes: u64,
    /// Components that are compiled at a time; by default one for each core.
    pub compiles: usize,
    /// See [`DEFAULT_MAX_GRACE`].
    pub max_grace: Duration,
    /// See [`DEFAULT_NEED_PATIENCE`].
    pub need_patience: Duration,
}

impl WorkerConfig {
    /// A worker of this name with so many slots, and defaults otherwise.
    #[must_use]
    pub fn new(name: impl Into<String>, slots: usize) -> Self {
        Self { name: name.into(), slots, ..Self::default() }
    }

    /// How many runs of one coordinator may wait here.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.slots.saturating_mul(self.waiting_a_slot).saturating_add(self.waiting_base)
    }

    /// The same with every number within what the worker can keep to.
    pub(super) fn checked(mut self) -> Self {
        self.slots = self.slots.clamp(1, MAX_WORKER_SLOTS);
        self.sessions = self.sessions.max(1);
        self.kept = self.kept.max(1);
        self.compiles = self.compiles.max(1);
        if self.waiting() == 0 {
            self.waiting_base = 1;
        }
        self
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            name: "worker".to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            slots: cores,
            labels: BTreeSet::new(),
            resources: BTreeMap::new(),
            ceiling: Ceiling::default(),
            sessions: DEFAULT_SESSIONS,
            waiting_a_slot: DEFAULT_WAITING_A_SLOT,
            waiting_base: DEFAULT_WAITING_BASE,
            waiting_bytes: DEFAULT_WAITING_BYTES,
            component_bytes: DEFAULT_COMPONENT_BYTES,
            components_bytes: DEFAULT_COMPONENTS_BYTES,
            values_bytes: DEFAULT_VALUES_BYTES,
            kept: DEFAULT_KEPT,
            kept_bytes: DEFAULT_KEPT_BYTES,
            compiles: cores,
            max_grace: DEFAULT_MAX_GRACE,
            need_patience: DEFAULT_NEED_PATIENCE,
        }
    }
}
