//! A host: a sandbox and an executor over it, opened together.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{
    Call, CallOptions, CancelToken, Clock, Component, ComponentInfo, Events, Executor, FutureList,
    Grants, Invoker, Limits, MapOptions, Observer, StartContext, TaskFuture,
};
use sandmill_executors::remote::{HostStatus, RemoteExecutor};
use sandmill_executors::{InlineExecutor, PoolConfig, PoolExecutor};
use sandmill_flow::FlowRunner;
use sandmill_sandbox::{CacheConfig, CompileCommand, CompileLimits, Sandbox, SandboxConfig};
use sandmill_store::{Cache, CacheBounds, CachingInvoker, LogStore, Store, StoreConfig};
use sandmill_wire::EndKind;

use crate::flow::{FlowError, Flows};
use crate::remote::{Isolation, RemoteSettings, WorkerCommand, pool_of_processes};
use crate::{HostError, Task, load_component};

/// What a host that was given a data directory calls itself to others who want it.
const HOLDER: &str = "an embedder of sandmill";

/// How long a host that goes waits for what it kept last to be written: 5 s.
pub const SETTLE_GRACE: Duration = Duration::from_secs(5);

/// Which executor a host has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExecutorKind {
    /// The caller's thread, one run at a time, in order.
    Inline,
    /// Slots of its own, by default one a core.
    #[default]
    Pool,
    /// Other hosts: see [`HostBuilder::remote`].
    Remote,
}

type MakeExecutor = Box<dyn FnOnce(Arc<dyn Invoker>) -> Arc<dyn Executor>>;

/// Sets up a [`Host`].
#[derive(Default)]
pub struct HostBuilder {
    kind: ExecutorKind,
    pool: PoolConfig,
    isolation: Isolation,
    worker_command: Option<WorkerCommand>,
    remote: Option<RemoteSettings>,
    custom: Option<MakeExecutor>,
    cache: Option<CacheConfig>,
    sandbox: SandboxConfig,
    options: CallOptions,
    observers: Vec<Arc<dyn Observer>>,
    store: Option<OpenStore>,
    cache_bounds: CacheBounds,
}

/// Where a host's history goes.
enum OpenStore {
    Open(Store),
    At(StoreConfig),
}

impl HostBuilder {
    /// Which executor the host has. Default: a pool.
    #[must_use]
    pub const fn executor(mut self, kind: ExecutorKind) -> Self {
        self.kind = kind;
        self
    }

    /// An executor of your own: it gets the sandbox as an invoker.
    #[must_use]
    pub fn custom_executor(
        mut self,
        make: impl FnOnce(Arc<dyn Invoker>) -> Arc<dyn Executor> + 'static,
    ) -> Self {
        self.custom = Some(Box::new(make));
        self
    }

    /// How many runs go on at a time. Default: one a core.
    #[must_use]
    pub const fn slots(mut self, slots: usize) -> Self {
        self.pool.slots = slots;
        self
    }

    /// How many submitted calls may wait for a slot (see [`PoolConfig::queue`]).
    #[must_use]
    pub const fn queue(mut self, queue: usize) -> Self {
        self.pool.queue = queue;
        self
    }

    /// What keeps the runs of a pool apart. Default: threads. Processes need a
    /// [`HostBuilder::worker_command`].
    #[must_use]
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// What makes a worker of this machine, for a pool in processes: `sandmill worker`, or a program
    /// of your own over [`crate::WorkerHost`].
    #[must_use]
    pub fn worker_command(mut self, command: WorkerCommand) -> Self {
        self.worker_command = Some(command);
        self
    }

    /// The hosts of a remote executor.
    #[must_use]
    pub fn remote(mut self, settings: RemoteSettings) -> Self {
        self.remote = Some(settings);
        self
    }

