//! How the scheduler is set up, and the bounds of what it keeps.

use std::time::Duration;

/// Runs that a host is given beyond its slots, for each slot, so that it has the next one at hand
/// when a run ends.
pub const DEFAULT_PREFETCH_PER_SLOT: u32 = 1;
/// The most that a host is given beyond its slots, for each slot, of runs that are short: they would be
/// over before the next one is there.
pub const DEFAULT_MAX_PREFETCH_PER_SLOT: u32 = 512;
/// For how long the runs that a slot is given ahead keep it busy, at most, where these are more than
/// the least.
pub const PREFETCH_HORIZON: Duration = Duration::from_millis(20);
/// Bytes of the arguments of a host's runs beyond which it is given no more than the least ahead.
pub const MAX_PREFETCH_BYTES: u64 = 64 << 20;
/// Runs that may wait for a host at a time.
pub const MAX_WAITING: usize = 100_000;
/// Bytes of the arguments of runs that wait for a host beyond which no more runs are wanted.
pub const MAX_WAITING_BYTES: u64 = 256 << 20;
/// Hosts that may be lost under one run before it is given up: a task that kills its hosts must
/// not cost the whole fleet.
pub const MAX_HOSTS_LOST: u32 = 3;
/// How long runs of one kind wait for busy hosts, without any of them being placed, before that is
/// said.
pub const DEFAULT_PENDING_NOTICE_AFTER: Duration = Duration::from_secs(10);
/// Hosts at a time.
pub const MAX_HOSTS: usize = 10_000;
/// Kinds of runs that are remembered while none of them is there, so that what was found out about
/// them (which hosts allow it) need not be found out again.
pub const MAX_IDLE_CLASSES: usize = 256;
/// Digests that are remembered of one host. What is beyond is not known to be there, and costs a
/// worse choice of host, no more.
pub const MAX_HELD_KNOWN: usize = 100_000;
/// How long a host that refused a run is given nothing; twice as long for each further one in a
/// row.
pub const HAND_BACK_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
pub const HAND_BACK_PAUSE_MOST: Duration = Duration::from_secs(60);

/// How the scheduler is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Runs that a host is given beyond its slots, for each slot, at least.
    pub prefetch_per_slot: u32,
    /// The same at most, of runs that are shorter than [`PREFETCH_HORIZON`] together.
    pub max_prefetch_per_slot: u32,
    /// Runs that may wait at a time; more are refused. Runs of lost hosts come back to wait even
    /// so.
    pub max_waiting: usize,
    /// Bytes of the arguments of runs that wait beyond which no more are wanted.
    pub max_waiting_bytes: u64,
    /// Hosts that may be lost under one run before it is given up; at least 1.
    pub max_hosts_lost: u32,
    /// How long runs of one kind wait for busy hosts before that is said.
    pub pending_notice_after: Duration,
    /// Hosts at a time; more are refused.
    pub max_hosts: usize,
    /// The first lease. A process that takes over from another begins above what that one gave
    /// out; microseconds since 1970 do.
    pub first_lease: u64,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            prefetch_per_slot: DEFAULT_PREFETCH_PER_SLOT,
            max_prefetch_per_slot: DEFAULT_MAX_PREFETCH_PER_SLOT,
            max_waiting: MAX_WAITING,
            max_waiting_bytes: MAX_WAITING_BYTES,
            max_hosts_lost: MAX_HOSTS_LOST,
            pending_notice_after: DEFAULT_PENDING_NOTICE_AFTER,
            max_hosts: MAX_HOSTS,
            first_lease: 1,
        }
    }
}
