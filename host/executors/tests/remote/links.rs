//! What a direct link has to bear: that it breaks in the middle of a component, and that the other side
//! is of another release.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::{Call, Component, Executor, Invoker, StartContext, StartError};
use sandmill_executors::remote::direct::{DirectConfig, ListedWorkers, SocketWay};
use sandmill_executors::worker::{Worker, WorkerConfig};
use sandmill_transport::Address;
use sandmill_transport::direct::{
    ChunkStream, LinkError, Notice, OpenLink, Peer, ServeOptions, Timeouts, WorkerService, connect,
};
use sandmill_transport::message::{
    FromWorker, Goodbye, Hello, ToWorker, Versions, Welcome, WorkerId,
};
use sandmill_transport::security::ClientSecurity;
use sandmill_wire::Digest;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::sockets::{Server, executor_with, runtime, script, socket};
use crate::support::{LONG, call};

/// A way to a server on which connections are cut: each has so many bytes that go there before that.
struct Cuts {
    address: Address,
    sent: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
}

/// Connections before the one that is not cut.
const CUTS: usize = 2;

impl Cuts {
    fn to(server: SocketAddr, after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (sent, connections) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default());
        let (count, number) = (Arc::clone(&sent), Arc::clone(&connections));
        thread::spawn(move || {
            while let Ok((here, _)) = listener.accept() {
                let last = number.fetch_add(1, Ordering::SeqCst) >= CUTS;
                let there = TcpStream::connect(server).unwrap();
                let (mut answers, mut back) =
                    (there.try_clone().unwrap(), here.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut answers, &mut back));
                let most = if last { u64::MAX } else { after };
                forward(here, there, most, &count);
            }
        });
        Self { address, sent, connections }
    }
}

