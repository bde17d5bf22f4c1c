//! One link between a worker and a coordinator: the tasks that read what is asked and say what
//! there is to say. What carries the messages is not known here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandmill_core::units::format_size;
use sandmill_transport::direct::Life;
use sandmill_transport::message::{
    FromWorker, Goodbye, Hello, LeaseId, Load, Order, Payload, RunLease, Spec, ToWorker, Versions,
    Welcome,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::config::{HEARTBEAT_BOUNDS, HEARTBEATS_MISSED, LAST_WORDS, MAX_SPECS, MAX_SPECS_BYTES};
use super::outbox::Outbox;
use super::process;
use super::sessions::Opened;
use super::shared::Shared;
use super::spec::{Checked, SpecEntry};
use super::state::State;
use super::worker::Worker;

/// Messages that wait between a worker and what carries them, each way.
const LINK_QUEUE: usize = 16;
/// How long one message that cannot be handed on is waited for before the link is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A coordinator's session at a worker, as long as one link lasts. When either end is dropped, the
/// link is over, and what the session holds stays for its grace.
#[derive(Debug)]
pub struct WorkerSession {
    /// What the worker says of itself.
    pub welcome: Welcome,
    /// Where what the coordinator says goes.
    pub to_worker: mpsc::Sender<ToWorker>,
    /// Where what the worker says comes from, to be read whether or not there is room to speak: a
    /// worker to which nobody listens stops listening too. It ends after the worker's goodbye, or when another
    /// link of the same session has come.
    pub from_worker: mpsc::Receiver<FromWorker>,
}

impl Worker {
    /// Opens the session that `hello` names, or takes it up again. `peer` is who that is by the
    /// link's word, the same for each link of a session; another may not take it up. To be called
    /// within a tokio runtime, which serves the link.
    ///
    /// # Errors
    /// When the worker has no version in common with the peer, no room, or is going away.
    pub fn open(&self, peer: &str, hello: &Hello) -> Result<WorkerSession, Goodbye> {
        self.open_alive(peer, hello, Life::default())
    }

    /// The same over a link that notes what comes before it is whole: a message that is long on its
    /// way, or a value, is no silence.
    pub(super) fn open_alive(
        &self,
        peer: &str,
        hello: &Hello,
        life: Life,
    ) -> Result<WorkerSession, Goodbye> {
        let shared = &self.shared;
        let Some(protocol) = Versions::OURS.common(hello.versions) else {
            return Err(Goodbye::Version { ours: Versions::OURS, theirs: hello.versions });
        };
        let opened = shared.state.lock().open(peer, hello, life.clone())?;
        let Opened { number, stop, outbox, holds, runs, resumed } = opened;
        let config = &shared.config;
        let welcome = Welcome {
            protocol,
            worker: shared.id,
            program: config.program.clone(),
            name: config.name.clone(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            slots: u32::try_from(config.slots).unwrap_or(u32::MAX),
            labels: config.labels.clone(),
            resources: config.resources.clone(),
            ceiling: config.ceiling.clone(),
            holds,
            runs,
            resumed,
        };
        let (to_worker, asked) = mpsc::channel(LINK_QUEUE);
        let (said, from_worker) = mpsc::channel(LINK_QUEUE);
        let heartbeat = hello.heartbeat.clamp(HEARTBEAT_BOUNDS.0, HEARTBEAT_BOUNDS.1);
        let end = LinkEnd {
            shared: Arc::clone(shared),
            session: hello.session,
            number,
            stop: stop.clone(),
        };
        let reader = Reader {
            shared: Arc::clone(shared),
            session: hello.session,
            number,
            specs: HashMap::new(),
            spec_bytes: 0,
            outbox: Arc::clone(&outbox),
            silence: heartbeat * HEARTBEATS_MISSED,
            life,
            stop: stop.clone(),
        };
        tokio::spawn(reader.read(asked));
        let writer = Writer { shared: Arc::clone(shared), outbox, heartbeat, stop, end };
        tokio::spawn(writer.write(said));
        Ok(WorkerSession { welcome, to_worker, from_worker })
    }
}

/// Notes that a link is gone when its last task goes, however it goes.
struct LinkEnd {
    shared: Arc<Shared>,
    session: Uuid,
    number: u64,
    stop: CancellationToken,
}

impl Drop for LinkEnd {
    fn drop(&mut self) {
        self.stop.cancel();
        let mut state = self.shared.state.lock();
        state.link_lost(self.session, self.number);
        state.open_links -= 1;
        drop(state);
        self.shared.bells.changed.notify_waiters();
    }
}

struct Reader {
    shared: Arc<Shared>,
    session: Uuid,
    number: u64,
    specs: HashMap<u32, Arc<SpecEntry>>,
    /// What they take.
    spec_bytes: usize,
    outbox: Arc<Outbox>,
    silence: Duration,
    life: Life,
    stop: CancellationToken,
}

impl Reader {
    async fn read(mut self, mut asked: mpsc::Receiver<ToWorker>) {
        loop {
            let message = tokio::select! {
                next = self.next(&mut asked) => next,
                () = self.stop.cancelled() => return,
            };
            let Some(message) = message else {
                self.shared.state.lock().link_lost(self.session, self.number);
                return;
            };
            if let Err(goodbye) = self.take(message) {
                let mut state = self.shared.state.lock();
                let session = state.sessions.get(&self.session);
                if session.is_some_and(|session| session.is_served_by(self.number)) {
                    state.close(self.session, Some(goodbye));
                }
                return;
            }
        }
    }

    /// The next message; none when the link is over, or was silent for too long.
    async fn next(&self, asked: &mut mpsc::Receiver<ToWorker>) -> Option<ToWorker> {
        // Whoever asks without listening is not listened to.
        self.outbox.room().await;
        let mut until = Instant::now() + self.silence;
        loop {
            if let Ok(message) = tokio::time::timeout_at(until, asked.recv()).await {
                return message;
            }
            // Over a slow link a message is long on its way, and stands behind values.
            until = Instant::from_std(self.life.heard()?) + self.silence;
            if until <= Instant::now() {
                return None;
            }
        }
    }

    /// Does what a message asks; an error ends the session.
    fn take(&mut self, message: ToWorker) -> Result<(), Goodbye> {
        match message {
            ToWorker::Specs(specs) => specs.into_iter().try_for_each(|spec| self.learn(spec))?,
            ToWorker::Orders(orders) => self.order(orders)?,
            ToWorker::Cancel(runs) => self.each(runs, State::cancel),
            ToWorker::Recall(runs) => self.each(runs, State::recall),
            ToWorker::Settled(runs) => self.each(runs, State::settled),
            ToWorker::Heartbeat => {}
            ToWorker::Goodbye(_) => {
                return Err(Goodbye::Leaving("the coordinator said goodbye".to_owned()));
            }
            // A newer coordinator speaks a version that this worker said it speaks.
            _ => return Err(Goodbye::Protocol("a message of a later version came".to_owned())),
        }
        Ok(())
    }

    fn each<T>(&self, items: Vec<T>, act: impl Fn(&mut State, Uuid, T)) {
        let mut state = self.shared.state.lock();
        let session = state.sessions.get(&self.session);
        if session.is_some_and(|session| session.is_served_by(self.number)) {
            items.into_iter().for_each(|item| act(&mut state, self.session, item));
        }
    }

    /// Learns what orders refer to. A number that is said again stands for the later spec.
    fn learn(&mut self, spec: Spec) -> Result<(), Goodbye> {
        if self.specs.len() >= MAX_SPECS && !self.specs.contains_key(&spec.id) {
            let words = format!("more than {MAX_SPECS} specs were said on one link");
            return Err(Goodbye::Protocol(words));
        }
        let id = spec.id;
        let entry = Arc::new(SpecEntry::new(spec, &self.shared.config));
        self.spec_bytes += entry.bytes;
        if let Some(before) = self.specs.insert(id, entry) {
            self.spec_bytes -= before.bytes;
        }
        if self.spec_bytes > MAX_SPECS_BYTES {
            let most = format_size(MAX_SPECS_BYTES as u64);
            let words = format!("the specs that were said on one link take more than {most}");
            return Err(Goodbye::Protocol(words));
        }
        Ok(())
    }

    fn order(&self, orders: Vec<Order>) -> Result<(), Goodbye> {
        // All are checked before any is taken: a broken message is broken as a whole.
        let mut checked = Vec::with_capacity(orders.len());
        let mut bytes_in = 0;
        for order in orders {
            let spec = self.specs.get(&order.spec).ok_or_else(|| {
                Goodbye::Protocol(format!("an order names spec {}, which was not said", order.spec))
            })?;
            if order.attempt == 0 || order.lease == LeaseId(0) {
                let words = format!("the order of run {} has no attempt or no lease", order.run);
                return Err(Goodbye::Protocol(words));
            }
            let of = RunLease { run: order.run, lease: order.lease };
            bytes_in += match &order.arguments {
                Payload::Inline(bytes) => bytes.len() as u64,
                Payload::Blob { .. } => 0,
            };
            let blob = self.blob_of(&order.arguments);
            checked.push(Checked::new(order, spec, blob).ok_or(of));
        }
        self.each(checked, |state, id, order| match order {
            Ok(order) => state.admit(id, order),
            Err(of) => {
                let why = "its arguments, which go by digest, are not at the worker";
                state.hand_back(id, of, Some(why.to_owned()));
            }
        });
        self.shared.state.lock().counters.bytes_in += bytes_in;
        Ok(())
    }

    fn blob_of(&self, payload: &Payload) -> Option<Bytes> {
        match payload {
            Payload::Inline(_) => None,
            Payload::Blob { digest, size } => {
                let bytes = self.shared.state.lock().values.get(digest);
                bytes.filter(|bytes| bytes.len() as u64 == *size)
            }
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    heartbeat: Duration,
    stop: CancellationToken,
    /// Goes with the writer, which is the last to go.
    end: LinkEnd,
}

impl Writer {
    async fn write(self, said: mpsc::Sender<FromWorker>) {
        let mut beat = Instant::now() + self.heartbeat;
        loop {
            if self.stop.is_cancelled() && self.outbox.closed_for().is_none() {
                return;
            }
            if let Some(due) = self.outbox.may_wait_until() {
                tokio::select! {
                    () = self.outbox.wake.notified() => continue,
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = said.closed() => return,
                    () = self.stop.cancelled() => {}
                }
            }
            let Some(mut messages) = self.outbox.take(self.end.number) else { return };
            if Instant::now() >= beat {
                beat = Instant::now() + self.heartbeat;
                messages.insert(0, FromWorker::Heartbeat(self.load()));
            }
            for message in messages {
                let last = matches!(message, FromWorker::Goodbye(_));
                if !self.send(&said, message).await || last {
                    return;
                }
            }
            tokio::select! {
                () = self.outbox.wake.notified() => {}
                () = tokio::time::sleep_until(beat) => {}
                () = said.closed() => return,
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Hands a message on; false when nobody takes it any more.
    async fn send(&self, said: &mpsc::Sender<FromWorker>, message: FromWorker) -> bool {
        let mut sending = std::pin::pin!(said.send(message));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.is_ok(),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.outbox.closed_for() {
                Some(since) if since < LAST_WORDS => {}
                Some(_) => return false,
                None if self.stop.is_cancelled() => return false,
                None => {}
            }
        }
    }

    fn load(&self) -> Load {
        let state = self.shared.state.lock();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let running = count(state.slots.iter().flatten().count());
        let waiting = count(state.sessions.values().map(|session| session.waiting).sum());
        drop(state);
        let (memory, cpu_micros) = process::usage();
        Load { running, waiting, memory, cpu_micros }
    }
}
