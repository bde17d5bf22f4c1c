//! Workers that a test plays: it hears what is asked of them, and says what it likes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use parking_lot::Mutex;
use sandmill_core::{Executor, StartContext};
use sandmill_executors::remote::RemoteExecutor;
use sandmill_executors::remote::direct::{
    Blobs, Connected, DirectConfig, Ear, ListedWorkers, Mouth, Way, WayError,
};
use sandmill_transport::message::{
    Ending, FromWorker, Goodbye, HandBack, Hello, Load, Note, Noted, Order, Payload, RunLease,
    RunReport, ToWorker, Welcome, WorkerId,
};
use sandmill_wire::{Digest, Value};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::sockets::executor_with;
use crate::support::LONG;

/// So long nothing comes that would come at all, on a machine that is not too busy.
pub(crate) const WHILE: Duration = Duration::from_millis(700);
/// How long it takes to hear one message.
const PACE: Duration = Duration::from_millis(5);
/// How often a worker is heard of.
const BEAT: Duration = Duration::from_millis(50);

/// The way to a worker that a test plays.
pub(crate) struct PlayedWay {
    address: String,
    pub(crate) welcome: Mutex<Welcome>,
    opened: blocking::Sender<Played>,
    links: Mutex<blocking::Receiver<Played>>,
    /// Whether values that are brought stay on their way.
    pub(crate) is_slow: Arc<AtomicBool>,
    /// Rung when those that stayed on their way arrive.
    arrived: Arc<Notify>,
    /// Whether it cannot be reached.
    pub(crate) is_away: AtomicBool,
    /// Whether the worker takes nothing of what is said to it.
    pub(crate) is_deaf: Arc<AtomicBool>,
    /// Whether values that are brought are refused.
    pub(crate) refuses: Arc<AtomicBool>,
    /// Messages of the worker that were heard.
    pub(crate) heard: Arc<AtomicUsize>,
}

/// One connection to such a worker.
pub(crate) struct Played {
    asked: blocking::Receiver<ToWorker>,
    orders: VecDeque<Order>,
    say: mpsc::UnboundedSender<FromWorker>,
    cut: CancellationToken,
}

impl PlayedWay {
    pub(crate) fn new(name: &str, slots: u32) -> Arc<Self> {
        let (opened, links) = blocking::channel();
        let welcome = Welcome {
            protocol: 1,
            worker: WorkerId::new(),
            program: "0".to_owned(),
            name: name.to_owned(),
            platform: "linux-x86_64".to_owned(),
            slots,
            labels: Default::default(),
            resources: Default::default(),
            ceiling: sandmill_core::Ceiling::unbounded(),
            holds: Vec::new(),
            runs: Vec::new(),
            resumed: false,
        };
        Arc::new(Self {
            address: format!("played:{name}"),
            welcome: Mutex::new(welcome),
            opened,
            links: Mutex::new(links),
            is_slow: Arc::default(),
            arrived: Arc::default(),
            is_away: AtomicBool::new(false),
            is_deaf: Arc::default(),
            refuses: Arc::default(),
            heard: Arc::default(),
        })
    }

    /// What stayed on its way arrives.
    pub(crate) fn arrive(&self) {
        self.is_slow.store(false, Ordering::SeqCst);
        self.arrived.notify_waiters();
    }

    /// The next connection.
    pub(crate) fn link(&self) -> Played {
        self.links.lock().recv_timeout(LONG).expect("it is connected to")
    }
}

/// An executor over these, with this lease.
pub(crate) fn over(ways: &[Arc<PlayedWay>], lease: Duration) -> Arc<RemoteExecutor> {
    let listed = ways.iter().map(|way| Arc::clone(way) as Arc<dyn Way>);
    let config = DirectConfig {
        heartbeat: Duration::from_millis(250),
        lease,
        pending_notice_after: BEAT,
        ..DirectConfig::default()
    };
    let executor = executor_with(Arc::new(ListedWorkers::new(listed)), config);
    block_on(executor.start(StartContext::default())).unwrap();
    executor
}

