//! The two ends of a link as a coordinator holds them: messages to the worker, with back-pressure,
//! and messages from it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::Streaming;

use super::refusal::understand;
use super::socket::Trouble;
use super::{LinkError, SendError};
use crate::frame::{self, Batch};
use crate::message::{FromWorker, ToWorker};
use crate::{LINK_QUEUE, LINK_QUEUE_BYTES};

/// A piece of a message, and the room that it takes while it waits.
#[derive(Debug)]
struct Waiting {
    piece: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Says things to a worker. Clones speak over the same link; when the last is dropped, the worker
/// sees that the coordinator has nothing more to say.
#[derive(Debug, Clone)]
pub struct LinkSender {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    over: CancellationToken,
}

impl LinkSender {
    /// A sender, and what it sends as frames, until `over`.
    pub(super) fn new(over: &CancellationToken) -> (Self, Frames) {
        let (queue, waiting) = mpsc::channel(LINK_QUEUE);
        let room = Arc::new(Semaphore::new(LINK_QUEUE_BYTES));
        let frames = Frames {
            waiting,
            batch: Batch::default(),
            over: Box::pin(over.clone().cancelled_owned()),
        };
        (Self { queue, room, over: over.clone() }, frames)
    }

    /// Says something. Waits while the link is full ([`LINK_QUEUE_BYTES`], [`LINK_QUEUE`]). A long
    /// list may go in several parts; when the call is dropped, some of them may have gone.
    ///
    /// # Errors
    /// The link has ended, or one item does not fit a frame.
    pub async fn send(&self, message: ToWorker) -> Result<(), SendError> {
        let pieces = pieces(message)?;
        self.over.run_until_cancelled(self.enter(pieces)).await.ok_or(SendError::Closed)?
    }

    async fn enter(&self, pieces: Vec<Bytes>) -> Result<(), SendError> {
        for piece in pieces {
            let room = Arc::clone(&self.room)
                .acquire_many_owned(size(&piece))
                .await
                .map_err(|_| SendError::Closed)?;
            self.queue.send(Waiting { piece, _room: room }).await.map_err(|_| SendError::Closed)?;
        }
        Ok(())
    }

    /// Says something if there is room for it now.
    ///
    /// # Errors
    /// There is none, the link has ended, or one item does not fit a frame. Nothing was said then.
    pub fn try_send(&self, message: ToWorker) -> Result<(), SendError> {
        let pieces = pieces(message)?;
        let full = |error: TrySendError<()>| match error {
            TrySendError::Full(()) => SendError::Full,
            TrySendError::Closed(()) => SendError::Closed,
        };
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if pieces.is_empty() {
            return Ok(());
        }
        if pieces.len() > self.queue.max_capacity() {
            return Err(SendError::Full);
        }
        let places = self.queue.try_reserve_many(pieces.len()).map_err(full)?;
        let rooms = pieces
            .iter()
            .map(|piece| Arc::clone(&self.room).try_acquire_many_owned(size(piece)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| SendError::Full)?;
        for ((place, piece), room) in places.zip(pieces).zip(rooms) {
            place.send(Waiting { piece, _room: room });
        }
        Ok(())
    }

    /// Whether the link has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.over.is_cancelled() || self.queue.is_closed()
    }

    /// Waits until the link has ended.
    pub async fn closed(&self) {
        tokio::select! {
            () = self.over.cancelled() => {}
            () = self.queue.closed() => {}
        }
    }
}

fn pieces(message: ToWorker) -> Result<Vec<Bytes>, SendError> {
    frame::pieces(message).map_err(|over| SendError::TooLarge(over.1))
}

fn size(piece: &Bytes) -> u32 {
    u32::try_from(piece.len()).expect("a piece fits a frame")
}

/// What waits in a link, as frames. They are made when the connection has room for one, so what
/// comes while it is busy shares them.
pub(super) struct Frames {
    waiting: mpsc::Receiver<Waiting>,
    batch: Batch,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream for Frames {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if this.over.as_mut().poll(context).is_ready() {
            this.waiting.close();
            return Poll::Ready(None);
        }
        while !this.batch.is_full() {
            match this.waiting.poll_recv(context) {
                Poll::Ready(Some(next)) => this.batch.push(next.piece),
                Poll::Ready(None) => return Poll::Ready(this.batch.take()),
                Poll::Pending => break,
            }
        }
        this.batch.take().map_or(Poll::Pending, |frame| Poll::Ready(Some(frame)))
    }
}

/// Hears what a worker says.
#[derive(Debug)]
pub struct LinkReceiver {
    stream: Streaming<Bytes>,
    trouble: Trouble,
    heard: VecDeque<FromWorker>,
    ended: bool,
    over: CancellationToken,
    _over: DropGuard,
}

impl LinkReceiver {
    /// What comes over the stream. When it has ended, or is dropped, the link is over.
    pub(super) fn new(stream: Streaming<Bytes>, trouble: Trouble, over: CancellationToken) -> Self {
        let _over = over.clone().drop_guard();
        Self { stream, trouble, heard: VecDeque::new(), ended: false, over, _over }
    }

    /// The next thing that the worker says; none when the link has ended in order, or after an
    /// error. When the call is dropped, nothing is lost.
    ///
    /// A link ends when this is dropped.
    pub async fn recv(&mut self) -> Option<Result<FromWorker, LinkError>> {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Some(Ok(message));
            }
            if self.ended {
                return None;
            }
            let error = match self.stream.message().await {
                Ok(Some(bytes)) => match frame::decode_from_worker(&bytes) {
                    Ok(messages) => {
                        self.heard.extend(messages);
                        continue;
                    }
                    Err(error) => LinkError::Protocol(error.to_string()),
                },
                Ok(None) => {
                    self.end();
                    return None;
                }
                Err(status) => understand(&status, &self.trouble),
            };
            self.end();
            return Some(Err(error));
        }
    }

    fn end(&mut self) {
        self.ended = true;
        // The sender learns it now, not only when this is dropped.
        self.over.cancel();
    }
}
