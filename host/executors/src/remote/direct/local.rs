//! Workers that are processes of this machine, made for a session: for a temporary cluster, and for
//! a pool whose runs are apart from this process. How many there should be is the scheduler crate's
//! `adapt`; here they are started, watched and stopped.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use sandmill_core::StartError;
use sandmill_scheduler::{Adapt, Adapter, DemandSeen, HostId, Sizing, WorkerSeen};
use sandmill_transport::Address;
use sandmill_transport::security::ClientSecurity;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::config::{BACKOFF_LEAST, BACKOFF_MOST};
use super::socket::SocketWay;
use super::workers::{Demand, WorkerNews, Workers};

/// Processes of one provider.
pub const MAX_LOCAL_WORKERS: usize = 1_024;
/// How often processes are looked at.
pub const LOCAL_LOOK: Duration = Duration::from_millis(100);
/// How many in a row may end before the fleet has reached one, until no more are started.
pub const MAX_STILLBORN: u32 = 8;
/// How long a process may take to end once it was told to; then it is killed.
pub const END_PATIENCE: Duration = Duration::from_secs(1);

/// Which processes, and how many.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// A program and its arguments, to which `--listen unix:PATH` is added. It serves a worker there,
    /// and ends when its standard input does: so it does not outlive this process, however that
    /// ends. Its standard error is this process's, its standard output goes nowhere.
    pub command: Vec<OsString>,
    /// How many there are, or are at first where `adapt` says how many there may be: 1 to
    /// [`MAX_LOCAL_WORKERS`].
    pub workers: usize,
    /// How many runs each makes at a time, as the command says: for `adapt`.
    pub slots_per_worker: usize,
    /// Within which bounds there are more and fewer by load; none for always as many.
    pub adapt: Option<Adapt>,
}

/// Workers that are processes of this machine. A process that dies costs the runs that it has: with
/// one slot each, and [`super::DirectConfig::prefetch_per_slot`] 0, that is one.
pub struct LocalWorkers {
    config: LocalConfig,
    session: Mutex<Option<Session>>,
}

struct Session {
    nursery: Arc<Nursery>,
    thread: JoinHandle<()>,
}

/// What the thread that looks after processes shares.
struct Nursery {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    stopping: bool,
    demand: Option<Demand>,
    released: Vec<String>,
    ended: Option<oneshot::Sender<()>>,
}

impl LocalWorkers {
    /// Processes of this kind. None is started before the fleet is.
    #[must_use]
    pub fn new(config: LocalConfig) -> Self {
        let workers = config.workers.clamp(1, MAX_LOCAL_WORKERS);
        Self { config: LocalConfig { workers, ..config }, session: Mutex::new(None) }
    }

    fn begin(&self, news: mpsc::UnboundedSender<WorkerNews>) -> Result<(), StartError> {
        let unavailable = |what: String| StartError::Unavailable(what);
        if self.config.command.is_empty() {
            return Err(unavailable("no program was named for local workers".to_owned()));
        }
        if let Some(adapt) = &self.config.adapt {
            adapt.check().map_err(|error| unavailable(error.to_string()))?;
        }
        let dir = private_dir().map_err(|error| {
            unavailable(format!("a directory for the sockets of local workers: {error}"))
        })?;
        let nursery = Arc::new(Nursery { inner: Mutex::default(), changed: Condvar::new() });
        let mut nurse = Nurse {
            config: self.config.clone(),
            dir: PrivateDir(dir),
            news,
            nursery: Arc::clone(&nursery),
            children: HashMap::new(),
            next: 0,
            adapter: self.config.adapt.clone().map(Adapter::new),
            stillborn: 0,
            missing: self.config.workers,
            start_at: Instant::now(),
        };
        // The first are started here, so that a program that is not there is told at once.
        nurse.start_missing()?;
        let thread = std::thread::Builder::new()
            .name("sandmill-local".to_owned())
            .spawn(move || nurse.look_after())
            .map_err(|error| unavailable(format!("a thread for local workers: {error}")))?;
        *self.session.lock() = Some(Session { nursery, thread });
        Ok(())
    }
}

