//! The executor that runs calls in slots of its own, each a thread of this process; and the queue,
//! which the remote executor has too.

mod config;
mod executor;
mod out;
mod queue;
mod slots;
mod timer;
mod waiting;

#[cfg(test)]
mod tests;

pub use config::{DEFAULT_QUEUE, MAX_DELAYED, MAX_SLOTS, PoolConfig};
pub use executor::PoolExecutor;
pub(crate) use out::{Place, Taken, become_place, this_place};
pub(crate) use queue::{Queue, Rejected};
pub(crate) use timer::spawn as spawn_timer;
