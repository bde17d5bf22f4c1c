//! What outlives a process: run history, journals, results and the cache of results.
#![forbid(unsafe_code)]

mod ahead;
mod ask;
mod blobs;
mod cache;
mod db;
mod deletion;
mod error;
pub mod failpoint;
mod intact;
mod journal;
mod lock;
mod logs;
mod ops;
mod queue;
mod reader;
mod record;
mod recorded;
mod requests;
mod rows;
mod seal;
mod store;
mod unwritten;
mod writer;

pub use blobs::MAX_BLOB_BYTES;
pub use cache::{
    ArgumentDifference, Cache, CacheBounds, CacheFilter, CacheKey, CacheReader, CacheRecord,
    CacheTotals, CachedValue, CachingInvoker, Cleared, DEFAULT_CACHE_LIST, DETERMINISM_PROFILE,
    Difference, Expired, Explanation, KeyDigest, MAX_CACHE_BYTES, MAX_CACHE_ENTRIES,
    MAX_KEPT_ARGUMENTS, MAX_LISTED_ARGUMENTS, MAX_PENDING_CACHE_BYTES, Nearest, NewCached,
    NotCacheable, cacheable, keepable,
};
pub use error::StoreError;
pub use journal::Journal;
pub use lock::Holder;
pub use logs::{
    CLOSE_TIMEOUT, LOGS_FILE, LogCursor, LogQuery, LogReader, LogRecord, LogScope, LogSink,
    LogStore, MAX_LOG_PAGE, MAX_QUEUED_LOG_BYTES, ProgressRecord,
};
pub use queue::{COMMIT_DELAY, Health, MAX_BACKLOG, MAX_BACKLOG_BYTES};
pub use reader::{
    DEFAULT_FLOW_LIST, DEFAULT_RUN_PAGE, EventCursor, FlowFilter, FlowList, FlowRecord,
    HistoryEvent, HistoryKind, MAX_EVENT_PAGE, MAX_LIST, Note, Reader, RunFilter, StageSummary,
    StateCounts,
};
pub use record::{
    AttemptRecord, Earlier, FlowSource, NewFlow, Pruned, Recorded, RunEnd, RunKey, RunRecord,
    SourceComponent, StageRecord,
};
pub use rows::MAX_INLINE_RESULT;
pub use store::{Created, Store, StoreConfig};
pub use writer::{MAX_BATCH, MAX_BATCH_BYTES, STORE_RETRY};