    /// Keeps compiled code in this directory, so that a component is compiled once for all
    /// processes. Default: not at all.
    #[must_use]
    pub fn cache_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.cache = Some(CacheConfig::Dir(directory.as_ref().to_owned()));
        self
    }

    /// What compiles components that are not in the cache, each in a process of its own with limits on
    /// CPU time and memory: `sandmill compile-child`, or a program of your own over
    /// [`compile_child`](crate::sandbox::compile_child), such as this one. Default: nothing, they are
    /// compiled in this process for as long as that takes. Wanted where components come from people
    /// who are not trusted: a few hundred KiB can take minutes and GiBs.
    #[must_use]
    pub fn compile_command(mut self, command: CompileCommand) -> Self {
        self.sandbox.compile = Some(command);
        self
    }

    /// What compiling one component may use there. Default: [`CompileLimits::default`]. This and the command
    /// are of this process; workers, those in processes of this machine too, compile with what their own
    /// [`WorkerSettings`](crate::WorkerSettings) say, which for `sandmill worker` are the defaults.
    #[must_use]
    pub const fn compile_limits(mut self, limits: CompileLimits) -> Self {
        self.sandbox.compile_limits = limits;
        self
    }

    /// What every call may use unless it says otherwise.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// What every call may reach unless it says otherwise. Default: nothing.
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.options.grants = grants;
        self
    }

    /// Is told of every event of every run.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Keeps history in this store: of the flows that [`Host::start_flow`] starts, of what every
    /// run logs, and of results that calls ask to be cached. Default: nothing is kept.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(OpenStore::Open(store));
        self
    }

    /// The same in a data directory, which is opened with the host and held as long as it is there.
    #[must_use]
    pub fn data_dir(self, directory: impl AsRef<Path>) -> Self {
        let (dir, wait) = (directory.as_ref().to_owned(), Duration::ZERO);
        self.store_config(StoreConfig { dir, wait, holder: HOLDER.to_owned() })
    }

    /// The same, waiting for another holder or under a name for others to see.
    #[must_use]
    pub fn store_config(mut self, config: StoreConfig) -> Self {
        self.store = Some(OpenStore::At(config));
        self
    }

    /// How much the cache of results may hold. Default: [`CacheBounds::default`].
    #[must_use]
    pub const fn cache_bounds(mut self, bounds: CacheBounds) -> Self {
        self.cache_bounds = bounds;
        self
    }

    /// Opens the host.
    ///
    /// # Errors
    /// When the sandbox cannot be built, or the executor or the data directory not be opened.
    pub fn build(self) -> Result<Host, HostError> {
        let mut config = self.sandbox;
        if let Some(cache) = self.cache {
            config.cache = cache;
        }
        config.slots = match (self.kind, self.isolation) {
            (ExecutorKind::Pool, Isolation::Threads) => self.pool.slots.max(1),
            // Elsewhere, this process makes components ready and runs flows that are code.
            _ => 1,
        };
        let sandbox = Sandbox::new(config)?;
        let (store, is_own) = match self.store {
            Some(OpenStore::At(config)) => (Some(Store::open(config)?), true),
            Some(OpenStore::Open(store)) => (Some(store), false),
            None => (None, false),
        };
        let history = store.map(|store| History::new(store, is_own, self.cache_bounds));
        let local: Arc<dyn Invoker> = Arc::new(sandbox.clone());
        let wrap = |invoker: Arc<dyn Invoker>| -> Arc<dyn Invoker> {
            match &history {
                Some(history) => Arc::new(CachingInvoker::new(invoker, Arc::clone(&history.cache))),
                None => invoker,
            }
        };
        let mut remote = None;
        let executor: Arc<dyn Executor> = match (self.custom, self.kind, self.isolation) {
            (Some(make), ..) => make(wrap(local)),
            (None, ExecutorKind::Inline, _) => Arc::new(InlineExecutor::new(wrap(local))),
            (None, ExecutorKind::Pool, Isolation::Threads) => {
                Arc::new(PoolExecutor::new(wrap(local), self.pool))
            }
            (None, kind, _) => {
                let config = match kind {
                    ExecutorKind::Remote => self
                        .remote
                        .ok_or(HostError::Setup("a remote executor needs RemoteSettings"))?
                        .executor("remote", self.pool.queue),
                    _ => self
                        .worker_command
                        .map(|command| pool_of_processes(command, self.pool.slots))
                        .ok_or(HostError::Setup("a pool in processes needs a worker command"))?
                        .executor("pool", self.pool.queue),
                };
                let made = Arc::new(RemoteExecutor::new(local, wrap, config));
                remote = Some(Arc::clone(&made));
                made
            }
        };
        let events = Events::new(Clock::system());
        self.observers.into_iter().for_each(|observer| events.observe(observer));
        if let Some(history) = &history {
            events.observe(history.logs.sink());
        }
        let context = StartContext { events: events.clone() };
        pollster::block_on(executor.start(context))?;
        let runner = FlowRunner::new(Arc::clone(&executor), events.clone());
        let (options, flows) = (Arc::new(self.options), Flows::default());
        Ok(Host { sandbox, executor, remote, events, options, runner, flows, history })
    }
}

/// What a host writes to its data directory.
struct History {
    store: Store,
    /// Whether the host opened it, and so closes it.
    is_own: bool,
    cache: Arc<Cache>,
    logs: LogStore,
}

impl History {
    fn new(store: Store, is_own: bool, bounds: CacheBounds) -> Self {
        let cache = Arc::new(Cache::new(&store, bounds));
        let logs = LogStore::open(store.dir());
        Self { store, is_own, cache, logs }
    }

    /// Has what was kept last written, results for the cache among it: the process may end next.
    fn settle(&self) {
        let (give_up, settled) = (CancelToken::new(), CancelToken::new());
        let (late, done) = (give_up.clone(), settled.clone());
        let watch = move || {
            if !done.wait_until(Instant::now() + SETTLE_GRACE) {
                late.cancel();
            }
        };
        // Without a thread to watch over it, it is not worth a wait that might not end.
        if std::thread::Builder::new().name("sandmill-settle".to_owned()).spawn(watch).is_ok() {
            // A store that cannot be written has said so to whoever asked it for something.
            let _written = self.store.sync(Some(&give_up));
        }
        settled.cancel();
    }
}

