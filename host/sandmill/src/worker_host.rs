//! A worker on this host: a sandbox in slots, served at addresses and at an engine until it is told
//! to leave. What it answers is the executors'; which runs it gets is their coordinators'.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_core::{Access, DirCeiling};
use sandmill_executors::worker::engine::{EngineServeConfig, enlist, serve};
use sandmill_executors::worker::{Worker, WorkerConfig, WorkerStatus};
use sandmill_sandbox::{
    CacheConfig, CompileCommand, CompileLimits, Sandbox, SandboxConfig, SandboxError,
};
use sandmill_transport::Address;
use sandmill_transport::direct::{Listener, ServeError, ServeOptions, WorkerService, serve_with};
use sandmill_transport::engine::{Engine, EngineConfig, EngineError, EngineLink};
use sandmill_transport::security::ServerSecurity;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Threads that serve links; runs have threads of their own.
const LINK_THREADS: usize = 2;
/// How long what is left of the runtime may take when the worker has left.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// The wait before a worker is served at an engine again that could not list it.
const SERVE_AGAIN: Duration = Duration::from_secs(1);

/// What a worker on this host is made of.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {
    /// What it is, and what it allows.
    pub worker: WorkerConfig,
    /// Where compiled code is kept. Default: nowhere.
    pub cache: Option<std::path::PathBuf>,
    /// What compiles components, each in a process of its own with limits (see
    /// [`HostBuilder::compile_command`](crate::HostBuilder::compile_command)). Default: nothing, the
    /// worker's own process does.
    pub compile: Option<CompileCommand>,
    /// What compiling one component may use there. Default: [`CompileLimits::default`].
    pub compile_limits: CompileLimits,
}

