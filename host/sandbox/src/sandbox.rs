//! The sandbox as others see it: it performs attempts, prepares components, and says how it is.

use std::sync::{Arc, OnceLock};

use sandmill_core::{
    Attempt, Component, ComponentInfo, FlowCalls, FlowInstance, FlowInvoker, Invoker, Report,
};
use sandmill_wire::{End, EndKind};
use tokio::runtime::Runtime;

use crate::compile::{CompileCommand, Compiler};
use crate::compile_cache::CompileCache;
use crate::config::{SandboxConfig, SandboxError};
use crate::diagnosis::{CacheDiagnosis, CompileDiagnosis, Diagnosis, PoolDiagnosis};
use crate::engine::{self, Engines, Kind};
use crate::epoch::{EPOCH_TICK, Running, Ticker};
use crate::flow_run;
use crate::invoke;
use crate::prepared::PreparedCache;

/// The version of wasmtime that this crate is built with. wasmtime does not tell its own; a test
/// holds this equal to the lock file.
const WASMTIME_VERSION: &str = "48.0.8";
/// A component without anything: `\0asm`, and the version of the format.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// Threads for file operations that block. Runs beyond wait, and their deadlines hold.
const BLOCKING_THREADS: usize = 512;

/// Runs attempts in WebAssembly instances, each with nothing but its arguments and its grants.
/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

/// What the clones of a sandbox share.
pub(crate) struct Shared {
    pub(crate) config: SandboxConfig,
    pub(crate) engines: Arc<Engines>,
    pub(crate) prepared: PreparedCache,
    pub(crate) compile_cache: CompileCache,
    pub(crate) compiler: Compiler,
    ticker: Ticker,
    io: OnceLock<Result<IoRuntime, String>>,
}

impl Sandbox {
    /// A sandbox for this configuration. It starts no thread before the first run.
    ///
    /// # Errors
    /// When the configuration makes no sense, or this machine has no place for an engine. A pool
    /// or a cache that cannot be had is no error: see [`Sandbox::diagnosis`].
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        if config.slots == 0 {
            return Err(SandboxError::NoSlots);
        }
        let engines = Arc::new(Engines::new(&config)?);
        let compile_cache = CompileCache::open(&config.cache);
        let compiler = Compiler::new(config.compile.clone(), config.compile_limits.clone());
        Ok(Self(Arc::new(Shared {
            config,
            engines,
            prepared: PreparedCache::default(),
            compile_cache,
            compiler,
            ticker: Ticker::new(),
            io: OnceLock::new(),
        })))
    }

    /// Compiles a component that has nothing in it, as it would one that is not in the cache: whether
    /// there is a compiler that works.
    ///
    /// # Errors
    /// Why there is none, as a run would say it.
    pub fn try_compiler(&self) -> Result<(), End> {
        let kind = Kind { metered: false, pooled: true };
        let broken = |why| End::new(EndKind::HostError, why);
        let engine = self.0.engines.get(kind).map_err(broken)?;
        self.0.compiler.compile(&engine, kind.metered, EMPTY_COMPONENT)?;
        Ok(())
    }

    /// What the clones share.
    #[cfg(test)]
    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// What this sandbox found on this machine.
    #[must_use]
    pub fn diagnosis(&self) -> Diagnosis {
        let shared = &self.0;
        let pool = match shared.engines.pool() {
            Ok(()) => PoolDiagnosis::On { slots: shared.engines.pooled_slots() },
            Err(reason) => PoolDiagnosis::Off { reason: reason.to_owned() },
        };
        let cache = &shared.compile_cache;
        let cache = match cache.directory() {
            Ok(directory) => {
                let (entries, bytes) = cache.size();
                let load = |number: &std::sync::atomic::AtomicU64| {
                    number.load(std::sync::atomic::Ordering::Relaxed)
                };
                let (hits, rejected) = (load(&cache.hits), load(&cache.rejected));
                let directory = directory.to_owned();
                CacheDiagnosis::On { directory, entries, bytes, hits, rejected }
            }
            Err(reason) => CacheDiagnosis::Off { reason: reason.to_owned() },
        };
        let program = |command: &CompileCommand| command.program.clone();
        let counts = shared.compiler.counts();
        let compile = CompileDiagnosis {
            program: shared.compiler.command().map(program),
            compiled: counts.compiled,
            unoptimized: counts.unoptimized,
        };
        Diagnosis {
            wasmtime: WASMTIME_VERSION,
            pool,
            pagemap_scan: engine::pagemap_scan_available(),
            cache,
            compile,
            epoch_tick: EPOCH_TICK,
        }
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Invoker for Sandbox {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        invoke::invoke(&self.0, &attempt)
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.0.prepared.get(&self.0, component).map(|prepared| Arc::clone(&prepared.info))
    }

    fn max_memory(&self) -> u64 {
        self.0.config.max_memory
    }
}

impl FlowInvoker for Sandbox {
    fn run_flow(&self, flow: FlowInstance<'_>, calls: Box<dyn FlowCalls>) -> Report {
        flow_run::run(&self.0, &flow, calls)
    }
}

impl Shared {
    /// Makes sure that busy guests are looked at, until the answer is dropped.
    pub(crate) fn ticks(&self) -> Result<Running<'_>, &std::io::Error> {
        self.ticker.running(&self.engines, Engines::tick)
    }

    /// The runtime for timers, sockets and file operations.
    pub(crate) fn io_runtime(&self) -> Result<&Runtime, String> {
        let io = self.io.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(BLOCKING_THREADS)
                .thread_name("sandmill-io")
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => Ok(IoRuntime(Some(runtime))),
                Err(error) => Err(format!("the I/O threads cannot start: {error}")),
            }
        });
        let runtime = io.as_ref().map_err(String::clone)?;
        Ok(runtime.0.as_ref().expect("taken only when dropped"))
    }
}

/// A runtime that does not wait for its threads when it ends: one may hang in a file operation.
struct IoRuntime(Option<Runtime>);

impl Drop for IoRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
