//! Connections below HTTP/2: sockets of either kind, with or without TLS, and a note of what went
//! wrong on them, which otherwise is lost on the way up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::LinkError;
use crate::UNSENT;

/// A connection of any kind.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Sets what links need of TCP: small messages go at once, and little is held unsent, so that a
/// heartbeat does not wait behind a value on a slow link.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// What first went wrong on a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<LinkError>>>);

impl Trouble {
    /// What it was.
    pub(super) fn error(&self) -> Option<LinkError> {
        self.0.lock().clone()
    }

    /// Keeps what went wrong, unless something did before.
    pub(super) fn keep(&self, error: LinkError) {
        self.0.lock().get_or_insert(error);
    }
}

/// A connection whose errors are kept.
pub(super) struct Watched {
    pipe: Box<dyn Pipe>,
    trouble: Trouble,
    explain: fn(&io::Error) -> LinkError,
}

impl Watched {
    pub(super) fn new(
        pipe: Box<dyn Pipe>,
        trouble: Trouble,
        explain: fn(&io::Error) -> LinkError,
    ) -> Self {
        Self { pipe, trouble, explain }
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            self.trouble.keep((self.explain)(error));
        }
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.pipe).poll_read(context, buffer);
        self.note(polled)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What a write says ("broken pipe") is less than what can still be read (why the other
        // side closed), so it is not kept.
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }
}