impl Workers for LocalWorkers {
    fn start(
        &self,
        news: mpsc::UnboundedSender<WorkerNews>,
    ) -> BoxFuture<'_, Result<(), StartError>> {
        async move {
            self.stop().await;
            self.begin(news)
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async {
            let Some(session) = self.session.lock().take() else { return };
            let (ended, end) = oneshot::channel();
            {
                let mut inner = session.nursery.inner.lock();
                inner.stopping = true;
                inner.ended = Some(ended);
            }
            session.nursery.changed.notify_one();
            // Told, or dropped with the thread.
            let _ = end.await;
            let _ = session.thread.join();
        }
        .boxed()
    }

    fn demand(&self, demand: Demand) {
        if self.config.adapt.is_some()
            && let Some(session) = &*self.session.lock()
        {
            session.nursery.inner.lock().demand = Some(demand);
        }
    }

    fn released(&self, address: &str) {
        if let Some(session) = &*self.session.lock() {
            session.nursery.inner.lock().released.push(address.to_owned());
            session.nursery.changed.notify_one();
        }
    }
}

impl Drop for LocalWorkers {
    fn drop(&mut self) {
        if let Some(session) = self.session.lock().take() {
            session.nursery.inner.lock().stopping = true;
            session.nursery.changed.notify_one();
            let _ = session.thread.join();
        }
    }
}

/// A process.
struct Local {
    child: Child,
    number: u64,
    idle_since: Option<Instant>,
    /// Whether the fleet has reached it.
    has_served: bool,
    is_leaving: bool,
    /// Since when it was told to end.
    ending: Option<Instant>,
}

/// Looks after the processes, on a thread of its own.
struct Nurse {
    config: LocalConfig,
    dir: PrivateDir,
    news: mpsc::UnboundedSender<WorkerNews>,
    nursery: Arc<Nursery>,
    /// By their addresses.
    children: HashMap<String, Local>,
    next: u64,
    adapter: Option<Adapter>,
    /// How many in a row did not come up.
    stillborn: u32,
    /// How many are to be started, and not before when.
    missing: usize,
    start_at: Instant,
}

impl Nurse {
    fn look_after(mut self) {
        loop {
            let (demand, released) = {
                let mut inner = self.nursery.inner.lock();
                if !inner.stopping && inner.released.is_empty() {
                    self.nursery.changed.wait_for(&mut inner, LOCAL_LOOK);
                }
                if inner.stopping {
                    break;
                }
                (inner.demand.take(), std::mem::take(&mut inner.released))
            };
            for address in released {
                if let Some(local) = self.children.get_mut(&address) {
                    local.is_leaving = true;
                    local.tell_to_end();
                }
            }
            self.look_at_children();
            if let Some(demand) = demand {
                self.mark_served(&demand);
                self.size(&demand);
            }
            if self.missing > 0 && Instant::now() >= self.start_at {
                // The next look tries again.
                if let Err(error) = self.start_missing() {
                    self.has_failed(&error.to_string());
                }
            }
        }
        self.end();
    }

    fn start_missing(&mut self) -> Result<(), StartError> {
        while self.missing > 0 && self.stillborn <= MAX_STILLBORN {
            self.start_one()?;
            self.missing -= 1;
        }
        Ok(())
    }

