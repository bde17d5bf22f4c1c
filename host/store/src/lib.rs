//! What outlives a process: run history, journals, results and the cache of results.
#![forbid(unsafe_code)]

mod ask;
mod blobs;
mod db;
mod deletion;
mod error;
pub mod failpoint;
mod journal;
mod lock;
mod ops;
mod queue;
mod record;
mod recorded;
mod requests;
mod rows;
mod seal;
mod store;
mod writer;

pub use blobs::MAX_BLOB_BYTES;
pub use error::StoreError;
pub use journal::Journal;
pub use queue::{COMMIT_DELAY, Health, MAX_BACKLOG, MAX_BACKLOG_BYTES};
pub use record::{
    AttemptRecord, CacheEntry, Earlier, FlowSource, NewFlow, Pruned, Recorded, RunEnd, RunKey,
    RunRecord, SourceComponent, StageRecord,
};
pub use rows::MAX_INLINE_RESULT;
pub use store::{Created, Store, StoreConfig};
pub use writer::{MAX_BATCH, MAX_BATCH_BYTES, STORE_RETRY};
