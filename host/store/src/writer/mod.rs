//! The writer's thread: takes what waits in the queue and commits it.
mod thread;
pub(crate) use thread::Writer;
pub use thread::{MAX_BATCH, MAX_BATCH_BYTES, STORE_RETRY};
