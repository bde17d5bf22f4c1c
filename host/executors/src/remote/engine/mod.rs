//! The fleet over an engine: runs are put into queues that workers pull from. The engine carries,
//! and is never the record: whatever it loses, repeats or reorders is made good from what the fleet
//! knows of its tickets.

mod batches;
mod carrier;
mod checking;
mod config;
mod courier;
mod driver;
mod fleet;
mod hearing;
mod hosts;
mod lost;
mod runs;
mod sharing;
mod suspects;
mod tasks;
#[cfg(test)]
mod tests;

pub use config::{
    BATCH_HORIZON, BATCH_WAIT, CANCEL_PATIENCE, CHECK_EVERY, DEFAULT_BEAT, DEFAULT_PREFETCH,
    ENSURE_EVERY, EngineFleetConfig, MOST_A_SLOT, PUBLISHES, SHARE_AFTER, TRIAL, WINDOW_LEAST,
};
pub use fleet::EngineFleet;
