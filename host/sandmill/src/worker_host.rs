//! A worker on this host: a sandbox in slots, served at one or more addresses until it is told to
//! leave. What it answers is the executors'; which runs it gets is their coordinators'.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_executors::worker::{Worker, WorkerConfig, WorkerStatus};
use sandmill_sandbox::{CacheConfig, Sandbox, SandboxConfig, SandboxError};
use sandmill_transport::Address;
use sandmill_transport::direct::{Listener, ServeError, ServeOptions, WorkerService, serve_with};
use sandmill_transport::security::ServerSecurity;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Threads that serve links; runs have threads of their own.
const LINK_THREADS: usize = 2;
/// How long what is left of the runtime may take when the worker has left.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What a worker on this host is made of.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {
    /// What it is, and what it allows.
    pub worker: WorkerConfig,
    /// Where compiled code is kept. Default: nowhere.
    pub cache: Option<std::path::PathBuf>,
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
}

/// A worker on this host. When it is dropped, what is under way is cancelled.
pub struct WorkerHost {
    runtime: Runtime,
    worker: Arc<Worker>,
    sandbox: Sandbox,
    /// Ends the servers, once the worker has left.
    over: CancellationToken,
    servers: Mutex<Vec<JoinHandle<Result<(), ServeError>>>>,
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
        if let Some(directory) = settings.cache {
            config.cache = CacheConfig::Dir(directory);
        }
        let sandbox = Sandbox::new(config)?;
        let worker = Worker::new(Arc::new(sandbox.clone()), worker)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(LINK_THREADS)
            .thread_name("sandmill-worker")
            .enable_all()
            .build()?;
        let (over, servers) = (CancellationToken::new(), Mutex::default());
        Ok(Self { runtime, worker, sandbox, over, servers })
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
        self.runtime.block_on(self.worker.drain(grace));
    }

    /// Ends its servers. Whatever was not drained is lost.
    pub fn close(self) {
        self.over.cancel();
        let servers = std::mem::take(&mut *self.servers.lock());
        self.runtime.block_on(async {
            for server in servers {
                // They end by themselves in bounded time; what they say then is nobody's any more.
                let _ = server.await;
            }
        });
        self.runtime.shutdown_timeout(CLOSE_PATIENCE);
    }
}

impl std::fmt::Debug for WorkerHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerHost").field("worker", &self.worker).finish_non_exhaustive()
    }
}