    fn start_one(&mut self) -> Result<(), StartError> {
        let number = self.next;
        self.next += 1;
        let path = self.dir.0.join(format!("{number}.sock"));
        let address = Address::Unix(path);
        let shown = address.to_string();
        let (program, arguments) =
            self.config.command.split_first().expect("it was seen not to be empty");
        let child = Command::new(program)
            .args(arguments)
            .arg("--listen")
            .arg(&shown)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| {
                let program = Path::new(program).display();
                StartError::Unavailable(format!("a local worker, {program}: {error}"))
            })?;
        let local = Local {
            child,
            number,
            idle_since: None,
            has_served: false,
            is_leaving: false,
            ending: None,
        };
        self.children.insert(shown, local);
        let way = Arc::new(SocketWay::new(address, ClientSecurity::Plain));
        // Whoever listens may have gone; then the processes are stopped too.
        let _ = self.news.send(WorkerNews::Added(way));
        Ok(())
    }

    fn look_at_children(&mut self) {
        let mut gone = Vec::new();
        for (address, local) in &mut self.children {
            match local.child.try_wait() {
                Ok(Some(status)) => gone.push((address.clone(), status.to_string())),
                Ok(None) => {
                    if local.ending.is_some_and(|since| since.elapsed() >= END_PATIENCE) {
                        // It may have ended just now.
                        let _ = local.child.kill();
                    }
                }
                Err(error) => gone.push((address.clone(), error.to_string())),
            }
        }
        for (address, status) in gone {
            let Some(local) = self.children.remove(&address) else { continue };
            let _ = self.news.send(WorkerNews::Removed(address));
            if local.is_leaving {
                continue;
            }
            self.missing += 1;
            if local.has_served {
                // What it ran may have ended it; the next one may serve too, if not at once.
                self.start_at = Instant::now() + BACKOFF_LEAST;
            } else {
                self.has_failed(&format!("a local worker ended as it started: {status}"));
            }
        }
    }

    /// Those that the fleet has reached have come up.
    fn mark_served(&mut self, demand: &Demand) {
        for (address, _) in &demand.hosts {
            if let Some(local) = self.children.get_mut(address) {
                local.has_served = true;
                self.stillborn = 0;
            }
        }
    }

    fn has_failed(&mut self, why: &str) {
        self.stillborn = self.stillborn.saturating_add(1);
        let wait = BACKOFF_LEAST.saturating_mul(1 << self.stillborn.min(16)).min(BACKOFF_MOST);
        self.start_at = Instant::now() + wait;
        let why = why.to_owned();
        let _ = self.news.send(match self.stillborn > MAX_STILLBORN {
            true => WorkerNews::GaveUp(why),
            false => WorkerNews::Failed(why),
        });
    }

    /// Starts more, or has some leave, by load.
    fn size(&mut self, demand: &Demand) {
        let Some(adapter) = &mut self.adapter else { return };
        let now = Instant::now();
        let mut workers = Vec::with_capacity(self.children.len());
        let mut coming = self.missing;
        for (address, local) in &mut self.children {
            let Some((_, runs)) = demand.hosts.iter().find(|(host, _)| host == address) else {
                // The fleet has not reached it yet, or lets go of it.
                coming += usize::from(!local.is_leaving);
                continue;
            };
            local.idle_since = match (*runs, local.idle_since) {
                (0, None) => Some(now),
                (0, since) => since,
                _ => None,
            };
            workers.push(WorkerSeen {
                host: HostId(local.number),
                runs: *runs,
                unsettled: 0,
                idle_since: local.idle_since,
                stopping: local.is_leaving,
            });
        }
        let seen = DemandSeen {
            waiting: demand.waiting,
            placed: demand.placed,
            slots_per_worker: self.config.slots_per_worker,
            oldest_wait: demand.oldest_wait,
        };
        match adapter.look(now, &seen, &workers, coming) {
            Sizing::Stay => {}
            Sizing::Start(more) => {
                let room = MAX_LOCAL_WORKERS.saturating_sub(self.children.len());
                self.missing = (self.missing + more).min(room);
            }
            Sizing::Stop(hosts) => {
                for (address, local) in &mut self.children {
                    if hosts.contains(&HostId(local.number)) {
                        local.is_leaving = true;
                        // The fleet gives it nothing new, and says when it has nothing.
                        let _ = self.news.send(WorkerNews::Leaving(address.clone()));
                    }
                }
            }
        }
    }

    /// Ends all processes.
    fn end(mut self) {
        self.children.values_mut().for_each(Local::tell_to_end);
        let until = Instant::now() + END_PATIENCE;
        for local in self.children.values_mut() {
            while matches!(local.child.try_wait(), Ok(None)) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Those that have not ended are killed as they go.
        self.children.clear();
        if let Some(ended) = self.nursery.inner.lock().ended.take() {
            let _ = ended.send(());
        }
    }
}

impl Local {
    fn tell_to_end(&mut self) {
        self.ending.get_or_insert_with(Instant::now);
        drop(self.child.stdin.take());
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Nothing is left of one that has ended: then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that goes with this.
struct PrivateDir(PathBuf);

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // What cannot be removed is small, and in a place for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A new directory that only this user can reach.
fn private_dir() -> std::io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("sandmill-{}", Uuid::now_v7().simple()));
    std::fs::DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}
