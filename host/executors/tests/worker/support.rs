//! A scripted invoker, and coordinators that speak to a worker by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use sandmill_core::{Attempt, Component, ComponentInfo, Grants, Invoker, Limits, Report, Usage};
use sandmill_executors::worker::{Worker, WorkerConfig, WorkerSession, WorkerStatus};
use sandmill_transport::message::{
    Ending, FromWorker, Goodbye, HandBack, Hello, LeaseId, Noted, Order, Payload, RunLease,
    RunReport, Spec, ToWorker, Versions,
};
use sandmill_wire::{Digest, End, EndKind, Outcome, RunId, Value};
use uuid::Uuid;

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The bytes of the component that most runs are of.
pub(crate) const COMPONENT: &[u8] = b"a component";

type Act = dyn Fn(&Attempt<'_>) -> Report + Send + Sync;
type Prepare = dyn Fn(&Component) -> Result<(), End> + Send + Sync;

/// Does what a test says.
pub(crate) struct Script {
    act: Box<Act>,
    prepare: Box<Prepare>,
    pub(crate) started: AtomicUsize,
    pub(crate) prepared: AtomicUsize,
}

impl Script {
    pub(crate) fn new(act: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static) -> Arc<Self> {
        Self::with(act, |_| Ok(()))
    }

    pub(crate) fn with(
        act: impl Fn(&Attempt<'_>) -> Report + Send + Sync + 'static,
        prepare: impl Fn(&Component) -> Result<(), End> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            act: Box::new(act),
            prepare: Box::new(prepare),
            started: AtomicUsize::new(0),
            prepared: AtomicUsize::new(0),
        })
    }

    /// Gives its arguments back.
    pub(crate) fn echo() -> Arc<Self> {
        Self::new(|attempt| value(attempt.call.arguments.clone()))
    }

    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }
}

impl Invoker for Script {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        self.started.fetch_add(1, Ordering::SeqCst);
        (self.act)(&attempt)
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        (self.prepare)(component)?;
        Ok(Arc::new(ComponentInfo { tasks: Vec::new(), imports: Vec::new(), flows: Vec::new() }))
    }
}

/// Holds runs until it is opened, or they are cancelled.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    /// Waits until it is open.
    pub(crate) fn wait(&self) {
        let mut open = self.open.lock();
        let until = Instant::now() + LONG;
        while !*open && Instant::now() < until {
            self.opened.wait_for(&mut open, Duration::from_millis(50));
        }
    }

    /// A cancelled report where the run was cancelled before the gate opened.
    pub(crate) fn pass(&self, attempt: &Attempt<'_>) -> Report {
        let mut open = self.open.lock();
        let until = Instant::now() + LONG;
        while !*open && !attempt.cancel.is_cancelled() && Instant::now() < until {
            self.opened.wait_for(&mut open, Duration::from_millis(2));
        }
        if *open {
            value(attempt.call.arguments.clone())
        } else {
            Report::unstarted(End::new(EndKind::Cancelled, "stopped"))
        }
    }
}

/// A gate, and a script that has all runs wait at it.
pub(crate) fn gated() -> (Arc<Gate>, Arc<Script>) {
    let gate = Arc::new(Gate::default());
    let own = Arc::clone(&gate);
    (gate, Script::new(move |attempt| own.pass(attempt)))
}

pub(crate) fn value(value: Value) -> Report {
    Report::new(Outcome::Value(value), Usage::default())
}

pub(crate) fn worker(script: &Arc<Script>, slots: usize) -> Arc<Worker> {
    worker_with(script, WorkerConfig::new("test", slots))
}

pub(crate) fn worker_with(script: &Arc<Script>, config: WorkerConfig) -> Arc<Worker> {
    Worker::new(Arc::clone(script) as Arc<dyn Invoker>, config).unwrap()
}

/// The arguments `{"n": n}`.
pub(crate) fn arguments(n: u64) -> Value {
    Value::encode(&BTreeMap::from([("n", n)])).unwrap()
}

pub(crate) fn spec(id: u32) -> Spec {
    Spec {
        id,
        component: Digest::of(COMPONENT),
        size: COMPONENT.len() as u64,
        task: "work".to_owned(),
        stage: "stage".to_owned(),
        parent: None,
        limits: Limits::default(),
        grants: Grants::default(),
        trace: None,
    }
}

/// Numbers of leases rise.
pub(crate) fn lease() -> LeaseId {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(1));
    LeaseId(NEXT.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn order(n: u64) -> Order {
    Order {
        run: RunId::new(),
        lease: lease(),
        spec: 0,
        attempt: 1,
        arguments: Payload::of(&arguments(n).into_bytes()),
        index: None,
        time_left: None,
    }
}

pub(crate) fn orders(count: u64) -> Vec<Order> {
    (0..count).map(order).collect()
}

pub(crate) const fn of(order: &Order) -> RunLease {
    RunLease { run: order.run, lease: order.lease }
}

pub(crate) fn hello() -> Hello {
    Hello {
        versions: Versions::OURS,
        program: "test".to_owned(),
        name: "coordinator".to_owned(),
        session: Uuid::now_v7(),
        grace: LONG,
        heartbeat: Duration::from_secs(30),
    }
}

/// Everything that a worker has said, kind by kind.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) notes: Vec<Noted>,
    pub(crate) ended: Vec<RunReport>,
    pub(crate) back: Vec<HandBack>,
    pub(crate) needs: Vec<Digest>,
    pub(crate) holds: Vec<(Digest, Option<End>)>,
    pub(crate) heartbeats: usize,
    pub(crate) draining: bool,
    pub(crate) goodbye: Option<Goodbye>,
}

