//! The workers of hosts under test: processes of the real binary, and workers in this process, at
//! TLS addresses and at a NATS server.

use std::ffi::OsString;
use std::time::Duration;

use sandmill::core::Ceiling;
use sandmill::executors::worker::WorkerConfig;
use sandmill::executors::worker::engine::EngineServeConfig;
use sandmill::transport::Address;
use sandmill::transport::direct::ServeOptions;
use sandmill::transport::security::{ClientSecurity, Role, ServerSecurity, TlsClient, TlsServer};
use sandmill::transport::token::Token;
use sandmill::{
    ExecutorKind, HostBuilder, Isolation, RemoteSettings, RemoteWorkers, WorkerCommand, WorkerHost,
    WorkerSettings,
};
use sandmill_test_artifacts as artifacts;

use crate::{cache_directory, nats_server};

/// Workers of a host that has more than one slot.
const WORKERS: usize = 2;

/// What has to be there for as long as a host that was set up so: workers of its own.
#[derive(Default)]
pub struct Others(Vec<WorkerHost>);

impl Drop for Others {
    fn drop(&mut self) {
        // Their host has gone before, so there is nothing to wait for.
        for worker in self.0.drain(..) {
            worker.drain(Duration::ZERO);
            worker.close();
        }
    }
}

impl Others {
    /// Workers in this process that have so many slots together, or one more.
    fn open(slots: usize) -> Self {
        let count = slots.min(WORKERS);
        let open = |number| {
            let mut worker = WorkerConfig::new(format!("w{number}"), slots.div_ceil(count));
            worker.ceiling = Ceiling::unbounded();
            let cache = Some(cache_directory());
            WorkerHost::open(WorkerSettings { worker, cache, ..WorkerSettings::default() })
                .expect("a worker opens")
        };
        Self((0..count).map(open).collect())
    }
}

/// What makes a worker that is a process: the real binary, away from the configuration of whoever
/// runs the tests.
fn worker_command() -> WorkerCommand {
    let scratch = artifacts::scratch();
    let variable = |name: &str, value: std::path::PathBuf| {
        let mut text = OsString::from(format!("{name}="));
        text.push(value);
        text
    };
    let arguments = [
        "-i".into(),
        variable("SANDMILL_CACHE__DIRECTORY", cache_directory()),
        variable("XDG_CONFIG_HOME", scratch.join("no-config")),
        artifacts::sandmill_binary().into(),
    ];
    let worker = ["--output", "quiet", "worker", "--for-parent"];
    WorkerCommand::new("env", arguments.into_iter().chain(worker.map(OsString::from)))
}

/// A pool whose slots are processes.
pub(crate) fn processes(host: HostBuilder, slots: usize) -> (HostBuilder, Others) {
    let host = host.executor(ExecutorKind::Pool).isolation(Isolation::Processes).slots(slots);
    (host.worker_command(worker_command()), Others::default())
}

/// A temporary cluster of local workers.
pub(crate) fn cluster(host: HostBuilder, slots: usize) -> (HostBuilder, Others) {
    let (command, workers) = (worker_command(), slots.min(WORKERS));
    let slots = slots.div_ceil(workers);
    let workers = RemoteWorkers::Local { command, workers, slots, adapt: None };
    (over(host, workers), Others::default())
}

/// Workers at TLS addresses.
pub(crate) fn remote(host: HostBuilder, slots: usize) -> (HostBuilder, Others) {
    let token = Token::new(Duration::from_secs(3_600)).expect("an hour is no long time");
    let identity = |role| token.identity(role).expect("the token is good");
    let others = Others::open(slots);
    let listen = |worker: &WorkerHost| {
        let tls = TlsServer::new(&identity(Role::Worker)).expect("it is a worker's");
        let any: Address = "tls://127.0.0.1:0".parse().expect("it is an address");
        let listening = worker.listen(&any, ServerSecurity::Tls(tls), ServeOptions::default());
        listening.expect("there is a port")
    };
    let hosts = others.0.iter().map(listen).collect();
    let tls = TlsClient::new(&identity(Role::Submit)).expect("it is a coordinator's");
    let workers = RemoteWorkers::Listed { hosts, security: ClientSecurity::Tls(tls) };
    (over(host, workers), others)
}

/// Workers at a NATS server that all hosts of the tests share, with names of its own there.
pub(crate) fn nats(host: HostBuilder, slots: usize) -> (HostBuilder, Others) {
    let config = nats_server::engine();
    let others = Others::open(slots);
    for worker in &others.0 {
        let served = worker.engine(config.clone(), EngineServeConfig::default());
        served.unwrap_or_else(|error| panic!("{error}"));
    }
    (over(host, RemoteWorkers::Engine(config)), others)
}

fn over(host: HostBuilder, workers: RemoteWorkers) -> HostBuilder {
    host.executor(ExecutorKind::Remote).remote(RemoteSettings::new(workers))
}