/// Passes on so many bytes, and cuts both sides then.
fn forward(mut from: TcpStream, mut to: TcpStream, most: u64, count: &AtomicU64) {
    let (mut some, mut passed) = ([0; 4 << 10], 0);
    while passed < most
        && let Ok(read @ 1..) = from.read(&mut some)
        && to.write_all(&some[..read]).is_ok()
    {
        passed += read as u64;
        count.fetch_add(read as u64, Ordering::SeqCst);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Row N3 of the matrix of faults, for what is large: it is not sent again from its beginning.
#[test]
fn a_component_that_breaks_off_is_gone_on_with() {
    const SIZE: usize = 6 << 20;
    let worker = Worker::new(script() as Arc<dyn Invoker>, WorkerConfig::new("w", 1)).unwrap();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notices);
    let options = ServeOptions {
        notices: Arc::new(move |notice: Notice| kept.lock().push(notice.to_string())),
        ..ServeOptions::default()
    };
    let service = Arc::clone(&worker) as Arc<dyn WorkerService>;
    let server = Server::of("tcp://127.0.0.1:0".parse().unwrap(), service, options);
    let Address::Tcp(there) = server.address else { panic!("it is a port") };
    let cuts = Cuts::to(there, SIZE as u64 * 2 / 5);
    let way = SocketWay::new(cuts.address.clone(), ClientSecurity::Plain);
    let workers = Arc::new(ListedWorkers::new([Arc::new(way) as _]));
    let executor = executor_with(workers, DirectConfig::default());
    block_on(executor.start(StartContext::default())).unwrap();
    let bytes: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    let component = Component::new(bytes, "memory");
    let arguments = std::collections::BTreeMap::from([("n", 21)]);
    let arguments = sandmill_wire::Value::encode(&arguments).unwrap();
    let future = executor.submit(Call::new(&component, "t", arguments));
    let value = future.result(Some(LONG)).unwrap().decode::<u64>();
    assert_eq!(value.unwrap(), 42);
    let sent = cuts.sent.load(Ordering::SeqCst);
    assert_eq!(cuts.connections.load(Ordering::SeqCst), CUTS + 1);
    // Each cut costs what was on its way, and the chunk that it was in.
    assert!(sent < SIZE as u64 + (2 << 20), "{sent} bytes were sent");
    let status = worker.status();
    assert_eq!(status.transfers.get(&component.digest()), Some(&1));
    assert_eq!(status.component_bytes, SIZE as u64, "nothing is kept besides");
    block_on(executor.shutdown());
    let said = notices.lock().join("\n");
    assert!(said.contains("broke off: ") && !said.contains("refused"), "{said}");
}

const OLDER: Versions = Versions { least: 0, most: 0 };

/// A worker of an older release.
#[derive(Default)]
struct Older {
    /// Whether it leaves it to the coordinator to see that.
    is_open: bool,
    puts: AtomicUsize,
    heard: Arc<Mutex<Vec<ToWorker>>>,
}

#[async_trait]
impl WorkerService for Older {
    async fn open(&self, _: &Peer, hello: Hello) -> Result<OpenLink, Goodbye> {
        if !self.is_open {
            return Err(Goodbye::Version { ours: OLDER, theirs: hello.versions });
        }
        let (to_worker, mut asked) = mpsc::channel(16);
        let (say, from_worker) = mpsc::channel::<FromWorker>(16);
        let heard = Arc::clone(&self.heard);
        tokio::spawn(async move {
            let _say = say;
            while let Some(message) = asked.recv().await {
                heard.lock().push(message);
            }
        });
        let welcome = Welcome {
            protocol: OLDER.most,
            worker: WorkerId::new(),
            program: "0.0.1".to_owned(),
            name: "older".to_owned(),
            platform: "linux-x86_64".to_owned(),
            slots: 4,
            labels: Default::default(),
            resources: Default::default(),
            ceiling: sandmill_core::Ceiling::unbounded(),
            holds: Vec::new(),
            runs: Vec::new(),
            resumed: false,
        };
        Ok(OpenLink { welcome, to_worker, from_worker })
    }

    async fn put(&self, _: &Peer, _: Digest, _: u64, _: ChunkStream) -> Result<(), Goodbye> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn get(&self, _: &Peer, digest: Digest) -> Result<Bytes, Goodbye> {
        Err(Goodbye::Missing(digest.to_string()))
    }
}

/// Row P4. The executor says so at once, without trying for the whole of its time: that does not pass.
#[test]
fn workers_of_an_older_release_are_refused_and_get_no_byte_of_a_component() {
    for is_open in [false, true] {
        let older = Arc::new(Older { is_open, ..Older::default() });
        let service = Arc::clone(&older) as Arc<dyn WorkerService>;
        let address = socket(if is_open { "older-open" } else { "older" });
        let server = Server::of(address, service, ServeOptions::default());
        let workers = Arc::new(ListedWorkers::new([server.way()]));
        let config = DirectConfig { connect_timeout: 10 * LONG, ..DirectConfig::default() };
        let executor = executor_with(workers, config);
        let began = Instant::now();
        let error = block_on(executor.start(StartContext::default())).unwrap_err();
        assert!(began.elapsed() < LONG, "it was tried on for {:?}", began.elapsed());
        let StartError::Unavailable(words) = error else { panic!("{error}") };
        let why = if is_open {
            "the worker speaks version 0 of the protocol, this side 1 to 1"
        } else {
            "the worker refused: it speaks versions 0 to 0 of the protocol, this side 1 to 1"
        };
        assert!(words.contains(why), "{words}");
        assert!(executor.submit(call("t")).result(Some(LONG)).is_err());
        drop(server);
        // It was told why, and nothing else.
        let heard = older.heard.lock();
        let is_why = |message: &ToWorker| {
            matches!(message, ToWorker::Goodbye(Goodbye::Version { theirs: OLDER, .. }))
        };
        assert!(heard.iter().all(is_why) && heard.is_empty() != is_open, "{heard:?}");
        assert_eq!(older.puts.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn coordinators_of_an_older_release_are_refused_and_may_send_nothing() {
    let worker = Worker::new(script() as Arc<dyn Invoker>, WorkerConfig::new("w", 1)).unwrap();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notices);
    let options = ServeOptions {
        notices: Arc::new(move |notice: Notice| kept.lock().push(notice.to_string())),
        ..ServeOptions::default()
    };
    let service = Arc::clone(&worker) as Arc<dyn WorkerService>;
    let server = Server::of(socket("newer"), service, options);
    let hello = Hello {
        versions: OLDER,
        program: "0.0.1".to_owned(),
        name: "older".to_owned(),
        session: Uuid::now_v7(),
        grace: Duration::from_secs(30),
        heartbeat: Duration::from_secs(5),
    };
    let timeouts = Timeouts { handshake: LONG, ..Timeouts::default() };
    let security = ClientSecurity::Plain;
    let connected = runtime().block_on(connect(&server.address, &security, hello, timeouts));
    let error = connected.map(|(welcome, _)| welcome).unwrap_err();
    assert!(matches!(error, LinkError::Refused(Goodbye::Version { .. })), "{error:?}");
    let words = "it speaks versions 1 to 1 of the protocol, this side 0 to 0";
    assert!(error.to_string().contains(words), "{error}");
    assert!(!error.is_passing());
    drop(server);
    let said = notices.lock().join("\n");
    assert!(said.contains("it speaks versions 0 to 0 of the protocol, this side 1 to 1"), "{said}");
    let status = worker.status();
    assert!(status.sessions.is_empty() && status.transfers.is_empty());
    assert_eq!((status.bytes_in, status.component_bytes, status.value_bytes), (0, 0, 0));
}
