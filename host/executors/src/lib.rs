//! The executors of one process: `inline` runs calls on the caller's thread, `pool` in slots of
//! its own. Both know nothing of Wasm: an invoker performs the attempts.
#![forbid(unsafe_code)]

mod attempt;
mod inline;
mod pool;

pub use inline::InlineExecutor;
pub use pool::{DEFAULT_QUEUE, MAX_SLOTS, PoolConfig, PoolExecutor};
