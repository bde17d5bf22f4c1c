//! The executor that runs calls in slots of its own, each a thread of this process.

mod config;
mod executor;
mod queue;
mod slots;
mod timer;
mod waiting;

#[cfg(test)]
mod tests;

pub use config::{DEFAULT_QUEUE, MAX_DELAYED, MAX_SLOTS, PoolConfig};
pub use executor::PoolExecutor;
