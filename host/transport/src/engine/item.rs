//! Items of work: put into the queue of a class, pulled by workers, and looked at by whoever put
//! them there. An item is whole: the specs of its orders are in it.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::jetstream::{AckKind, ErrorCode};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::class::ClassId;
use super::connect::Engine;
use super::error::EngineError;
use super::limits::{
    ENGINE_PUBLISH_TIMEOUT, ENGINE_PULL_SLACK, ENGINE_REQUEST_TIMEOUT, LEAST_PAYLOAD,
};
use crate::frame::{decode_to_worker, encode};
use crate::message::{Order, PROTOCOL, PROTOCOL_LEAST, Spec, ToWorker};

/// The header that names the session that an item is of.
const SESSION: &str = "Sandmill-Session";
/// The header that names the version of the messages in it.
const VERSION: &str = "Sandmill-Protocol";

/// A batch of orders of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The coordinator's session.
    pub session: Uuid,
    /// What the orders refer to.
    pub specs: Vec<Spec>,
    /// The orders.
    pub orders: Vec<Order>,
}

/// Where an item is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number there, which no other has for as long as the queue is the same.
    pub sequence: u64,
    /// Whether it was there already, by its id.
    pub duplicate: bool,
}

/// Whether an item is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// It waits, or a worker has it.
    There,
    /// It was acknowledged, removed or lost.
    Gone,
}

/// An item that was pulled: this worker's until it is acknowledged, or not kept alive.
pub struct Pulled {
    /// What it holds; an error where it cannot be read.
    pub item: Result<Item, String>,
    /// How often it was given out, with this time.
    pub delivered: i64,
    acker: Acker,
}

impl Engine {
    /// Puts an item into the queue of its class. Under the same `id` it is put there once, however
    /// often this is asked for within [`super::DEDUPE_WINDOW`].
    ///
    /// # Errors
    /// [`EngineError::Full`] when there is no room, [`EngineError::Missing`] when the queue is not
    /// there (any more), else that there was no answer: then it may be there or not.
    pub async fn publish(
        &self,
        class: &ClassId,
        id: &str,
        item: &Item,
    ) -> Result<Published, EngineError> {
        let mut bytes = BytesMut::from(&encode(&ToWorker::Specs(item.specs.clone()))[..]);
        bytes.extend_from_slice(&encode(&ToWorker::Orders(item.orders.clone())));
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        headers.insert(SESSION, item.session.simple().to_string().as_str());
        headers.insert(VERSION, PROTOCOL.to_string().as_str());
        let (sequence, duplicate) =
            self.put(self.layout().work_subject(class), headers, bytes.freeze()).await?;
        Ok(Published { sequence, duplicate })
    }

    /// Publishes, and waits until it is kept.
    pub(super) async fn put(
        &self,
        subject: String,
        headers: HeaderMap,
        bytes: Bytes,
    ) -> Result<(u64, bool), EngineError> {
        const WHAT: &str = "publishing";
        // Headers count too.
        if bytes.len() + 1_024 > LEAST_PAYLOAD {
            let (size, limit) = (bytes.len() as u64, LEAST_PAYLOAD as u64);
            return Err(EngineError::TooLarge { size, limit });
        }
        let kept = async {
            let sent = self.context().publish_with_headers(subject, headers, bytes).await?;
            sent.await
        };
        match self.answered_within(ENGINE_PUBLISH_TIMEOUT, WHAT, kept).await? {
            Ok(ack) => Ok((ack.sequence, ack.duplicate)),
            Err(error) => Err(publish_error(WHAT, &error)),
        }
    }

    /// The queue of a class, to pull from.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when the class has no queue, else when the engine does not answer.
    pub async fn queue(&self, class: &ClassId) -> Result<ItemQueue, EngineError> {
        let stream = self.work().await?;
        let consumer = stream.get_consumer::<pull::Config>(class.as_str());
        match self.answered("finding a queue", consumer).await? {
            Ok(consumer) => Ok(ItemQueue { consumer }),
            Err(error) => Err(missing_or("finding a queue", &error)),
        }
    }

    /// Whether an item is in the queue still.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn item_state(&self, sequence: u64) -> Result<ItemState, EngineError> {
        let stream = self.work().await?;
        let got = stream.get_raw_message(sequence);
        match self.answered("looking at an item", got).await? {
            Ok(_) => Ok(ItemState::There),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(ItemState::Gone),
                RawMessageErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
                {
                    Ok(ItemState::Gone)
                }
                _ => Err(EngineError::failed("looking at an item", error)),
            },
        }
    }

    /// Takes an item out of the queue, if it is there.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn remove_item(&self, sequence: u64) -> Result<(), EngineError> {
        let stream = self.work().await?;
        let removed = stream.delete_message(sequence);
        // One that is gone is gone.
        self.answered("removing an item", removed).await.map(drop)
    }

    /// Listens for items that were given out as often as they may be.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn spent_items(&self) -> Result<SpentItems, EngineError> {
        let told = self.client().subscribe(self.layout().spent_subject());
        let told = self.bounded("listening for advisories", told).await?;
        Ok(SpentItems { told })
    }
}

/// The queue of a class.
#[derive(Clone)]
pub struct ItemQueue {
    consumer: PullConsumer,
}

impl ItemQueue {
    /// How long a worker may be silent of an item before somebody else is given it.
    #[must_use]
    pub fn ack_wait(&self) -> Duration {
        self.consumer.cached_info().config.ack_wait
    }

