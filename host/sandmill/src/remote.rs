//! What a host is told of the hosts that its runs are made on: a list of workers, those of an engine,
//! processes of this machine, or an embedder's own provider. How runs get there is the executors'.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use sandmill_executors::remote::direct::{
    DirectConfig, DirectFleet, ListedWorkers, LocalConfig, LocalWorkers, SocketWay, Way, Workers,
};
use sandmill_executors::remote::engine::{DEFAULT_BEAT, EngineFleet, EngineFleetConfig};
use sandmill_executors::remote::{Fleet, RemoteConfig};
use sandmill_executors::worker::engine::BEAT;
use sandmill_scheduler::Adapt;
use sandmill_transport::Address;
use sandmill_transport::engine::EngineConfig;
use sandmill_transport::security::ClientSecurity;

/// Processes of a pool. With more slots than this, each makes several runs at a time.
pub const MAX_POOL_PROCESSES: usize = 64;
/// Workers of a temporary local cluster where nobody says how many.
pub const DEFAULT_LOCAL_WORKERS: usize = 2;

/// Beats of an engine's worker that may be missed before it is given up, at least.
const MISSED_BEATS: u32 = 3;

/// What keeps the runs of a pool apart, beside the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing: runs are on threads of this process.
    #[default]
    Threads,
    /// Runs are in processes of their own. One that dies costs only the runs that are in it.
    Processes,
}

/// What makes a worker of this machine. It is started with `--listen unix:PATH` after its arguments,
/// serves a worker there, and ends when its standard input does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This program with these arguments.
    #[must_use]
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self { program: program.into(), args: args.into_iter().map(Into::into).collect() }
    }

    fn words(self, slots: usize) -> Vec<OsString> {
        let slots = ["--slots".into(), slots.to_string().into()];
        std::iter::once(self.program.into_os_string()).chain(self.args).chain(slots).collect()
    }
}

/// Which workers a remote executor has.
#[non_exhaustive]
pub enum RemoteWorkers {
    /// These, which are there already.
    Listed {
        /// Where they listen.
        hosts: Vec<Address>,
        /// How this side knows them, and is known to them.
        security: ClientSecurity,
    },
    /// Those that serve at this engine, now or later. It is found when the host is opened.
    Engine(EngineConfig),
    /// Processes of this machine, which are stopped with the host.
    Local {
        /// What makes one. `--slots N` is added to its arguments.
        command: WorkerCommand,
        /// How many there are, or are at first.
        workers: usize,
        /// How many runs each makes at a time.
        slots: usize,
        /// Within which bounds there are more and fewer by load; none for always as many.
        adapt: Option<Adapt>,
    },
    /// Whatever this provides.
    Provided(Arc<dyn Workers>),
    /// Whatever carries runs to hosts; the times of the settings are not for it.
    Fleet(Arc<dyn Fleet>),
}

/// The hosts of a remote executor.
pub struct RemoteSettings {
    /// Which they are.
    pub workers: RemoteWorkers,
    /// Times: heartbeats, leases, the grace after a broken link. How long an engine may take to
    /// answer is said with the engine.
    pub times: DirectConfig,
}

impl RemoteSettings {
    /// These workers, with the usual times.
    #[must_use]
    pub fn new(workers: RemoteWorkers) -> Self {
        Self { workers, times: DirectConfig::default() }
    }

    pub(crate) fn executor(self, kind: &'static str, queue: usize) -> RemoteConfig {
        let Self { workers, times } = self;
        let provider: Arc<dyn Workers> = match workers {
            RemoteWorkers::Fleet(fleet) => return RemoteConfig { kind, queue, fleet },
            RemoteWorkers::Engine(engine) => {
                let fleet = Arc::new(EngineFleet::new(over_engine(engine, times)));
                return RemoteConfig { kind, queue, fleet };
            }
            RemoteWorkers::Provided(provider) => provider,
            RemoteWorkers::Listed { hosts, security } => {
                let way = |address| Arc::new(SocketWay::new(address, security.clone()));
                Arc::new(ListedWorkers::new(hosts.into_iter().map(|it| way(it) as Arc<dyn Way>)))
            }
            RemoteWorkers::Local { command, workers, slots, adapt } => {
                let slots = slots.max(1);
                Arc::new(LocalWorkers::new(LocalConfig {
                    command: command.words(slots),
                    workers,
                    slots_per_worker: slots,
                    adapt,
                }))
            }
        };
        let fleet: Arc<dyn Fleet> = Arc::new(DirectFleet::new(provider, times));
        RemoteConfig { kind, queue, fleet }
    }
}

/// A fleet over an engine with these times, where they are not too short for it: its workers say
/// that they are there every [`BEAT`].
fn over_engine(engine: EngineConfig, times: DirectConfig) -> EngineFleetConfig {
    EngineFleetConfig {
        name: times.name,
        program: times.program,
        beat: times.heartbeat.min(DEFAULT_BEAT),
        lease: times.lease.max(BEAT * MISSED_BEATS),
        grace: times.grace,
        pending_notice_after: times.pending_notice_after,
        ..EngineFleetConfig::new(engine)
    }
}

/// A pool of so many slots in processes: one a slot, or up to [`MAX_POOL_PROCESSES`] that share
/// them. Never more slots than that.
pub(crate) fn pool_of_processes(command: WorkerCommand, slots: usize) -> RemoteSettings {
    let slots = slots.max(1);
    let each = slots.div_ceil(MAX_POOL_PROCESSES);
    let workers = RemoteWorkers::Local { command, workers: slots / each, slots: each, adapt: None };
    RemoteSettings::new(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_has_times_that_its_workers_can_keep_to() {
        use std::time::Duration;
        let engine = || EngineConfig::new("nats://a").expect("it is one");
        let usual = over_engine(engine(), DirectConfig::default());
        assert_eq!((usual.beat, usual.lease), (DEFAULT_BEAT, DirectConfig::default().lease));
        let short = Duration::from_millis(100);
        let times = DirectConfig { heartbeat: short, lease: short * 3, ..DirectConfig::default() };
        let quick = over_engine(engine(), times);
        assert_eq!((quick.beat, quick.lease), (short, BEAT * 3));
    }

    #[test]
    fn a_pool_has_no_more_slots_than_it_was_asked_for() {
        for slots in [1, 2, 64, 65, 100, 1_000, 4_096] {
            let command = WorkerCommand::new("w", ["x"]);
            let RemoteWorkers::Local { workers, slots: each, .. } =
                pool_of_processes(command, slots).workers
            else {
                panic!("a pool has processes")
            };
            assert!(workers <= MAX_POOL_PROCESSES && workers * each <= slots, "{slots}");
            assert!((workers + 1) * each > slots, "{slots}");
        }
    }
}
