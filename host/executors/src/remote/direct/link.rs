//! The task that keeps the link to one worker: connects, hears and says, brings bytes and gets them,
//! and connects again when the link breaks. What is said is in the outbox, what was heard is the
//! driver's.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use sandmill_core::units::format_duration;
use sandmill_transport::MAX_TRANSFERS;
use sandmill_transport::message::{FromWorker, Goodbye, Hello, RunLease, ToWorker, Welcome};
use sandmill_wire::Digest;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::config::{BACKOFF_LEAST, BACKOFF_MOST, DirectConfig, REFUSED_WAIT, TRANSFER_TRIES};
use super::outbox::{Fetch, Outbox, Transfer};
use super::way::{Blobs, Connected, Ear, Mouth, Way, WayError};

/// Something that a link has for the driver.
pub(super) struct News {
    /// Which link.
    pub(super) link: u64,
    /// Which of its connections, from 1.
    pub(super) connection: u64,
    pub(super) kind: NewsKind,
}

/// What it has.
pub(super) enum NewsKind {
    /// The worker was reached.
    Opened(Box<Welcome>),
    /// It could not be reached.
    Failed(WayError),
    /// It said something.
    Said(FromWorker),
    /// A result that was to be got is there, or cannot be had.
    Fetched(Fetch, Result<Bytes, WayError>),
    /// An order's arguments could not be brought.
    NotBrought(RunLease, WayError),
    /// A component was brought, or could not be.
    Component(Digest, Result<(), WayError>),
    /// The connection is over, over which something last came then, if that is known.
    Broken(WayError, Option<std::time::Instant>),
}

/// The link to one worker.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) way: Arc<dyn Way>,
    pub(super) hello: Hello,
    pub(super) config: Arc<DirectConfig>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) news: mpsc::Sender<News>,
    /// The link is not wanted any more: it says goodbye.
    pub(super) stop: CancellationToken,
}

