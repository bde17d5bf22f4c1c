//! The executor with slots that these tests look at: the pool.

use std::sync::Arc;

use sandmill_core::{Executor, Invoker};
use sandmill_executors::{PoolConfig, PoolExecutor};

/// Calls in a map that is very long for it.
pub(crate) const MANY: u64 = 1_000_000;
/// Whether its slots are in the process that looks at it.
pub(crate) const IN_THIS_PROCESS: bool = true;

pub(crate) fn pool(invoker: Arc<dyn Invoker>, slots: usize, queue: usize) -> Arc<dyn Executor> {
    Arc::new(PoolExecutor::new(invoker, PoolConfig { slots, queue }))
}
