//! What is said at once and kept nowhere: a coordinator to the workers of its session, and workers
//! to a coordinator. Whatever of it is lost is said again by whoever minds.

use bytes::Bytes;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::connect::Engine;
use super::error::EngineError;
use super::presence::Beat;
use crate::frame::{decode_hello, decode_to_worker, encode};
use crate::message::{FromWorker, Hello, ToWorker, WorkerId};

/// To whom a coordinator speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToSession {
    /// All workers that have anything of its session.
    All,
    /// One of them.
    Worker(WorkerId),
}

/// What comes to a coordinator, or to a worker, outside of the streams.
#[derive(Debug)]
pub enum Said {
    /// A worker says what it holds.
    Beat(Box<Beat>),
    /// A coordinator says something.
    Words(Vec<ToWorker>),
}

/// Hears what is said.
pub struct Words {
    first: async_nats::Subscriber,
    second: Option<async_nats::Subscriber>,
}

impl Words {
    /// The next; none when the connection has ended.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            let message = match &mut self.second {
                None => self.first.next().await?,
                Some(second) => tokio::select! {
                    message = self.first.next() => message?,
                    message = second.next() => message?,
                },
            };
            let said = if self.second.is_some() {
                decode_to_worker(&message.payload).ok().map(Said::Words)
            } else {
                Beat::read(&message.payload).map(|beat| Said::Beat(Box::new(beat)))
            };
            // What cannot be read is nobody's word.
            if let Some(said) = said {
                return Some(said);
            }
        }
    }
}

impl Engine {
    /// Says something to workers of the session.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn say(
        &self,
        session: Uuid,
        to: ToSession,
        messages: &[ToWorker],
    ) -> Result<(), EngineError> {
        let to = match to {
            ToSession::All => None,
            ToSession::Worker(worker) => Some(worker.0),
        };
        let subject = self.layout().say_subject(session, to);
        let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).to_vec()).collect();
        self.bounded("saying something", self.client().publish(subject, bytes.into())).await
    }

    /// Hears what the session's coordinator says, for this worker.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn hear_coordinator(
        &self,
        session: Uuid,
        worker: WorkerId,
    ) -> Result<Words, EngineError> {
        let all = self.client().subscribe(self.layout().say_subject(session, None));
        let first = self.bounded("listening", all).await?;
        let own = self.client().subscribe(self.layout().say_subject(session, Some(worker.0)));
        let second = Some(self.bounded("listening", own).await?);
        Ok(Words { first, second })
    }

    /// Hears what workers hold of the session.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn hear_workers(&self, session: Uuid) -> Result<Words, EngineError> {
        let first = self.client().subscribe(self.layout().beat_subject(session));
        Ok(Words { first: self.bounded("listening", first).await?, second: None })
    }

    /// Tells a coordinator what this worker holds of its session.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn beat(&self, session: Uuid, beat: &Beat) -> Result<(), EngineError> {
        let subject = self.layout().beat_subject(session);
        for part in beat.parts() {
            self.bounded("beating", self.client().publish(subject.clone(), part)).await?;
        }
        Ok(())
    }

    /// Asks the session's coordinator who it is. None when nobody answers: then it is not there.
    ///
    /// # Errors
    /// When that cannot be known, since the engine does not answer.
    pub async fn ask_coordinator(&self, session: Uuid) -> Result<Option<Hello>, EngineError> {
        use async_nats::RequestErrorKind as Kind;
        let subject = self.layout().ask_subject(session);
        let asked = self.client().request(subject, Bytes::new());
        match tokio::time::timeout(super::ENGINE_REQUEST_TIMEOUT, asked).await {
            Ok(Ok(message)) => Ok(decode_hello(&message.payload).ok()),
            Ok(Err(error)) => match error.kind() {
                Kind::NoResponders | Kind::TimedOut => Ok(None),
                _ => Err(EngineError::failed("asking a coordinator", error)),
            },
            Err(_) => Ok(None),
        }
    }

    /// Answers workers that ask who the session's coordinator is, until the connection ends.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn answer_workers(&self, hello: &Hello) -> Result<(), EngineError> {
        let subject = self.layout().ask_subject(hello.session);
        let mut asked = self.bounded("listening", self.client().subscribe(subject)).await?;
        let bytes = encode(hello);
        while let Some(message) = asked.next().await {
            if let Some(reply) = message.reply {
                self.bounded("answering", self.client().publish(reply, bytes.clone())).await?;
            }
        }
        Ok(())
    }

    /// What a worker says, made ready for [`Engine::answer`].
    #[must_use]
    pub fn packed(messages: Vec<FromWorker>) -> Vec<Bytes> {
        super::out::packed(messages)
    }
}