impl Played {
    /// What is asked next, but for heartbeats; none where nothing is for that long.
    pub(crate) fn asked(&self, patience: Duration) -> Option<ToWorker> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.asked.recv_timeout(left).ok()? {
                ToWorker::Heartbeat | ToWorker::Specs(_) | ToWorker::Settled(_) => {}
                asked => return Some(asked),
            }
        }
    }

    /// The next run that is ordered.
    pub(crate) fn order(&mut self) -> Order {
        while self.orders.is_empty() {
            match self.asked(LONG).expect("a run is ordered") {
                ToWorker::Orders(orders) => self.orders.extend(orders),
                other => panic!("{other:?} came before an order"),
            }
        }
        self.orders.pop_front().unwrap()
    }

    /// The next run that is ordered, whatever is to be stopped before that.
    pub(crate) fn order_after_cancels(&mut self) -> Order {
        loop {
            match self.asked(LONG).expect("a run is ordered") {
                ToWorker::Orders(mut orders) => return orders.remove(0),
                ToWorker::Cancel(_) => {}
                other => panic!("{other:?} came before an order"),
            }
        }
    }

    pub(crate) fn say(&self, message: FromWorker) {
        // Nobody hears it when the link broke.
        let _ = self.say.send(message);
    }

    pub(crate) fn started(&self, order: &Order) {
        let noted = Noted { of: of(order), at: Default::default(), note: Note::Started };
        self.say(FromWorker::Notes(vec![noted]));
    }

    /// The run returned 7.
    pub(crate) fn returned(&self, order: &Order) {
        let value = Payload::Inline(Value::encode(&7).unwrap().into_bytes());
        let (of, usage) = (of(order), Default::default());
        self.say(FromWorker::Ended(vec![RunReport { of, ending: Ending::Value(value), usage }]));
    }

    pub(crate) fn hand_back(&self, order: &Order, why: Option<&str>) {
        let why = why.map(str::to_owned);
        self.say(FromWorker::HandBack(vec![HandBack { of: of(order), why }]));
    }

    pub(crate) fn leave(&self) {
        self.say(FromWorker::Goodbye(Goodbye::Leaving("it goes".to_owned())));
    }

    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

pub(crate) fn of(order: &Order) -> RunLease {
    RunLease { run: order.run, lease: order.lease }
}

fn broken() -> WayError {
    WayError::passing("the link broke")
}

#[async_trait]
impl Way for PlayedWay {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn connect(&self, _: &Hello) -> Result<Connected, WayError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(broken());
        }
        let (tell, asked) = blocking::channel();
        let (say, said) = mpsc::unbounded_channel();
        let cut = CancellationToken::new();
        let played = Played { asked, orders: VecDeque::new(), say, cut: cut.clone() };
        self.opened.send(played).map_err(|_| broken())?;
        let is_deaf = Arc::clone(&self.is_deaf);
        let (is_slow, refuses) = (Arc::clone(&self.is_slow), Arc::clone(&self.refuses));
        Ok(Connected {
            welcome: self.welcome.lock().clone(),
            mouth: Box::new(PlayedMouth { tell, cut: cut.clone(), is_deaf }),
            ear: Box::new(PlayedEar { said, cut: cut.clone(), heard: Arc::clone(&self.heard) }),
            blobs: Arc::new(PlayedBlobs {
                cut,
                is_slow,
                refuses,
                arrived: Arc::clone(&self.arrived),
            }),
        })
    }
}

struct PlayedMouth {
    tell: blocking::Sender<ToWorker>,
    cut: CancellationToken,
    is_deaf: Arc<AtomicBool>,
}

#[async_trait]
impl Mouth for PlayedMouth {
    async fn say(&mut self, message: ToWorker) -> Result<(), WayError> {
        if self.is_deaf.load(Ordering::SeqCst) {
            self.cut.cancelled().await;
        }
        if self.cut.is_cancelled() {
            return Err(broken());
        }
        // A test that has ended does not hear any more.
        let _ = self.tell.send(message);
        Ok(())
    }
}

struct PlayedEar {
    said: mpsc::UnboundedReceiver<FromWorker>,
    cut: CancellationToken,
    heard: Arc<AtomicUsize>,
}

#[async_trait]
impl Ear for PlayedEar {
    async fn hear(&mut self) -> Result<FromWorker, WayError> {
        tokio::select! {
            () = self.cut.cancelled() => Err(broken()),
            Some(said) = self.said.recv() => {
                self.heard.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(PACE).await;
                Ok(said)
            }
            () = tokio::time::sleep(BEAT) => Ok(FromWorker::Heartbeat(Load::default())),
        }
    }
}

struct PlayedBlobs {
    cut: CancellationToken,
    is_slow: Arc<AtomicBool>,
    refuses: Arc<AtomicBool>,
    arrived: Arc<Notify>,
}

#[async_trait]
impl Blobs for PlayedBlobs {
    async fn put(&self, _: Digest, _: Bytes) -> Result<(), WayError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(WayError { is_passing: false, ..WayError::passing("it takes no values") });
        }
        if self.is_slow.load(Ordering::SeqCst) {
            tokio::select! {
                () = self.cut.cancelled() => {}
                () = self.arrived.notified() => {}
            }
        }
        if self.cut.is_cancelled() { Err(broken()) } else { Ok(()) }
    }

    async fn get(&self, _: Digest, _: u64) -> Result<Bytes, WayError> {
        self.cut.cancelled().await;
        Err(broken())
    }
}
