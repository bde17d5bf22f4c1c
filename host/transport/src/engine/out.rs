//! What workers say: put into a stream for each coordinator's session, in order, and taken by it.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::Acker;
use bytes::{Bytes, BytesMut};
use sandmill_wire::{End, EndKind};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::connect::{Engine, EngineLink};
use super::error::EngineError;
use super::layout::{compare, consumer_missing, out_consumer, out_consumer_config, same};
use super::limits::{ENGINE_REQUEST_TIMEOUT, ITEM_BYTES};
use crate::frame::{decode_from_worker, pieces};
use crate::message::{Ending, FromWorker, RunReport, WorkerId};

/// The header that names the worker that says something.
const WORKER: &str = "Sandmill-Worker";
/// How long one look for answers waits for them.
const WAIT: Duration = Duration::from_secs(5);
/// How long the server keeps one request for answers before it is made again.
const REQUEST: Duration = Duration::from_secs(30);
/// How often the server says that it has none; after two such times without a word it is not there.
const PULSE: Duration = Duration::from_secs(2);
/// Messages that one look takes, and that the server sends ahead.
const LOOK: usize = 256;

/// What a worker said.
pub struct OutSaid {
    /// Who.
    pub worker: WorkerId,
    /// What; an error where it cannot be read.
    pub messages: Result<Vec<FromWorker>, String>,
    acker: Acker,
}

impl OutSaid {
    /// Says that it was taken: nobody is given it again.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn taken(&self) -> Result<(), EngineError> {
        self.acker.ack().await.map_err(|error| EngineError::failed("acknowledging answers", error))
    }
}

/// Takes what workers say to one session.
///
/// It asks for more while it takes, on one subscription for as long as it lives: an answer that is
/// sent to one that was given up comes again only after [`super::OUT_ACK_WAIT`].
pub struct OutReader {
    coming: pull::Stream,
    link: watch::Receiver<EngineLink>,
    connection: u64,
}

impl OutReader {
    /// The next of what was said: some, or none within a while.
    ///
    /// # Errors
    /// When the engine does not answer, or the connection is another one: then the answers are to be
    /// opened anew, and what was not acknowledged comes again.
    pub async fn next(&mut self) -> Result<Vec<OutSaid>, EngineError> {
        const WHAT: &str = "hearing answers";
        let (link, before) = (&mut self.link, self.connection);
        let first = tokio::select! {
            first = self.coming.next() => first,
            () = is_another(link, before) => {
                return Err(EngineError::failed(WHAT, "the connection broke"));
            }
            () = tokio::time::sleep(WAIT) => return Ok(Vec::new()),
        };
        let mut said = Vec::new();
        let mut next = first;
        loop {
            match next {
                Some(Ok(message)) => match read(message) {
                    (acker, Some((worker, messages))) => {
                        said.push(OutSaid { worker, messages, acker });
                    }
                    // Nobody's word: it must not come again and again.
                    (acker, None) => drop(acker.ack().await),
                },
                Some(Err(error)) if said.is_empty() => {
                    return Err(EngineError::failed(WHAT, error));
                }
                None if said.is_empty() => return Err(EngineError::failed(WHAT, "it has ended")),
                _ => break,
            }
            if said.len() >= LOOK {
                break;
            }
            // Those that are here already; whoever takes them gives the others time to come.
            match tokio::time::timeout(Duration::ZERO, self.coming.next()).await {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
        Ok(said)
    }
}

/// Ready when the connection is another than it was.
async fn is_another(link: &mut watch::Receiver<EngineLink>, before: u64) {
    if link.wait_for(|link| link.count != before).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Who said what, where anybody did.
type Word = (WorkerId, Result<Vec<FromWorker>, String>);

fn read(message: async_nats::jetstream::Message) -> (Acker, Option<Word>) {
    let (message, acker) = message.split();
    let worker = message.headers.as_ref().and_then(|headers| headers.get(WORKER));
    let Some(worker) = worker.and_then(|text| Uuid::parse_str(text.as_str()).ok()) else {
        return (acker, None);
    };
    let messages = decode_from_worker(&message.payload).map_err(|error| error.to_string());
    (acker, Some((WorkerId(worker), messages)))
}

impl Engine {
    /// Opens a session's answers, or takes them up again.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn open_out(&self, session: Uuid) -> Result<OutReader, EngineError> {
        let wanted = out_consumer_config(self.layout(), session);
        let stream = self.out().await?;
        let name = out_consumer(session);
        let made = stream.get_or_create_consumer::<pull::Config>(&name, wanted.clone());
        let consumer = self.bounded("making a consumer", made).await?;
        let found = &consumer.cached_info().config;
        let mut differences = Vec::new();
        same(&mut differences, "filter_subject", &found.filter_subject, &wanted.filter_subject);
        same(&mut differences, "ack_policy", &found.ack_policy, &wanted.ack_policy);
        same(&mut differences, "max_ack_pending", &found.max_ack_pending, &wanted.max_ack_pending);
        let age = (&found.inactive_threshold, &wanted.inactive_threshold);
        same(&mut differences, "inactive_threshold", age.0, age.1);
        compare(format!("the consumer {name}"), &differences)?;
        let link = self.link();
        let connection = link.borrow().count;
        let asked = consumer
            .stream()
            .max_messages_per_batch(LOOK)
            .expires(REQUEST)
            .heartbeat(PULSE)
            .messages();
        let coming = self.bounded("asking for answers", asked).await?;
        Ok(OutReader { coming, link, connection })
    }

    /// Whether answers wait that the session's coordinator has not acknowledged.
    ///
    /// # Errors
    /// When the engine does not answer, or has no answers of this session.
    pub async fn has_answers(&self, session: Uuid) -> Result<bool, EngineError> {
        let stream = self.out().await?;
        let name = out_consumer(session);
        let info = self.answered("looking for answers", stream.consumer_info(&name)).await?;
        let info = info.map_err(|error| consumer_missing(&name, &error))?;
        Ok(info.num_pending > 0 || info.num_ack_pending > 0)
    }

    /// Removes a session's answers, and whatever takes them.
    pub async fn close_out(&self, session: Uuid) {
        let Ok(stream) = self.out().await else { return };
        // What is left here ages.
        let name = out_consumer(session);
        let deleted = stream.delete_consumer(&name);
        let _ = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, deleted).await;
        let purge = stream.purge().filter(self.layout().out_subject(session));
        let _ = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, purge.into_future()).await;
    }