/// An open host. When it is dropped, what is under way is cancelled, and flows that are written
/// down are interrupted: they can be taken up again. [`Host::close`] lets calls finish first.
pub struct Host {
    sandbox: Sandbox,
    executor: Arc<dyn Executor>,
    /// The same, where its runs are made in other processes.
    remote: Option<Arc<RemoteExecutor>>,
    events: Events,
    options: Arc<CallOptions>,
    runner: FlowRunner,
    flows: Flows,
    history: Option<History>,
}

impl Host {
    /// A host with a pool of one slot a core, and nothing granted.
    ///
    /// # Errors
    /// See [`HostBuilder::build`].
    pub fn new() -> Result<Self, HostError> {
        Self::builder().build()
    }

    /// Sets up a host.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Reads a component from a file (see [`load_component`]).
    ///
    /// # Errors
    /// When the file cannot be read or is too large.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Component, HostError> {
        load_component(path)
    }

    /// Checks and compiles a component, unless that was done before, and says what is in it.
    ///
    /// # Errors
    /// [`HostError::Component`] when it is not one that this host can run, [`HostError::Unready`] when that
    /// could not be found out.
    pub fn inspect(&self, component: &Component) -> Result<Arc<ComponentInfo>, HostError> {
        self.sandbox.prepare(component).map_err(|end| {
            let (origin, why) = (component.origin().to_owned(), end.message);
            match end.kind {
                EndKind::HostError => HostError::Unready { origin, why },
                _ => HostError::Component { origin, why },
            }
        })
    }

    /// A task of a component.
    ///
    /// # Errors
    /// When the component cannot be run, or has no such task.
    pub fn task(&self, component: &Component, name: &str) -> Result<Task, HostError> {
        let info = self.inspect(component)?;
        if info.task(name).is_none() {
            return Err(HostError::UnknownTask {
                origin: component.origin().to_owned(),
                task: name.to_owned(),
                known: info.tasks.iter().map(|task| task.name.clone()).collect(),
            });
        }
        Ok(Task::new(&self.executor, component, name, &self.options))
    }

    /// Accepts a call (see [`Executor::submit`]).
    pub fn submit(&self, call: Call) -> TaskFuture {
        self.executor.submit(call)
    }

    /// Accepts many calls (see [`Executor::map`]).
    pub fn map(
        &self,
        calls: impl Iterator<Item = Call> + Send + 'static,
        options: MapOptions,
    ) -> FutureList {
        self.executor.map(Box::new(calls), options)
    }

    /// What a call may use and reach unless it says otherwise.
    #[must_use]
    pub fn options(&self) -> &Arc<CallOptions> {
        &self.options
    }

    /// The executor.
    #[must_use]
    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// The hosts that runs are made on, as they stand; none where that is this process.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostStatus> {
        self.remote.as_ref().map(|remote| remote.hosts()).unwrap_or_default()
    }

    /// How many reports came from hosts that had been given up for the run that they tell of, and were
    /// refused: it was made elsewhere. Of the hosts that are still listed.
    #[must_use]
    pub fn late_reports(&self) -> u64 {
        self.hosts().iter().map(|host| host.stale).sum()
    }

    /// Where the events of all runs come through.
    #[must_use]
    pub const fn events(&self) -> &Events {
        &self.events
    }

    /// The sandbox.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The store, where it has one.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.history.as_ref().map(|history| &history.store)
    }

    /// The cache of results, where it has a store.
    #[must_use]
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.history.as_ref().map(|history| &history.cache)
    }

    /// Where the lines go that runs log, where it has a store.
    #[must_use]
    pub fn logs(&self) -> Option<&LogStore> {
        self.history.as_ref().map(|history| &history.logs)
    }

    /// Runs flows on the host's executor. What it is given to run is written down where that has a
    /// journal; [`Host::start_flow`] sees to that.
    #[must_use]
    pub const fn flow_runner(&self) -> &FlowRunner {
        &self.runner
    }

    pub(crate) fn history(&self) -> Result<&Store, FlowError> {
        self.store().ok_or(FlowError::NoStore)
    }

    pub(crate) const fn flows(&self) -> &Flows {
        &self.flows
    }

    /// Lets everything that was accepted finish, flows that are written down among it, and closes
    /// the host.
    pub fn close(self) {
        self.flows.wait();
        pollster::block_on(self.executor.shutdown());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // First, so that what ends because of the abort is known to have been interrupted.
        self.flows.close(|| self.executor.abort());
        if let Some(history) = &self.history {
            history.settle();
            if history.is_own {
                // Now, and not when the last thread has let go of it: somebody may want it next.
                history.store.clone().close();
            }
        }
    }
}
