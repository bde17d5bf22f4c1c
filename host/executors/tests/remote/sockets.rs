//! The same over real sockets, and with workers that are processes.

use std::ffi::OsString;
use std::io::Read as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use sandmill_core::future::OnError;
use sandmill_core::{
    Attempt, Call, Events, Executor, Invoker, MapOptions, Report, StartContext, StartError, Usage,
};
use sandmill_executors::remote::direct::{
    DirectConfig, DirectFleet, ListedWorkers, LocalConfig, LocalWorkers, SocketWay, Way, Workers,
};
use sandmill_executors::remote::{RemoteConfig, RemoteExecutor};
use sandmill_executors::worker::{Worker, WorkerConfig};
use sandmill_scheduler::Adapt;
use sandmill_transport::Address;
use sandmill_transport::direct::{Listener, ServeOptions, WorkerService, serve, serve_with};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_wire::{Outcome, Value};
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, LONG, Script, call};

/// Where a process of these tests is to serve, in its environment.
const LISTEN: &str = "SANDMILL_TEST_LISTEN";

/// Doubles `n`, gives `x` back, and ends its process for `die`.
pub(crate) fn script() -> Arc<Script> {
    Script::new(|attempt: &Attempt<'_>| {
        if &*attempt.call.task == "die" {
            std::process::abort();
        }
        if &*attempt.call.task == "pid" {
            thread::sleep(Duration::from_millis(50));
            let pid = Value::encode(&std::process::id()).unwrap();
            return Report::new(Outcome::Value(pid), Usage::default());
        }
        let value = match attempt.call.arguments.get("n") {
            Some(number) => Value::encode(&(number.decode::<u64>().unwrap() * 2)).unwrap(),
            None => attempt.call.arguments.get("x").unwrap(),
        };
        Report::new(Outcome::Value(value), Usage::default())
    })
}

fn worker(slots: usize) -> Arc<Worker> {
    Worker::new(script() as Arc<dyn Invoker>, WorkerConfig::new("w", slots)).unwrap()
}

/// Serves a worker on a thread of its own.
pub(crate) struct Server {
    pub(crate) address: Address,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn new(address: Address) -> Self {
        Self::of(address, worker(2), ServeOptions::default())
    }