    /// Puts what a worker says before a session's coordinator, as few messages as that needs; ready
    /// when all is kept. `number` is the number of the first of them, which is counted on: what is
    /// put there twice under the same number is there once.
    ///
    /// # Errors
    /// When some is not kept. To be tried again with the same number.
    pub async fn answer(
        &self,
        session: Uuid,
        worker: WorkerId,
        number: &mut u64,
        messages: &mut Vec<Bytes>,
    ) -> Result<(), EngineError> {
        while let Some(bytes) = messages.first() {
            let mut headers = HeaderMap::new();
            headers.insert(
                "Nats-Msg-Id",
                format!("{}-{}-{number}", worker.0.simple(), session.simple()).as_str(),
            );
            headers.insert(WORKER, worker.0.simple().to_string().as_str());
            self.put(self.layout().out_subject(session), headers, bytes.clone()).await?;
            messages.remove(0);
            *number += 1;
        }
        Ok(())
    }
}

/// What a worker says, in as few messages as an engine takes. A report too large for one ends as
/// `host-error`; anything else that is too large is left out.
pub(super) fn packed(messages: Vec<FromWorker>) -> Vec<Bytes> {
    let mut packed: Vec<BytesMut> = Vec::new();
    let mut open = messages;
    open.reverse();
    while let Some(message) = open.pop() {
        match pieces(message) {
            Ok(pieces) => pieces.iter().for_each(|piece| match packed.last_mut() {
                Some(last) if last.len() + piece.len() <= ITEM_BYTES => {
                    last.extend_from_slice(piece);
                }
                _ => packed.push(BytesMut::from(&piece[..])),
            }),
            Err(over) => {
                let (message, size) = *over;
                if let FromWorker::Ended(reports) = message {
                    open.push(FromWorker::Ended(
                        reports
                            .into_iter()
                            .map(|report| {
                                let words =
                                    format!("its report of {size} bytes is too large to be sent");
                                let ending = Ending::Ended(End::new(EndKind::HostError, words));
                                RunReport { ending, ..report }
                            })
                            .collect(),
                    ));
                }
            }
        }
    }
    packed.into_iter().map(BytesMut::freeze).collect()
}
