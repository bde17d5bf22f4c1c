//! The fleet over links of its own to workers: no broker.

mod acting;
pub(in crate::remote) mod answers;
mod carrier;
mod config;
mod driver;
mod fleet;
mod hearing;
mod hosts;
mod link;
mod local;
pub(in crate::remote) mod outbox;
mod outgoing;
mod runs;
mod socket;
mod specs;
#[cfg(test)]
mod tests;
mod way;
mod workers;

pub use config::{
    BACKOFF_LEAST, BACKOFF_MOST, DEFAULT_CONNECT_TIMEOUT, DEFAULT_GRACE, DEFAULT_HEARTBEAT,
    DEFAULT_LEASE, DirectConfig, ENOUGH_A_SLOT, ENOUGH_TIME, LINK_SPEC_BYTES, LINK_SPECS,
    MAX_STAGES, MESSAGE_BYTES, MESSAGE_ITEMS, NEWS_BATCH, NEWS_QUEUE, OTHERS_PATIENCE,
    SILENT_HEARTBEATS, STOP_PATIENCE, TICK, TRANSFER_TRIES, WORD_DELAY, WORDS_TOGETHER,
};
pub use config::{MAX_REFUSED, MAX_UNSAID, REFUSED_WAIT};
pub use fleet::DirectFleet;
pub use local::{
    END_PATIENCE, LOCAL_LOOK, LocalConfig, LocalWorkers, MAX_LOCAL_WORKERS, MAX_STILLBORN,
};
pub use socket::SocketWay;
pub use way::{Blobs, Connected, Ear, Mouth, Way, WayError};
pub use workers::{Demand, ListedWorkers, WorkerNews, Workers};
