//! A worker that echoes, a server for it on any address, and what its host was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sandmill_core::{Ceiling, Usage};
use sandmill_transport::Address;
use sandmill_transport::direct::{
    ChunkStream, Connection, LinkError, Listener, Notice, OpenLink, Peer, ServeOptions, Timeouts,
    WorkerService, connect, serve_with,
};
use sandmill_transport::message::{
    Ending, FromWorker, Goodbye, Hello, LeaseId, Load, Order, Payload, RunLease, RunReport,
    ToWorker, Versions, Welcome, WorkerId,
};
use sandmill_transport::security::{ClientSecurity, ServerSecurity};
use sandmill_wire::{Digest, RunId};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than anything should take, on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Echoes orders as results, keeps what it is sent by digest, and counts.
pub(crate) struct Echo {
    pub(crate) blobs: Mutex<std::collections::HashMap<Digest, Bytes>>,
    pub(crate) opened: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) put_calls: AtomicUsize,
    pub(crate) put_bytes: AtomicU64,
    pub(crate) broken_puts: AtomicUsize,
    pub(crate) frames: AtomicUsize,
    pub(crate) protocol: u32,
    pub(crate) deaf: bool,
    /// How often it says that it is there, unasked.
    pub(crate) beat: Option<Duration>,
    /// Beginnings of values that it has already.
    pub(crate) kept: Mutex<std::collections::HashMap<Digest, Bytes>>,
    pub(crate) said: Mutex<Vec<ToWorker>>,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            blobs: Mutex::default(),
            opened: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            put_calls: AtomicUsize::new(0),
            put_bytes: AtomicU64::new(0),
            broken_puts: AtomicUsize::new(0),
            frames: AtomicUsize::new(0),
            protocol: 1,
            deaf: false,
            beat: None,
            kept: Mutex::default(),
            said: Mutex::default(),
        }
    }
}

pub(crate) struct Worker(pub(crate) Arc<Echo>);

#[async_trait]
impl WorkerService for Worker {
    async fn open(&self, _: &Peer, hello: Hello) -> Result<OpenLink, Goodbye> {
        if hello.name == "unwelcome" {
            return Err(Goodbye::Busy("there are two coordinators already".to_owned()));
        }
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let (to_worker, heard) = mpsc::channel(64);
        let (say, from_worker) = mpsc::channel(64);
        if let Some(beat) = self.0.beat {
            let say = say.clone();
            tokio::spawn(async move {
                while say.send(FromWorker::Heartbeat(Load::default())).await.is_ok() {
                    tokio::time::sleep(beat).await;
                }
            });
        }
        tokio::spawn(echo(Arc::clone(&self.0), heard, say));
        let mut welcome = welcome();
        welcome.protocol = self.0.protocol;
        Ok(OpenLink { welcome, to_worker, from_worker })
    }

    async fn put(
        &self,
        _: &Peer,
        digest: Digest,
        _: u64,
        mut chunks: ChunkStream,
    ) -> Result<(), Goodbye> {
        self.0.put_calls.fetch_add(1, Ordering::SeqCst);
        let kept = self.0.kept.lock().remove(&digest);
        let mut all = Vec::new();
        if let Some(kept) = kept {
            assert!(chunks.begin_after(&kept).await);
            all.extend_from_slice(&kept);
        }
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => {
                    self.0.put_bytes.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                    all.extend_from_slice(&chunk);
                }
                Err(error) => {
                    self.0.broken_puts.fetch_add(1, Ordering::SeqCst);
                    return Err(Goodbye::Protocol(error.to_string()));
                }
            }
        }
        self.0.blobs.lock().insert(digest, all.into());
        Ok(())
    }

    async fn get(&self, _: &Peer, digest: Digest) -> Result<Bytes, Goodbye> {
        let found = self.0.blobs.lock().get(&digest).cloned();
        found.ok_or_else(|| Goodbye::Missing(format!("there is no {digest}")))
    }
}

