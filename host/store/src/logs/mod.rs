//! What runs wrote: their lines and how far they have come, in a file of its own beside the store
//! (`logs.db`), so that however much is logged, no state waits for it. States and results are not
//! here.

mod file;
mod queue;
mod reader;
mod sink;
mod store;
mod writer;

pub use file::LOGS_FILE;
pub use queue::MAX_QUEUED_LOG_BYTES;
pub use reader::{
    LogCursor, LogQuery, LogReader, LogRecord, LogScope, MAX_LOG_PAGE, ProgressRecord,
};
pub use sink::LogSink;
pub use store::{CLOSE_TIMEOUT, LogStore};
