//! Whether anything comes over a connection, as it comes and not only when it is whole: that tells a
//! peer behind a slow link from one that is gone. What follows from silence is for whoever asks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sandmill_core::units::format_duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::socket::Pipe;

/// How often in the time of a silence it is looked whether it lasts.
const LOOKS: u32 = 14;

/// What is noted of the messages and values that come over one connection. Clones are of the same.
#[derive(Debug, Clone)]
pub struct Life(Arc<Noted>);

#[derive(Debug)]
struct Noted {
    began: Instant,
    /// When a part of a message or value last came: microseconds since it began, and one; 0 where
    /// none did.
    carried: AtomicU64,
    /// The same of values that go the other way.
    gave: AtomicU64,
}

impl Default for Life {
    fn default() -> Self {
        Self(Arc::new(Noted {
            began: Instant::now(),
            carried: AtomicU64::new(0),
            gave: AtomicU64::new(0),
        }))
    }
}

impl Life {
    /// When a part of a message or of a value last came, however small; none where there was none.
    /// What keeps the connection itself open does not count.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.0.at(&self.0.carried)
    }

    /// When there was room for another part of a value that was asked for on its way to the other side;
    /// none where there was none.
    #[must_use]
    pub fn gave(&self) -> Option<Instant> {
        self.0.at(&self.0.gave)
    }

    fn carried(&self) {
        self.0.note(&self.0.carried);
    }

    pub(super) fn gives(&self) {
        self.0.note(&self.0.gave);
    }
}

impl Noted {
    fn at(&self, what: &AtomicU64) -> Option<Instant> {
        let micros = what.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_micros(micros))
    }

    fn note(&self, what: &AtomicU64) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX - 1);
        what.store(micros + 1, Ordering::Relaxed);
    }
}

/// A socket that fails when no byte at all has come over it for so long. Time in which this process
/// stood still does not count: what came meanwhile has not been read yet.
pub(super) struct Felt {
    pipe: Box<dyn Pipe>,
    limit: Duration,
    next_look: Pin<Box<Sleep>>,
    /// Looks in a row at which nothing had come.
    silent: u32,
    came: bool,
}

impl Felt {
    /// To be made within a runtime with a clock.
    pub(super) fn new(pipe: Box<dyn Pipe>, limit: Duration) -> Self {
        Self { pipe, limit, next_look: Box::pin(sleep(limit / LOOKS)), silent: 0, came: false }
    }

    /// Fails where there has been silence for too long. Asked wherever the socket makes somebody wait,
    /// also for room to write: what waits for that does not read.
    fn or_silence<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        while self.next_look.as_mut().poll(context).is_ready() {
            self.silent = if std::mem::take(&mut self.came) { 0 } else { self.silent + 1 };
            if self.silent >= LOOKS {
                let words = format!("nothing came for {}", format_duration(self.limit));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)));
            }
            self.next_look.set(sleep(self.limit / LOOKS));
        }
        Poll::Pending
    }
}

impl AsyncRead for Felt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.pipe).poll_read(context, buffer);
        self.came |= buffer.filled().len() > before;
        self.or_silence(polled, context)
    }
}

impl AsyncWrite for Felt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.pipe).poll_write(context, bytes);
        self.or_silence(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.pipe).poll_flush(context);
        self.or_silence(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.pipe).poll_shutdown(context);
        self.or_silence(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.pipe).poll_write_vectored(context, slices);
        self.or_silence(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }
}

/// The body of a request or of an answer that notes when parts of it come: a message may be long on
/// its way, and comes in parts of 16 KiB.
pub(super) struct Lively<B> {
    body: B,
    life: Life,
}

impl<B> Lively<B> {
    pub(super) fn new(body: B, life: &Life) -> Self {
        Self { body, life: life.clone() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lively<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.is_data()
        {
            self.life.carried();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// For longer than a silence may last a byte comes now and then, and after that none.
    #[tokio::test]
    async fn a_socket_fails_when_no_byte_comes_and_not_when_few_do() {
        let limit = Duration::from_millis(1_400);
        let (mut there, here) = tokio::io::duplex(64);
        let mut felt = Felt::new(Box::new(here), limit);
        let began = Instant::now();
        while began.elapsed() < limit + limit / 2 {
            let drip = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                there.write_all(b"x").await.unwrap();
            };
            let (_, read) = tokio::join!(drip, felt.read_u8());
            assert_eq!(read.unwrap(), b'x');
        }
        let error = felt.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "nothing came for 1.4s");
    }

    /// Somebody who does not read either must not keep whoever writes waiting.
    #[tokio::test]
    async fn a_write_fails_too_when_no_byte_comes() {
        let (_there, here) = tokio::io::duplex(64);
        let mut felt = Felt::new(Box::new(here), Duration::from_millis(140));
        let error = felt.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn parts_of_messages_are_noted() {
        let life = Life::default();
        let before = Instant::now();
        assert_eq!(life.heard(), None);
        life.carried();
        let heard = life.heard().unwrap();
        assert!(heard + Duration::from_millis(1) > before && heard <= Instant::now());
    }
}