    /// How often an item is given out.
    #[must_use]
    pub fn max_deliver(&self) -> i64 {
        self.consumer.cached_info().config.max_deliver
    }

    /// Pulls one item; none where none came for so long. To be awaited to its end: an item that
    /// comes after nobody waits for it is given out again only after [`ItemQueue::ack_wait`].
    ///
    /// # Errors
    /// [`EngineError::Missing`] when the queue is there no more, else when the engine does not
    /// answer.
    pub async fn pull(&self, wait: Duration) -> Result<Option<Pulled>, EngineError> {
        const WHAT: &str = "pulling";
        let batch = self.consumer.batch().max_messages(1).expires(wait).messages();
        let batch = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, batch).await;
        let batch = batch.map_err(|_| Engine::timed_out(WHAT))?;
        let mut batch = batch.map_err(|error| EngineError::failed(WHAT, error))?;
        match tokio::time::timeout(wait + ENGINE_PULL_SLACK, batch.next()).await {
            Ok(Some(Ok(message))) => Ok(Some(Pulled::new(message))),
            Ok(Some(Err(error))) => Err(missing_or(WHAT, &error)),
            Ok(None) => Ok(None),
            Err(_) => Err(Engine::timed_out(WHAT)),
        }
    }
}

fn missing_or(what: &'static str, error: &dyn std::fmt::Display) -> EngineError {
    let words = error.to_string();
    let gone = ["not found", "deleted", "no responders", "10014", "10059"];
    if gone.iter().any(|gone| words.to_lowercase().contains(gone)) {
        return EngineError::Missing("the queue".to_owned());
    }
    EngineError::failed(what, words)
}

impl Pulled {
    fn new(message: async_nats::jetstream::Message) -> Self {
        let delivered = message.info().map_or(1, |info| info.delivered);
        let (message, acker) = message.split();
        let item = read(message.headers.as_ref(), &message.payload);
        Self { item, delivered, acker }
    }

    /// Says that it is worked at: its time begins anew.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn progress(&self) -> Result<(), EngineError> {
        self.acker
            .ack_with(AckKind::Progress)
            .await
            .map_err(|error| EngineError::failed("keeping an item", error))
    }

    /// Says that it is done, and waits until that is kept.
    ///
    /// # Errors
    /// When that is not known: then somebody may be given it again.
    pub async fn done(&self) -> Result<(), EngineError> {
        match tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, self.acker.double_ack()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EngineError::failed("acknowledging an item", error)),
            Err(_) => Err(Engine::timed_out("acknowledging an item")),
        }
    }

    /// Gives it back: somebody is given it after so long.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn give_back(&self, after: Duration) -> Result<(), EngineError> {
        self.acker
            .ack_with(AckKind::Nak(Some(after)))
            .await
            .map_err(|error| EngineError::failed("giving an item back", error))
    }

    /// Has it removed: nobody is given it again.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn discard(&self) -> Result<(), EngineError> {
        self.acker
            .ack_with(AckKind::Term)
            .await
            .map_err(|error| EngineError::failed("removing an item", error))
    }
}

fn read(headers: Option<&HeaderMap>, payload: &Bytes) -> Result<Item, String> {
    let header = |name: &str| headers.and_then(|headers| headers.get(name)).map(|h| h.as_str());
    let session = header(SESSION).and_then(|text| Uuid::parse_str(text).ok());
    let session = session.ok_or_else(|| "an item that names no session".to_owned())?;
    let version = header(VERSION).and_then(|text| text.parse::<u32>().ok());
    if !version.is_some_and(|version| (PROTOCOL_LEAST..=PROTOCOL).contains(&version)) {
        return Err(format!("an item of another version of the protocol: {version:?}"));
    }
    let (mut specs, mut orders) = (Vec::new(), Vec::new());
    for message in decode_to_worker(payload).map_err(|error| error.to_string())? {
        match message {
            ToWorker::Specs(more) => specs.extend(more),
            ToWorker::Orders(more) => orders.extend(more),
            _ => return Err("an item with what is no order".to_owned()),
        }
    }
    Ok(Item { session, specs, orders })
}

fn publish_error(what: &'static str, error: &PublishError) -> EngineError {
    let words = error.to_string();
    match error.kind() {
        PublishErrorKind::StreamNotFound => EngineError::Missing("the stream".to_owned()),
        PublishErrorKind::TimedOut => Engine::timed_out(what),
        PublishErrorKind::MaxPayloadExceeded => EngineError::Lacks(words),
        _ if ["maximum messages", "maximum bytes", "10077", "insufficient"]
            .iter()
            .any(|full| words.contains(full)) =>
        {
            EngineError::Full(words)
        }
        _ => EngineError::failed(what, words),
    }
}

/// Tells of items that will not be given out again.
pub struct SpentItems {
    told: async_nats::Subscriber,
}

#[derive(Deserialize)]
struct Advisory {
    stream_seq: u64,
}

impl SpentItems {
    /// The number of the next one, in the queue. None when the connection has ended.
    pub async fn next(&mut self) -> Option<u64> {
        loop {
            let message = self.told.next().await?;
            if let Ok(advisory) = serde_json::from_slice::<Advisory>(&message.payload) {
                return Some(advisory.stream_seq);
            }
        }
    }
}