    pub(crate) fn of(
        address: Address,
        service: Arc<dyn WorkerService>,
        options: ServeOptions,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                let listener = Listener::bind(&address).await.unwrap();
                tell.send(listener.address().clone()).unwrap();
                let security = ServerSecurity::Plain;
                serve_with(listener, security, service, options, stopped).await.unwrap();
            });
        });
        let address = told.recv_timeout(LONG).expect("it listens");
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn way(&self) -> Arc<dyn Way> {
        Arc::new(SocketWay::new(self.address.clone(), ClientSecurity::Plain))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub(crate) fn socket(name: &str) -> Address {
    let path = std::env::temp_dir().join(format!("sandmill-{}-{name}", std::process::id()));
    Address::Unix(path)
}

fn executor(workers: Arc<dyn Workers>) -> Arc<RemoteExecutor> {
    executor_with(workers, DirectConfig::default())
}

/// One whose runs are apart: no run waits behind another at a process that may die of that.
fn apart(workers: Arc<dyn Workers>) -> Arc<RemoteExecutor> {
    executor_with(
        workers,
        DirectConfig { prefetch_per_slot: 0, max_prefetch_per_slot: 0, ..DirectConfig::default() },
    )
}

pub(crate) fn executor_with(
    workers: Arc<dyn Workers>,
    config: DirectConfig,
) -> Arc<RemoteExecutor> {
    let config = RemoteConfig::new(Arc::new(DirectFleet::new(workers, config)));
    Arc::new(RemoteExecutor::new(script(), |invoker| invoker, config))
}

fn numbers(count: u64) -> sandmill_core::Calls {
    Box::new((0..count).map(|n| {
        let arguments = Value::encode(&std::collections::BTreeMap::from([("n", n)])).unwrap();
        Call { arguments, ..call("t") }
    }))
}

fn all_are_doubled(executor: &dyn Executor, count: u64) {
    let list = executor.map(numbers(count), MapOptions::default());
    let values = list.results(Some(LONG), OnError::Continue).unwrap();
    let doubled: Vec<u64> = values.iter().map(|value| value.decode().unwrap()).collect();
    assert_eq!(doubled, (0..count).map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn runs_go_over_sockets_with_all_that_they_bring() {
    let servers = ["one", "two"].map(|name| Server::new(socket(name)));
    let ways = servers.iter().map(Server::way);
    let remote = executor(Arc::new(ListedWorkers::new(ways)));
    let bench =
        Bench::open((Arc::clone(&remote) as Arc<dyn Executor>, script()), Events::default());
    assert_eq!(remote.slots(), 4);
    all_are_doubled(&*remote, 20_000);
    let large = "x".repeat(3 << 20);
    let arguments = std::collections::BTreeMap::from([("x", &large)]);
    let arguments = Value::encode(&arguments).unwrap();
    let future = bench.executor.submit(Call { arguments, ..call("t") });
    assert_eq!(future.result(Some(LONG)).unwrap().decode::<String>().unwrap(), large);
    block_on(remote.shutdown());
    // The workers were told, and take the next coordinator.
    block_on(remote.start(StartContext::default())).unwrap();
    all_are_doubled(&*remote, 100);
    remote.abort();
}

#[test]
fn a_worker_that_goes_and_comes_back_is_used_again() {
    let address = socket("again");
    let server = Server::new(address.clone());
    let remote = executor(Arc::new(ListedWorkers::new([server.way()])));
    block_on(remote.start(StartContext::default())).unwrap();
    all_are_doubled(&*remote, 10);
    drop(server);
    let waits = remote.map(numbers(10), MapOptions::default());
    thread::sleep(Duration::from_millis(50));
    let _server = Server::new(address);
    assert_eq!(waits.results(Some(LONG), OnError::Continue).unwrap().len(), 10);
    remote.abort();
}

/// A command that has this test binary serve a worker.
fn command() -> Vec<OsString> {
    let program = std::env::current_exe().unwrap();
    let line = format!(
        "{LISTEN}=\"$2\" exec {} --exact sockets::a_process_that_serves_a_worker --nocapture",
        program.display()
    );
    ["/bin/sh", "-c", &line, "sh"].map(OsString::from).to_vec()
}

/// A process of the tests of local workers, that serves until its input ends. It does something only
/// where it is told of an address.
#[test]
fn a_process_that_serves_a_worker() {
    let Ok(address) = std::env::var(LISTEN) else { return };
    let address: Address = address.parse().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        stop.cancel();
    });
    runtime().block_on(async {
        let listener = Listener::bind(&address).await.unwrap();
        serve(listener, ServerSecurity::Plain, worker(1), stopped).await.unwrap();
    });
}

fn local(workers: usize, adapt: Option<Adapt>) -> Arc<LocalWorkers> {
    let command = command();
    Arc::new(LocalWorkers::new(LocalConfig { command, workers, slots_per_worker: 1, adapt }))
}

#[test]
fn processes_of_this_machine_serve_and_one_that_dies_costs_its_runs_only() {
    let remote = apart(local(2, None));
    block_on(remote.start(StartContext::default())).unwrap();
    assert_eq!(remote.slots(), 2);
    all_are_doubled(&*remote, 1_000);
    let others = remote.map(numbers(5_000), MapOptions::default());
    let poison = remote.submit(call("die"));
    let state = poison.wait(Some(LONG));
    assert_eq!(state.name, "HostLost", "{state}");
    assert_eq!(others.results(Some(LONG), OnError::Continue).unwrap().len(), 5_000);
    // They are started again.
    let start = Instant::now();
    while remote.slots() < 2 {
        assert!(start.elapsed() < LONG, "the process was not started again");
        thread::sleep(Duration::from_millis(10));
    }
    block_on(remote.shutdown());
    block_on(remote.start(StartContext::default())).unwrap();
    all_are_doubled(&*remote, 10);
}

#[test]
fn there_are_more_processes_for_more_work_and_fewer_for_less() {
    let adapt = Adapt {
        interval: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(100),
        cooldown: Duration::from_millis(100),
        ..Adapt::between(1, 3).unwrap()
    };
    let remote = executor(local(1, Some(adapt)));
    block_on(remote.start(StartContext::default())).unwrap();
    assert_eq!(remote.slots(), 1);
    let work: Vec<_> = (0..200).map(|_| remote.submit(call("pid"))).collect();
    let start = Instant::now();
    while remote.slots() < 3 {
        assert!(start.elapsed() < LONG, "there are {} slots", remote.slots());
        thread::sleep(Duration::from_millis(10));
    }
    assert!(work.iter().all(|future| future.result(Some(LONG)).is_ok()));
    while remote.slots() > 1 {
        assert!(start.elapsed() < LONG, "there are {} slots", remote.slots());
        thread::sleep(Duration::from_millis(10));
    }
    all_are_doubled(&*remote, 10);
    remote.abort();
}

#[test]
fn processes_that_do_not_come_up_keep_the_executor_closed() {
    let config = LocalConfig {
        command: vec!["/bin/false".into()],
        workers: 2,
        slots_per_worker: 1,
        adapt: None,
    };
    let workers: Arc<dyn Workers> = Arc::new(LocalWorkers::new(config));
    let times = DirectConfig { connect_timeout: Duration::from_secs(3), ..DirectConfig::default() };
    let fleet = Arc::new(DirectFleet::new(workers, times));
    let remote = RemoteExecutor::new(script(), |invoker| invoker, RemoteConfig::new(fleet));
    let error = block_on(remote.start(StartContext::default())).unwrap_err();
    let StartError::Unavailable(words) = error else { panic!("{error}") };
    assert!(words.contains("ended as it started"), "{words}");
}
