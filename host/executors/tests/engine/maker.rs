//! The executor with slots that these tests look at: the remote one, over a worker at an engine.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{Attempt, Component, ComponentInfo, Executor, Invoker, Report};
use sandmill_executors::remote::engine::{EngineFleet, EngineFleetConfig};
use sandmill_executors::remote::{RemoteConfig, RemoteExecutor};
use sandmill_executors::worker::engine::{EngineServeConfig, serve};
use sandmill_executors::worker::{Worker, WorkerConfig};
use sandmill_transport::engine::{Engine, EngineConfig};
use sandmill_wire::End;
use tokio_util::sync::CancellationToken;

use crate::server::{LONG, shared};

/// Calls in a map that is very long for it.
pub(crate) const MANY: u64 = 2_000;
/// Whether its slots are in the process that looks at it.
pub(crate) const IN_THIS_PROCESS: bool = false;

/// An executor over one worker, which goes when the executor does.
pub(crate) fn pool(invoker: Arc<dyn Invoker>, slots: usize, queue: usize) -> Arc<dyn Executor> {
    let engine = shared().config();
    let served = Served::start(&engine, Arc::clone(&invoker), WorkerConfig::new("a", slots), 0);
    let local: Arc<dyn Invoker> = Arc::new(Local { invoker, _served: Some(served) });
    // As the pool does, it gets no run before a slot is free for it.
    let config = EngineFleetConfig { prefetch_per_slot: 0, ..fleet(engine) };
    Arc::new(executor(local, queue, config))
}

/// A fleet that takes little time to notice things.
pub(crate) fn fleet(engine: EngineConfig) -> EngineFleetConfig {
    EngineFleetConfig {
        beat: Duration::from_millis(200),
        lease: Duration::from_secs(2),
        ..EngineFleetConfig::new(engine)
    }
}

pub(crate) fn executor(
    local: Arc<dyn Invoker>,
    queue: usize,
    config: EngineFleetConfig,
) -> RemoteExecutor {
    let fleet = Arc::new(EngineFleet::new(config));
    let config = RemoteConfig { queue, ..RemoteConfig::new(fleet) };
    let kept = Arc::clone(&local);
    RemoteExecutor::new(local, |made| Arc::new(Kept { kept, made }), config)
}

/// A worker that serves at an engine, in a runtime of its own.
pub(crate) struct Served {
    pub(crate) worker: Arc<Worker>,
    stop: CancellationToken,
    hurry: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    serving: Option<tokio::task::JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(
        engine: &EngineConfig,
        invoker: Arc<dyn Invoker>,
        config: WorkerConfig,
        prefetch: usize,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let worker = Worker::new(invoker, config).unwrap();
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let engine = runtime.block_on(Engine::connect(engine.clone())).unwrap();
        let looked = engine.clone();
        let serving = {
            let (worker, stop, hurry) = (Arc::clone(&worker), stop.clone(), hurry.clone());
            let config = EngineServeConfig {
                prefetch: Some(prefetch),
                beat: Duration::from_millis(200),
                say_again: Duration::from_secs(2),
                grace: LONG,
            };
            runtime.spawn(async move {
                serve(&worker, &engine, config, stop, hurry).await.unwrap();
                engine.close().await;
            })
        };
        runtime.block_on(async {
            while !looked
                .workers()
                .await
                .unwrap()
                .iter()
                .any(|one| one.welcome.worker == worker.id())
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { worker, stop, hurry, runtime: Some(runtime), serving: Some(serving) }
    }

    /// Has it drain, and waits for that.
    pub(crate) fn leave(mut self) {
        self.stop.cancel();
        if let (Some(runtime), Some(serving)) = (&self.runtime, self.serving.take()) {
            let left = async { tokio::time::timeout(LONG, serving).await };
            runtime.block_on(left).expect("the worker does not leave").unwrap();
        }
    }

    /// Has it be gone at once, without a word.
    pub(crate) fn die(mut self) -> Arc<Worker> {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        Arc::clone(&self.worker)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.hurry.cancel();
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An invoker that keeps a worker.
pub(crate) struct Local {
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) _served: Option<Served>,
}

impl Invoker for Local {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        self.invoker.invoke(attempt)
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.invoker.prepare(component)
    }

    fn max_memory(&self) -> u64 {
        self.invoker.max_memory()
    }
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
