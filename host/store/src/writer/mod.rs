//! The writer's side: one thread that commits what waits in the queue.

mod answer;
mod batch;
mod deletion;
mod draft;
mod ledger;
mod orphans;
mod recovery;
mod thread;

pub(crate) use thread::Writer;
pub use thread::{MAX_BATCH, MAX_BATCH_BYTES, STORE_RETRY};
