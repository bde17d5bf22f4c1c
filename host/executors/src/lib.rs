//! The executors: `inline` runs calls on the caller's thread, `pool` in slots of its own, `remote` on
//! other hosts. All know nothing of Wasm: an invoker performs the attempts. All try a run again as its
//! call says, and hold it to its deadline.
#![forbid(unsafe_code)]

mod attempt;
mod inline;
mod pool;
pub mod remote;
mod together;
pub mod worker;

pub use inline::InlineExecutor;
pub use pool::{DEFAULT_QUEUE, MAX_DELAYED, MAX_SLOTS, PoolConfig, PoolExecutor};
