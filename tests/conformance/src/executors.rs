//! The executors that every case runs on. This is the one place that names them.

use std::time::Duration;

use sandmill::core::Ceiling;
use sandmill::executors::worker::WorkerConfig;
use sandmill::transport::Address;
use sandmill::transport::direct::ServeOptions;
use sandmill::transport::security::{ClientSecurity, Role, ServerSecurity, TlsClient, TlsServer};
use sandmill::transport::token::Token;
use sandmill::{
    ExecutorKind, Host, HostBuilder, RemoteSettings, RemoteWorkers, WorkerHost, WorkerSettings,
};
use sandmill_test_artifacts as artifacts;

/// One executor that has to pass every case.
pub struct ExecutorUnderTest {
    /// Its name, as users know it.
    pub name: &'static str,
    /// Whether `submit` returns only when the run has ended.
    pub runs_in_submit: bool,
    /// Whether its runs are made in this process.
    pub in_this_process: bool,
    /// Sets a host up to use it, with so many slots.
    pub choose: fn(HostBuilder, usize) -> (HostBuilder, Others),
}

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

/// A host of one executor, with what has to be there for it.
pub struct Alone {
    // First, so that it goes first.
    host: Option<Host>,
    _others: Others,
}

impl Alone {
    /// A host of this executor, set up further.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn open(
        executor: &ExecutorUnderTest,
        slots: usize,
        set_up: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let (builder, others) = (executor.choose)(Host::builder(), slots);
        let host = set_up(builder).build().unwrap_or_else(|error| panic!("{error}"));
        Self { host: Some(host), _others: others }
    }

    /// Lets everything finish, and closes the host.
    pub fn close(mut self) {
        self.host.take().into_iter().for_each(Host::close);
    }
}

impl std::ops::Deref for Alone {
    type Target = Host;

    fn deref(&self) -> &Host {
        self.host.as_ref().expect("it is there until it is closed")
    }
}

/// Every executor there is.
pub const EXECUTORS: &[ExecutorUnderTest] = &[
    ExecutorUnderTest {
        name: "inline",
        runs_in_submit: true,
        in_this_process: true,
        choose: |host, slots| (host.executor(ExecutorKind::Inline).slots(slots), Others::default()),
    },
    ExecutorUnderTest {
        name: "pool",
        runs_in_submit: false,
        in_this_process: true,
        choose: |host, slots| (host.executor(ExecutorKind::Pool).slots(slots), Others::default()),
    },
    ExecutorUnderTest {
        name: "remote",
        runs_in_submit: false,
        in_this_process: false,
        choose: remote,
    },
];

/// Two workers, or as many as there are slots, each at a TLS address.
fn remote(host: HostBuilder, slots: usize) -> (HostBuilder, Others) {
    let token = Token::new(Duration::from_secs(3_600)).expect("an hour is no long time");
    let identity = |role| token.identity(role).expect("the token is good");
    let hosts = slots.min(2);
    let mut others = Others::default();
    let addresses = (0..hosts).map(|number| {
        let mut worker = WorkerConfig::new(format!("w{number}"), slots.div_ceil(hosts));
        worker.ceiling = Ceiling::unbounded();
        let cache = Some(artifacts::scratch().join("conformance-cache"));
        let worker = WorkerHost::open(WorkerSettings { worker, cache }).expect("a worker opens");
        let tls = TlsServer::new(&identity(Role::Worker)).expect("it is a worker's");
        let any: Address = "tls://127.0.0.1:0".parse().expect("it is an address");
        let address = worker
            .listen(&any, ServerSecurity::Tls(tls), ServeOptions::default())
            .expect("there is a port");
        others.0.push(worker);
        address
    });
    let hosts = addresses.collect();
    let tls = TlsClient::new(&identity(Role::Submit)).expect("it is a coordinator's");
    let workers = RemoteWorkers::Listed { hosts, security: ClientSecurity::Tls(tls) };
    let host = host.executor(ExecutorKind::Remote).remote(RemoteSettings::new(workers));
    (host, others)
}
