//! The executor with slots that these tests look at: the remote one, over a worker in this process.

use std::sync::Arc;

use sandmill_core::{Attempt, Component, ComponentInfo, Executor, Invoker, Report};
use sandmill_executors::remote::direct::{DirectConfig, DirectFleet, ListedWorkers, Way};
use sandmill_executors::remote::{RemoteConfig, RemoteExecutor};
use sandmill_executors::worker::WorkerConfig;

use sandmill_wire::End;

use crate::ways::MemoryWay;

/// Calls in a map that is very long for it.
pub(crate) const MANY: u64 = 100_000;
/// Whether its slots are in the process that looks at it.
pub(crate) const IN_THIS_PROCESS: bool = false;

/// An executor over one worker.
pub(crate) fn pool(invoker: Arc<dyn Invoker>, slots: usize, queue: usize) -> Arc<dyn Executor> {
    let config = WorkerConfig::new("a", slots);
    let way = MemoryWay::new(Arc::clone(&invoker), config);
    // As the pool does, it gets no run before a slot is free for it.
    let config =
        DirectConfig { prefetch_per_slot: 0, max_prefetch_per_slot: 0, ..DirectConfig::default() };
    Arc::new(over(invoker, &[way], queue, config))
}

/// An executor over these workers.
pub(crate) fn over(
    local: Arc<dyn Invoker>,
    ways: &[Arc<MemoryWay>],
    queue: usize,
    config: DirectConfig,
) -> RemoteExecutor {
    let ways = ways.iter().map(|way| Arc::clone(way) as Arc<dyn Way>);
    let workers = Arc::new(ListedWorkers::new(ways));
    let fleet = Arc::new(DirectFleet::new(workers, config));
    let config = RemoteConfig { queue, ..RemoteConfig::new(fleet) };
    let kept = Arc::clone(&local);
    RemoteExecutor::new(local, |made| Arc::new(Kept { kept, made }), config)
}

/// Stands for a cache: what asks for it is in it, but for tasks of the name `made`.
struct Kept {
    kept: Arc<dyn Invoker>,
    made: Arc<dyn Invoker>,
}

impl Invoker for Kept {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        if &*attempt.call.task == "made" {
            self.made.invoke(attempt)
        } else {
            self.kept.invoke(attempt)
        }
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.made.prepare(component)
    }

    fn max_memory(&self) -> u64 {
        self.made.max_memory()
    }
}