/// A coordinator with a link to a worker.
pub(crate) struct Coordinator {
    worker: Arc<Worker>,
    pub(crate) hello: Hello,
    pub(crate) link: WorkerSession,
    pub(crate) heard: Heard,
    /// What it sends when it is asked for it.
    pub(crate) components: BTreeMap<Digest, Vec<u8>>,
    /// Whether it settles what it hears at once.
    pub(crate) settles: bool,
}

impl Coordinator {
    /// One that has said the usual spec.
    pub(crate) async fn new(worker: &Arc<Worker>) -> Self {
        let coordinator = Self::greet(worker, hello());
        coordinator.say(ToWorker::Specs(vec![spec(0)])).await;
        coordinator
    }

    pub(crate) fn greet(worker: &Arc<Worker>, hello: Hello) -> Self {
        Self::greet_as(worker, "peer", hello)
    }

    pub(crate) fn greet_as(worker: &Arc<Worker>, peer: &str, hello: Hello) -> Self {
        let link = worker.open(peer, &hello).unwrap();
        let component = (Digest::of(COMPONENT), COMPONENT.to_vec());
        Self {
            worker: Arc::clone(worker),
            hello,
            link,
            heard: Heard::default(),
            components: BTreeMap::from([component]),
            settles: false,
        }
    }

    /// The same session over another link; what was heard is forgotten.
    pub(crate) async fn again(&mut self) {
        self.link = self.worker.open("peer", &self.hello).unwrap();
        self.heard = Heard::default();
        self.say(ToWorker::Specs(vec![spec(0)])).await;
    }

    /// Its link alone, without a hold on the worker.
    pub(crate) fn into_link(self) -> WorkerSession {
        self.link
    }

    pub(crate) async fn say(&self, message: ToWorker) {
        tokio::time::timeout(LONG, self.link.to_worker.send(message)).await.unwrap().unwrap();
    }

    pub(crate) async fn order(&self, orders: Vec<Order>) {
        self.say(ToWorker::Orders(orders)).await;
    }

    /// Hears one message, and does what it asks. False after the last.
    pub(crate) async fn hear(&mut self) -> bool {
        let message = tokio::time::timeout(LONG, self.link.from_worker.recv()).await;
        let Some(message) = message.expect("the worker says nothing") else { return false };
        self.take(message).await;
        true
    }

    async fn take(&mut self, message: FromWorker) {
        match message {
            FromWorker::Notes(notes) => self.heard.notes.extend(notes),
            FromWorker::Ended(reports) => {
                if self.settles {
                    let settled = reports.iter().map(|report| report.of).collect();
                    self.say(ToWorker::Settled(settled)).await;
                }
                self.heard.ended.extend(reports);
            }
            FromWorker::HandBack(back) => self.heard.back.extend(back),
            FromWorker::Need(digest) => {
                self.heard.needs.push(digest);
                if let Some(bytes) = self.components.get(&digest) {
                    put(&self.worker, bytes).await.unwrap();
                }
            }
            FromWorker::Holds { digest, refused } => self.heard.holds.push((digest, refused)),
            FromWorker::Heartbeat(_) => self.heard.heartbeats += 1,
            FromWorker::Draining => self.heard.draining = true,
            FromWorker::Goodbye(goodbye) => self.heard.goodbye = Some(goodbye),
            other => panic!("{other:?}"),
        }
    }

    /// Hears until that is so.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Heard) -> bool) {
        while !is_so(&self.heard) {
            assert!(self.hear().await, "the link has ended: {:?}", self.heard.goodbye);
        }
    }

    pub(crate) async fn until_ended(&mut self, count: usize) {
        self.until(|heard| heard.ended.len() >= count).await;
    }

    /// Hears what is said for a while.
    pub(crate) async fn listen(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while let Ok(Some(message)) =
            tokio::time::timeout_at(until, self.link.from_worker.recv()).await
        {
            self.take(message).await;
        }
    }
}

impl Heard {
    /// How the run ended, the last time that was said.
    pub(crate) fn ending(&self, run: RunId) -> Option<&Ending> {
        self.ended.iter().rev().find(|report| report.of.run == run).map(|report| &report.ending)
    }

    pub(crate) fn end(&self, run: RunId) -> &End {
        match self.ending(run) {
            Some(Ending::Ended(end)) => end,
            other => panic!("{other:?}"),
        }
    }
}

/// Sends bytes to a worker.
pub(crate) async fn put(worker: &Worker, bytes: &[u8]) -> Result<(), Goodbye> {
    let Some(mut receiving) = worker.receive(Digest::of(bytes), bytes.len() as u64).await? else {
        return Ok(());
    };
    bytes.chunks(256 << 10).try_for_each(|chunk| receiving.push(chunk))?;
    receiving.finish().await
}

/// Waits until that is so of the worker.
pub(crate) async fn wait_for(worker: &Worker, is_so: impl Fn(&WorkerStatus) -> bool) {
    let start = Instant::now();
    while !is_so(&worker.status()) {
        assert!(start.elapsed() < LONG, "{:#?}", worker.status());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the worker holds nothing of anybody.
pub(crate) async fn wait_for_nothing(worker: &Worker) {
    wait_for(worker, |status| {
        status.sessions.is_empty()
            && (status.running, status.waiting, status.kept, status.results) == (0, 0, 0, 0)
    })
    .await;
}
