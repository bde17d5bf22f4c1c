//! The link at the worker's side: what its coordinator says goes to the service, what the service
//! says goes to the coordinator in as few frames as it needs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::{Status, Streaming};

use super::refusal::{is_too_large, understand};
use super::server_connection::Guest;
use super::{LinkError, Notice};
use crate::MAX_FRAME;
use crate::frame::{self, Batch};
use crate::message::{Ending, FromWorker, Goodbye, ToWorker, Welcome};
use sandmill_wire::{End, EndKind};

/// What the listening half of a link holds of the other.
pub(super) struct Ends {
    /// Cancelled when the other half is gone.
    over: CancellationToken,
    /// Has the link end with this.
    goodbye: oneshot::Sender<Goodbye>,
}

/// What a worker says, as frames. When it ends, or is dropped with its connection, the link is
/// over.
pub(super) struct ToCoordinator {
    guest: Arc<Guest>,
    from_worker: mpsc::Receiver<FromWorker>,
    batch: Batch,
    /// The welcome, which is a frame of its own.
    first: Option<Bytes>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    goodbye: Option<oneshot::Receiver<Goodbye>>,
    /// The last message has been put into the batch.
    last: bool,
    _over: DropGuard,
    _done: DropGuard,
}

impl ToCoordinator {
    pub(super) fn new(
        guest: &Arc<Guest>,
        welcome: &Welcome,
        from_worker: mpsc::Receiver<FromWorker>,
    ) -> (Self, Ends) {
        let over = CancellationToken::new();
        let (say, goodbye) = oneshot::channel();
        let welcome = frame::encode(welcome);
        let fits = welcome.len() <= MAX_FRAME;
        let mut frames = Self {
            guest: Arc::clone(guest),
            from_worker,
            batch: Batch::default(),
            first: fits.then_some(welcome),
            stopped: Box::pin(guest.server.stop.clone().cancelled_owned()),
            goodbye: Some(goodbye),
            last: false,
            _over: over.clone().drop_guard(),
            _done: guest.done.clone().drop_guard(),
        };
        if !fits {
            frames.too_large("its welcome, which holds too much".to_owned());
            frames.last = true;
        }
        (frames, Ends { over, goodbye: say })
    }

    /// Puts a message into the batch.
    fn add(&mut self, message: FromWorker) {
        if matches!(message, FromWorker::Goodbye(_)) {
            self.last = true;
            self.guest.parts();
        }
        match frame::pieces(message) {
            Ok(pieces) => pieces.into_iter().for_each(|piece| self.batch.push(piece)),
            Err(over) => self.add_shorter(over.0, over.1),
        }
    }

    /// Says as much as can be said of a message that does not fit. Services see to it that this
    /// does not happen; if it does, the link must not end over it, time and again.
    fn add_shorter(&mut self, message: FromWorker, size: usize) {
        match message {
            FromWorker::Ended(mut reports) => {
                for report in &mut reports {
                    self.too_large(format!("the end of run {}: {size} bytes", report.of.run));
                    report.ending = Ending::Ended(End::new(
                        EndKind::HostError,
                        format!("what the worker had to say of its end has {size} bytes, too many"),
                    ));
                }
                if let Ok(pieces) = frame::pieces(FromWorker::Ended(reports)) {
                    pieces.into_iter().for_each(|piece| self.batch.push(piece));
                }
            }
            FromWorker::HandBack(mut runs) => {
                for run in &mut runs {
                    self.too_large(format!("why run {} is given back", run.of.run));
                    run.why = Some("for reasons that are too long to be sent".to_owned());
                }
                if let Ok(pieces) = frame::pieces(FromWorker::HandBack(runs)) {
                    pieces.into_iter().for_each(|piece| self.batch.push(piece));
                }
            }
            other => {
                let kind = match other {
                    FromWorker::Notes(_) => "what a run said",
                    _ => "a message",
                };
                self.too_large(format!("{kind}: {size} bytes"));
            }
        }
    }

    fn too_large(&self, what: String) {
        let peer = self.guest.peer.to_string();
        self.guest.server.options.notices.notice(Notice::TooLarge { peer, what });
    }

    /// What the listening half has the link end with.
    fn told_to_end(&mut self, context: &mut Context<'_>) -> Option<Goodbye> {
        let Poll::Ready(told) = Pin::new(self.goodbye.as_mut()?).poll(context) else {
            return None;
        };
        // The other half is gone, with a word or without.
        self.goodbye = None;
        told.ok()
    }

    /// Ends the link once what waits has been sent.
    fn end(&mut self, goodbye: Goodbye) {
        while let Ok(message) = self.from_worker.try_recv() {
            if self.last || self.batch.is_full() {
                break;
            }
            self.add(message);
        }
        if !self.last {
            self.add(FromWorker::Goodbye(goodbye));
        }
    }
}

impl Stream for ToCoordinator {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(welcome) = this.first.take() {
            return Poll::Ready(Some(Ok(welcome)));
        }
        if !this.last {
            if let Some(goodbye) = this.told_to_end(context) {
                this.add(FromWorker::Goodbye(goodbye));
            } else if this.stopped.as_mut().poll(context).is_ready() {
                this.end(Goodbye::Leaving("the worker is going away".to_owned()));
            }
        }
        while !this.last && !this.batch.is_full() {
            match this.from_worker.poll_recv(context) {
                Poll::Ready(Some(message)) => this.add(message),
                Poll::Ready(None) => this.last = true,
                Poll::Pending => break,
            }
        }
        match this.batch.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if this.last => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Gives what a coordinator says to the service, until either side ends.
pub(super) async fn listen(
    guest: Arc<Guest>,
    mut stream: Streaming<Bytes>,
    to_worker: mpsc::Sender<ToWorker>,
    ends: Ends,
) {
    let Ends { over, goodbye } = ends;
    let heard = over.run_until_cancelled(hear(&guest, &mut stream, &to_worker)).await;
    // The service sees the link's end first.
    drop(to_worker);
    match heard {
        Some(Err(LinkError::Protocol(why))) => {
            guest.broke(LinkError::Protocol(why.clone()).to_string());
            // It may be gone already.
            let _ = goodbye.send(Goodbye::Protocol(why));
        }
        Some(Err(error)) => {
            guest.broke(error.to_string());
            // The connection may still stand where only this request was taken back.
            guest.done.cancel();
        }
        _ => {}
    }
}

async fn hear(
    guest: &Guest,
    stream: &mut Streaming<Bytes>,
    to_worker: &mpsc::Sender<ToWorker>,
) -> Result<(), LinkError> {
    loop {
        let bytes = match stream.message().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(status) if is_too_large(status.message()) => {
                let why = format!("a frame of more than {} bytes", crate::MAX_RECEIVED_FRAME);
                return Err(LinkError::Protocol(why));
            }
            Err(status) => return Err(understand(&status, &guest.trouble)),
        };
        let messages = frame::decode_to_worker(&bytes)
            .map_err(|error| LinkError::Protocol(error.to_string()))?;
        for message in messages {
            if matches!(message, ToWorker::Goodbye(_)) {
                guest.parts();
            }
            if to_worker.send(message).await.is_err() {
                return Ok(());
            }
        }
    }
}