/// Why a worker cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerHostError {
    /// The sandbox could not be built.
    #[error("the sandbox could not be built")]
    Sandbox(#[from] SandboxError),
    /// Threads cannot be had.
    #[error("the threads of the worker could not be started")]
    Threads(#[from] std::io::Error),
    /// It cannot be served so.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The engine cannot be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Whether these leave no directory out, so that there is nothing to keep runs below.
fn is_everything(roots: &[DirCeiling]) -> bool {
    roots.iter().any(|root| root.access == Access::ReadWrite && root.host == Path::new("/"))
}

/// A worker on this host. When it is dropped, what is under way is cancelled.
pub struct WorkerHost {
    runtime: Runtime,
    worker: Arc<Worker>,
    sandbox: Sandbox,
    /// Ends the servers, once the worker has left.
    over: CancellationToken,
    servers: Mutex<Vec<JoinHandle<Result<(), ServeError>>>>,
    /// Has the worker leave its engines.
    leave_engines: CancellationToken,
    engines: Mutex<Vec<JoinHandle<()>>>,
}

impl WorkerHost {
    /// Starts a worker, which nobody can reach yet.
    ///
    /// # Errors
    /// When the sandbox or the threads cannot be had.
    pub fn open(settings: WorkerSettings) -> Result<Self, WorkerHostError> {
        let mut config =
            SandboxConfig { slots: settings.worker.slots.max(1), ..Default::default() };
        let mut worker = settings.worker;
        // What it says that it gives is what it can give.
        config.max_memory = config.max_memory.min(worker.ceiling.memory);
        worker.ceiling.memory = config.max_memory;
        config.roots = Some(worker.ceiling.dirs.clone()).filter(|roots| !is_everything(roots));
        if let Some(directory) = settings.cache {
            config.cache = CacheConfig::Dir(directory);
        }
        config.compile = settings.compile;
        config.compile_limits = settings.compile_limits;
        let sandbox = Sandbox::new(config)?;
        let worker = Worker::new(Arc::new(sandbox.clone()), worker)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(LINK_THREADS)
            .thread_name("sandmill-worker")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            worker,
            sandbox,
            over: CancellationToken::new(),
            servers: Mutex::default(),
            leave_engines: CancellationToken::new(),
            engines: Mutex::default(),
        })
    }

    /// Serves the worker at an address from now on, and says where that is: port 0 is any free one.
    ///
    /// # Errors
    /// When the address can be reached from other machines and `security` keeps nobody out, or it
    /// cannot be listened at.
    pub fn listen(
        &self,
        address: &Address,
        security: ServerSecurity,
        options: ServeOptions,
    ) -> Result<Address, WorkerHostError> {
        // What the transport would say too, and before strangers could connect.
        match (address, &security) {
            (Address::Tls { .. }, ServerSecurity::Plain) => {
                return Err(ServeError::Open(address.to_string()).into());
            }
            (Address::Tcp(_) | Address::Unix(_), ServerSecurity::Tls(_)) => {
                return Err(ServeError::NotTls(address.to_string()).into());
            }
            _ => {}
        }
        let listener = self.runtime.block_on(Listener::bind(address))?;
        let bound = listener.address().clone();
        let service = Arc::clone(&self.worker) as Arc<dyn WorkerService>;
        let serving = serve_with(listener, security, service, options, self.over.clone());
        self.servers.lock().push(self.runtime.spawn(serving));
        Ok(bound)
    }

    /// Serves the worker at an engine from now on, and says how the connection to that stands. The
    /// worker is listed there when this returns. An engine that goes away is waited for, for ever.
    /// How long runs may take when the worker leaves is what [`WorkerHost::drain`] is told.
    ///
    /// # Errors
    /// When there is no engine, or it does not take this worker.
    pub fn engine(
        &self,
        engine: EngineConfig,
        config: EngineServeConfig,
    ) -> Result<watch::Receiver<EngineLink>, WorkerHostError> {
        let engine = self.runtime.block_on(async {
            let engine = Engine::connect(engine).await?;
            enlist(&self.worker, &engine).await?;
            Ok::<_, EngineError>(engine)
        })?;
        let link = engine.link();
        let (worker, leave) = (Arc::clone(&self.worker), self.leave_engines.clone());
        let serving = serve_at(worker, engine, config, leave, self.over.clone());
        self.engines.lock().push(self.runtime.spawn(serving));
        Ok(link)
    }

    /// The runtime that serves its links, for what else should be served beside them.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// The worker.
    #[must_use]
    pub const fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Its sandbox.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.worker.status()
    }

    /// Takes nothing new and waits until what runs has ended, which is cancelled after `grace`, and
    /// its reports are taken. A second call, from another thread, has that done at once. Coordinators
    /// that come meanwhile are told that it leaves.
    pub fn drain(&self, grace: Duration) {
        let engines = std::mem::take(&mut *self.engines.lock());
        self.runtime.block_on(async {
            let left = async {
                // The worker takes nothing new by now: what the engine still gives goes back.
                self.leave_engines.cancel();
                for engine in engines {
                    // It ends in bounded time once the worker has left.
                    let _ = engine.await;
                }
            };
            tokio::join!(biased; self.worker.drain(grace), left);
        });
    }

    /// Ends its servers. Whatever was not drained is lost.
    pub fn close(self) {
        self.over.cancel();
        let servers = std::mem::take(&mut *self.servers.lock());
        let engines = std::mem::take(&mut *self.engines.lock());
        self.runtime.block_on(async {
            for engine in engines {
                let _ = engine.await;
            }
            for server in servers {
                // They end by themselves in bounded time; what they say then is nobody's any more.
                let _ = server.await;
            }
        });
        self.runtime.shutdown_timeout(CLOSE_PATIENCE);
    }
}

/// Serves a worker at an engine until it is to leave, or all is `over`.
async fn serve_at(
    worker: Arc<Worker>,
    engine: Engine,
    config: EngineServeConfig,
    leave: CancellationToken,
    over: CancellationToken,
) {
    let serving = async {
        loop {
            // Nobody needs to hurry it: a second drain of the worker does.
            let hurry = CancellationToken::new();
            let served = serve(&worker, &engine, config.clone(), leave.child_token(), hurry).await;
            if served.is_ok() {
                return;
            }
            // It was listed a moment ago, so the engine has just gone.
            tokio::select! {
                () = leave.cancelled() => return,
                () = tokio::time::sleep(SERVE_AGAIN) => {}
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = over.cancelled() => {}
    }
    engine.close().await;
}

impl std::fmt::Debug for WorkerHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerHost").field("worker", &self.worker).finish_non_exhaustive()
    }
}
