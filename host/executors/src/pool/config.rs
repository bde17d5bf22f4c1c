//! How large a pool is.

use serde::{Deserialize, Serialize};

/// Calls that may wait for a slot. The calls of a map do not count: they are taken one by one.
pub const DEFAULT_QUEUE: usize = 65_536;

/// Slots that a pool may have.
pub const MAX_SLOTS: usize = 1_024;

/// Runs that may await a retry at a time, about 1 KiB each. While there are so many, no new runs are
/// started, and none of the calls of maps taken: there may be as many more as there are slots.
pub const MAX_DELAYED: usize = 100_000;

/// How large a pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// How many runs go on at a time: at least 1, at most [`MAX_SLOTS`]. By default one for each
    /// core that this process may use.
    pub slots: usize,
    /// How many submitted calls may wait for a slot. One more is refused.
    pub queue: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { slots: cores.min(MAX_SLOTS), queue: DEFAULT_QUEUE }
    }
}