impl Link {
    /// Keeps the link until it is not wanted any more.
    pub(super) async fn keep(self) {
        let mut connection = 0;
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            let connected = tokio::select! {
                connected = timeout(self.config.connect_timeout, self.way.connect(&self.hello)) => connected,
                () = self.stop.cancelled() => return,
            };
            let connected = connected.unwrap_or_else(|_| {
                let words = format!("no answer within {:?}", self.config.connect_timeout);
                Err(WayError::passing(words))
            });
            match connected {
                Err(error) => {
                    self.tell(connection, NewsKind::Failed(error)).await;
                }
                Ok(Connected { welcome, mouth, ear, blobs }) => {
                    connection += 1;
                    let began = Instant::now();
                    self.tell(connection, NewsKind::Opened(Box::new(welcome))).await;
                    let (error, heard) = self.pump(connection, mouth, ear, &*blobs).await;
                    // One that stood is not held against the worker.
                    if began.elapsed() > BACKOFF_MOST {
                        backoff = Backoff::default();
                    }
                    self.tell(connection, NewsKind::Broken(error, heard)).await;
                }
            }
            let wait = if self.outbox.is_refused() { REFUSED_WAIT } else { backoff.next() };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn tell(&self, connection: u64, kind: NewsKind) {
        let news = News { link: self.number, connection, kind };
        // Where nobody listens any more, the link is stopped too.
        let _ = self.news.send(news).await;
    }

    /// Hears, says and carries until the connection is over. Why it is, and when something last came.
    async fn pump(
        &self,
        connection: u64,
        mut mouth: Box<dyn Mouth>,
        mut ear: Box<dyn Ear>,
        blobs: &dyn Blobs,
    ) -> (WayError, Option<std::time::Instant>) {
        // One task, but none of these waits for another: a reader that waits for the driver does
        // not keep heartbeats from being said.
        let error = tokio::select! {
            error = self.hear(connection, &mut *ear) => error,
            error = self.say(connection, &mut *mouth) => error,
            error = self.carry(connection, blobs) => error,
        };
        (error, ear.heard())
    }

    async fn hear(&self, connection: u64, ear: &mut dyn Ear) -> WayError {
        let silence = self.config.silence();
        let mut until = Instant::now() + silence;
        loop {
            // Whoever says more than it hears has to wait.
            if timeout_at(until, self.outbox.calm()).await.is_err() {
                return WayError::passing("it does not take what is said to it");
            }
            match timeout_at(until, ear.hear()).await {
                Ok(Ok(message)) => {
                    self.tell(connection, NewsKind::Said(message)).await;
                    until = Instant::now() + silence;
                }
                Ok(Err(error)) => return error,
                // Over a slow link a message is long on its way, and stands behind values.
                Err(_) => match ear.heard().map(|heard| Instant::from_std(heard) + silence) {
                    Some(later) if later > Instant::now() => until = later,
                    _ => {
                        let silence = format_duration(silence);
                        return WayError::passing(format!("nothing was heard for {silence}"));
                    }
                },
            }
        }
    }

    async fn say(&self, connection: u64, mouth: &mut dyn Mouth) -> WayError {
        let mut beat = Instant::now() + self.config.heartbeat;
        loop {
            if let Some(due) = self.outbox.may_wait_until() {
                tokio::select! {
                    () = self.outbox.words.notified() => continue,
                    () = sleep_until(due.into()) => {}
                    () = self.stop.cancelled() => {}
                }
            }
            let messages = match self.outbox.take(connection) {
                Ok(messages) => messages,
                Err(why) => return WayError { is_passing: false, ..WayError::passing(why) },
            };
            for message in messages {
                beat = Instant::now() + self.config.heartbeat;
                if let Err(error) = mouth.say(message).await {
                    return error;
                }
            }
            tokio::select! {
                () = self.outbox.words.notified() => {}
                () = sleep_until(beat) => {
                    beat = Instant::now() + self.config.heartbeat;
                    if let Err(error) = mouth.say(ToWorker::Heartbeat).await {
                        return error;
                    }
                }
                () = self.stop.cancelled() => {
                    let goodbye = Goodbye::Leaving("the coordinator has ended".to_owned());
                    let _ = mouth.say(ToWorker::Goodbye(goodbye)).await;
                    // It is heard before the connection goes: the worker hangs up then.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    async fn carry(&self, connection: u64, blobs: &dyn Blobs) -> WayError {
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < MAX_TRANSFERS
                && let Some(transfer) = self.outbox.next_transfer(connection)
            {
                under_way.push(self.transfer(connection, transfer, blobs));
            }
            tokio::select! {
                Some(()) = under_way.next() => {}
                () = self.outbox.bytes.notified() => {}
            }
        }
    }

    async fn transfer(&self, connection: u64, transfer: Transfer, blobs: &dyn Blobs) {
        match transfer {
            Transfer::Component(component) => {
                let digest = component.digest();
                let brought = put(blobs, digest, component.bytes()).await;
                self.outbox.component_done(&digest);
                self.tell(connection, NewsKind::Component(digest, brought)).await;
            }
            Transfer::Arguments(order, bytes) => {
                let sandmill_transport::message::Payload::Blob { digest, .. } = order.arguments
                else {
                    return self.outbox.arguments_are_there(*order);
                };
                match put(blobs, digest, &bytes).await {
                    Ok(()) => self.outbox.arguments_are_there(*order),
                    Err(error) => {
                        self.tell(connection, NewsKind::NotBrought(order.of, error)).await;
                    }
                }
            }
            Transfer::Result(fetch) => {
                let mut got = blobs.get(fetch.digest, fetch.limit).await;
                for _ in 1..TRANSFER_TRIES {
                    if !got.as_ref().is_err_and(|error| error.is_passing) {
                        break;
                    }
                    sleep(BACKOFF_LEAST).await;
                    got = blobs.get(fetch.digest, fetch.limit).await;
                }
                self.tell(connection, NewsKind::Fetched(fetch, got)).await;
            }
        }
    }
}

async fn put(blobs: &dyn Blobs, digest: Digest, bytes: &Bytes) -> Result<(), WayError> {
    let mut tries = 1;
    loop {
        match blobs.put(digest, bytes.clone()).await {
            Err(error) if error.is_passing && tries < TRANSFER_TRIES => {
                tries += 1;
                sleep(BACKOFF_LEAST).await;
            }
            done => return done,
        }
    }
}

/// Waits that grow, and that differ from link to link.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let full = BACKOFF_LEAST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MOST);
        self.failures = self.failures.saturating_add(1);
        // Between half of it and all: a number that nobody can foresee, without a generator.
        let part = RandomState::new().build_hasher().finish() % 1_000;
        let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + micros / 2 * part / 1_000)
    }
}