async fn echo(echo: Arc<Echo>, mut heard: mpsc::Receiver<ToWorker>, say: mpsc::Sender<FromWorker>) {
    if echo.deaf {
        say.closed().await;
        echo.closed.fetch_add(1, Ordering::SeqCst);
        return;
    }
    while let Some(message) = heard.recv().await {
        echo.frames.fetch_add(1, Ordering::SeqCst);
        let answer = match &message {
            ToWorker::Orders(orders) => FromWorker::Ended(
                orders
                    .iter()
                    .map(|order| RunReport {
                        of: RunLease { run: order.run, lease: order.lease },
                        ending: Ending::Value(order.arguments.clone()),
                        usage: Usage::default(),
                    })
                    .collect(),
            ),
            ToWorker::Heartbeat => FromWorker::Heartbeat(Load::default()),
            ToWorker::Goodbye(_) => {
                echo.said.lock().push(message);
                break;
            }
            _ => continue,
        };
        if say.send(answer).await.is_err() {
            break;
        }
    }
    echo.closed.fetch_add(1, Ordering::SeqCst);
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        protocol: 1,
        worker: WorkerId::new(),
        program: "0.1.0".to_owned(),
        name: "echo".to_owned(),
        platform: "linux-x86_64".to_owned(),
        slots: 2,
        labels: ["gpu".to_owned()].into(),
        resources: [("memory".to_owned(), 2.5)].into(),
        ceiling: Ceiling::default(),
        holds: vec![Digest::of(b"component")],
        runs: Vec::new(),
        resumed: false,
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        versions: Versions::OURS,
        program: "0.1.0".to_owned(),
        name: "test".to_owned(),
        session: Uuid::now_v7(),
        grace: Duration::from_secs(30),
        heartbeat: Duration::from_secs(5),
    }
}

pub(crate) fn order(arguments: &[u8]) -> Order {
    Order {
        run: RunId::new(),
        lease: LeaseId(7),
        spec: 1,
        attempt: 1,
        arguments: Payload::Inline(Bytes::copy_from_slice(arguments)),
        index: Some(3),
        time_left: Some(Duration::from_millis(1500)),
    }
}

/// A server with its echo. It stops when this is dropped.
pub(crate) struct Served {
    pub(crate) address: Address,
    pub(crate) echo: Arc<Echo>,
    pub(crate) notices: Arc<Mutex<Vec<Notice>>>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    _directory: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Served {
    pub(crate) async fn on(address: &str, security: ServerSecurity) -> Self {
        Self::with(address, security, Echo::default(), ServeOptions::default()).await
    }

    pub(crate) async fn with(
        address: &str,
        security: ServerSecurity,
        echo: Echo,
        options: ServeOptions,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = address.replace("DIR", directory.path().to_str().unwrap());
        let listener = Listener::bind(&text.parse().unwrap()).await.unwrap();
        let address = listener.address().clone();
        let echo = Arc::new(echo);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        let options = ServeOptions {
            notices: Arc::new(move |notice: Notice| kept.lock().push(notice)),
            ..options
        };
        let stop = CancellationToken::new();
        let service = Arc::new(Worker(Arc::clone(&echo)));
        let serving = serve_with(listener, security, service, options, stop.clone());
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, echo, notices, stop, task, _directory: directory }
    }

    pub(crate) async fn connect(
        &self,
        security: &ClientSecurity,
    ) -> Result<(Welcome, Connection), LinkError> {
        connect(&self.address, security, hello(), patient()).await
    }

    /// Waits until the host was told of a refusal or a broken link, in these words.
    pub(crate) async fn told(&self, words: &str) {
        eventually(&format!("a notice with {words:?}"), || self.notices_text().contains(words))
            .await;
    }

    pub(crate) fn notices_text(&self) -> String {
        self.notices.lock().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn port(&self) -> u16 {
        match &self.address {
            Address::Tls { port, .. } => *port,
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => panic!("no port"),
        }
    }
}

/// The usual limits, with more patience for a busy machine.
pub(crate) fn patient() -> Timeouts {
    Timeouts { handshake: PATIENCE, ..Timeouts::default() }
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next message, which has to come.
pub(crate) async fn next(connection: &mut Connection) -> FromWorker {
    tokio::time::timeout(PATIENCE, connection.receiver.recv())
        .await
        .expect("something is said")
        .expect("the link stands")
        .expect("the link is whole")
}

/// Says orders and hears all of them echoed.
pub(crate) async fn echoes(connection: &mut Connection, count: usize) {
    let orders: Vec<_> = (0..count).map(|n| order(&n.to_be_bytes())).collect();
    let sender = connection.sender.clone();
    let sent = orders.clone();
    let sending = tokio::spawn(async move {
        for order in sent {
            sender.send(ToWorker::Orders(vec![order])).await.unwrap();
        }
    });
    let mut back = Vec::new();
    while back.len() < count {
        match next(connection).await {
            FromWorker::Ended(reports) => back.extend(reports),
            FromWorker::Heartbeat(_) => {}
            other => panic!("not asked for: {other:?}"),
        }
    }
    sending.await.unwrap();
    assert_eq!(back.len(), count);
    for (order, report) in orders.iter().zip(&back) {
        assert_eq!(report.of, RunLease { run: order.run, lease: order.lease });
        assert_eq!(report.ending, Ending::Value(order.arguments.clone()));
    }
}
