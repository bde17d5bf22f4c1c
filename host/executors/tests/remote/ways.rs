//! Ways to workers in this process, which can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sandmill_core::Invoker;
use sandmill_executors::remote::direct::{Blobs, Connected, Ear, Mouth, Way, WayError};
use sandmill_executors::worker::{Worker, WorkerConfig};
use sandmill_transport::message::{FromWorker, Hello, ToWorker};
use sandmill_wire::Digest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The way to a worker of this process.
pub(crate) struct MemoryWay {
    address: String,
    config: WorkerConfig,
    invoker: Arc<dyn Invoker>,
    worker: Mutex<Arc<Worker>>,
    cut: AtomicBool,
    /// Cancelled when what is connected breaks.
    link: Mutex<CancellationToken>,
    /// What the worker says does not get here.
    pub(crate) deaf: Arc<AtomicBool>,
    pub(crate) puts: Arc<AtomicUsize>,
}

impl MemoryWay {
    pub(crate) fn new(invoker: Arc<dyn Invoker>, config: WorkerConfig) -> Arc<Self> {
        let worker = Worker::new(Arc::clone(&invoker), config.clone()).unwrap();
        let address = format!("memory:{}", config.name);
        Arc::new(Self::to(address, config, invoker, worker))
    }

    /// Another way to the same worker.
    pub(crate) fn twin(&self, address: &str) -> Arc<Self> {
        let address = format!("memory:{address}");
        let invoker = Arc::clone(&self.invoker);
        Arc::new(Self::to(address, self.config.clone(), invoker, self.worker()))
    }

    fn to(
        address: String,
        config: WorkerConfig,
        invoker: Arc<dyn Invoker>,
        worker: Arc<Worker>,
    ) -> Self {
        Self {
            address,
            config,
            invoker,
            worker: Mutex::new(worker),
            cut: AtomicBool::new(false),
            link: Mutex::default(),
            deaf: Arc::default(),
            puts: Arc::default(),
        }
    }

    /// Breaks the link; none comes to be until it is healed.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.link.lock().cancel();
    }

    pub(crate) fn heal(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    /// As if the process was killed, and another started in its place. The old worker lives on
    /// unseen.
    pub(crate) fn replace(&self) {
        *self.worker.lock() = Worker::new(Arc::clone(&self.invoker), self.config.clone()).unwrap();
        self.link.lock().cancel();
    }

    pub(crate) fn worker(&self) -> Arc<Worker> {
        Arc::clone(&self.worker.lock())
    }
}

#[async_trait]
impl Way for MemoryWay {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn connect(&self, hello: &Hello) -> Result<Connected, WayError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(WayError::passing("the link is cut"));
        }
        let worker = self.worker();
        let session = worker.open("test", hello).map_err(|goodbye| WayError {
            is_passing: false,
            ..WayError::passing(goodbye.to_string())
        })?;
        let link = CancellationToken::new();
        *self.link.lock() = link.clone();
        Ok(Connected {
            welcome: session.welcome,
            mouth: Box::new(MemoryMouth(session.to_worker, link.clone())),
            ear: Box::new(MemoryEar(session.from_worker, link.clone(), Arc::clone(&self.deaf))),
            blobs: Arc::new(MemoryBlobs { worker, link, puts: Arc::clone(&self.puts) }),
        })
    }
}

fn broken() -> WayError {
    WayError::passing("the link broke")
}

struct MemoryMouth(mpsc::Sender<ToWorker>, CancellationToken);

#[async_trait]
impl Mouth for MemoryMouth {
    async fn say(&mut self, message: ToWorker) -> Result<(), WayError> {
        tokio::select! {
            sent = self.0.send(message) => sent.map_err(|_| broken()),
            () = self.1.cancelled() => Err(broken()),
        }
    }
}

struct MemoryEar(mpsc::Receiver<FromWorker>, CancellationToken, Arc<AtomicBool>);

#[async_trait]
impl Ear for MemoryEar {
    async fn hear(&mut self) -> Result<FromWorker, WayError> {
        loop {
            tokio::select! {
                heard = self.0.recv() => {
                    let heard = heard.ok_or_else(broken)?;
                    if !self.2.load(Ordering::SeqCst) {
                        return Ok(heard);
                    }
                }
                () = self.1.cancelled() => return Err(broken()),
            }
        }
    }
}

struct MemoryBlobs {
    worker: Arc<Worker>,
    link: CancellationToken,
    puts: Arc<AtomicUsize>,
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, digest: Digest, bytes: Bytes) -> Result<(), WayError> {
        let put = async {
            let refused = |goodbye: sandmill_transport::message::Goodbye| WayError {
                is_passing: false,
                ..WayError::passing(goodbye.to_string())
            };
            let size = bytes.len() as u64;
            let Some(mut receiving) = self.worker.receive(digest, size).await.map_err(refused)?
            else {
                return Ok(());
            };
            self.puts.fetch_add(1, Ordering::SeqCst);
            receiving.push(&bytes).map_err(refused)?;
            receiving.finish().await.map_err(refused)
        };
        tokio::select! {
            done = put => done,
            () = self.link.cancelled() => Err(broken()),
        }
    }

    async fn get(&self, digest: Digest, limit: u64) -> Result<Bytes, WayError> {
        if self.link.is_cancelled() {
            return Err(broken());
        }
        match self.worker.bytes_of(&digest) {
            Some(bytes) if bytes.len() as u64 <= limit => Ok(bytes),
            Some(_) => Err(WayError { is_passing: false, ..WayError::passing("too large") }),
            None => Err(WayError { is_passing: false, ..WayError::passing("not there") }),
        }
    }
}
