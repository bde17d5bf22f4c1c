//! One connection as a server sees it: TLS, HTTP/2, who may call what, and the end of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::connect::ANSWER_TIMEOUT;
use super::life::{Felt, Life, Lively};
use super::requests::answer;
use super::serve::Server;
use super::socket::{Pipe, Trouble, Watched};
use super::strangers::Stranger;
use super::{LinkError, Notice, Peer};
use crate::cert::describe_der;
use crate::security::{Role, ServerSecurity, explain_as_server};
use crate::{
    CONNECTION_WINDOW, LINGER, MAX_HEADERS, MAX_STREAMS, SEND_BUFFER, STOP_TIMEOUT, STREAM_WINDOW,
    UNSENT,
};

/// Bytes that are read from a side that was refused, so that it can read why.
const MAX_LINGER_BYTES: u64 = 64 << 10;
/// Requests that the other side takes back before they were looked at, and errors of its own, that
/// a connection may have; one with more is closed (CVE-2023-44487).
const MAX_RESETS: usize = 64;

/// What the requests of one connection share.
pub(super) struct Guest {
    pub(super) server: Arc<Server>,
    pub(super) peer: Peer,
    pub(super) trouble: Trouble,
    /// There until the hello was taken.
    stranger: Mutex<Option<Stranger>>,
    /// Cancelled when the connection has no more use: its link has ended, or was refused.
    pub(super) done: CancellationToken,
    /// Why the link ends has been said, by either side or in a notice.
    parted: AtomicBool,
}

impl Guest {
    /// Takes it from among the strangers; false if it was taken before.
    pub(super) fn greeted(&self) -> bool {
        self.stranger.lock().take().is_some()
    }

    /// That it goes, and why, has been said.
    pub(super) fn parts(&self) {
        self.parted.store(true, Ordering::Release);
    }

    /// The link broke. Both halves of it and the connection see that; it is told once.
    pub(super) fn broke(&self, why: String) {
        if !self.parted.swap(true, Ordering::AcqRel) {
            let peer = self.peer.to_string();
            self.server.options.notices.notice(Notice::Broken { peer, why });
        }
    }

    /// Whether it has not said hello.
    pub(super) fn is_stranger(&self) -> bool {
        self.stranger.lock().is_some()
    }
}

/// Serves one connection to its end.
pub(super) async fn attend(
    server: Arc<Server>,
    pipe: Box<dyn Pipe>,
    address: String,
    stranger: Stranger,
) {
    let deadline = Instant::now() + server.options.handshake;
    let gone = stranger.gone.clone();
    let life = Life::default();
    let silence = server.options.keepalive_interval + server.options.keepalive_timeout;
    let pipe = Box::new(Felt::new(pipe, silence));
    let entered = tokio::select! {
        entered = enter(&server, pipe, &address, life) => entered,
        () = server.stop.cancelled() => return,
        why = too_slow(deadline, &gone) => Err(why.to_owned()),
    };
    let (pipe, peer) = match entered {
        Ok(entered) => entered,
        Err(why) => return server.refused(&address, why),
    };
    let trouble = Trouble::default();
    let watched = Watched::new(pipe, trouble.clone(), explain_as_server);
    let guest = Arc::new(Guest {
        server,
        peer,
        trouble,
        stranger: Mutex::new(Some(stranger)),
        done: CancellationToken::new(),
        parted: AtomicBool::new(false),
    });
    converse(&guest, watched, deadline, &gone).await;
}

/// Resolves when a stranger has to go, with why.
async fn too_slow(deadline: Instant, gone: &CancellationToken) -> &'static str {
    tokio::select! {
        () = sleep_until(deadline) => "it did not say hello in time",
        () = gone.cancelled() => "there are too many that have not said hello",
    }
}

/// TLS, where there is any, and who it is.
async fn enter(
    server: &Server,
    pipe: Box<dyn Pipe>,
    address: &str,
    life: Life,
) -> Result<(Box<dyn Pipe>, Peer), String> {
    let ServerSecurity::Tls(tls) = &server.security else {
        let (name, address) = ("local".to_owned(), address.to_owned());
        let peer = Peer { name, role: Role::Submit, address, life };
        return Ok((pipe, peer));
    };
    let accepting = tls
        .acceptor()
        .accept_with(pipe, |tls| tls.set_buffer_limit(Some(UNSENT as usize)))
        .into_fallible();
    let stream = match accepting.await {
        Ok(stream) => stream,
        Err((error, pipe)) => {
            linger(pipe).await;
            return Err(said(&error));
        }
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or("it showed no certificate")?;
    let info = describe_der(certificate).map_err(|error| error.to_string())?;
    let role = info.role.ok_or("its certificate has no role")?;
    let peer = Peer { name: info.subject, role, address: address.to_owned(), life };
    Ok((Box::new(stream), peer))
}

fn said(error: &io::Error) -> String {
    match explain_as_server(error) {
        LinkError::Lost(why) => format!("it left during the handshake: {why}"),
        other => other.to_string(),
    }
}

/// Waits for a moment until the other side has read why it is refused: to close at once, with
/// something unread from it, would take that from it.
async fn linger(mut pipe: Box<dyn Pipe>) {
    let reading = async {
        pipe.shutdown().await?;
        let mut rest = pipe.take(MAX_LINGER_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whether it read it is its affair.
    let _ = timeout(LINGER, reading).await;
}

async fn converse(guest: &Arc<Guest>, pipe: Watched, deadline: Instant, gone: &CancellationToken) {
    let server = &guest.server;
    let calls = Arc::clone(guest);
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let guest = Arc::clone(&calls);
        let request = request.map(|body| Lively::new(body, &guest.peer.life));
        async move { Ok::<http::Response<Body>, std::convert::Infallible>(answer(guest, request).await) }
    });
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS)
        .keep_alive_interval(server.options.keepalive_interval)
        .keep_alive_timeout(ANSWER_TIMEOUT)
        .serve_connection(TokioIo::new(pipe), service);
    tokio::pin!(connection);

    let strange = too_slow(deadline, gone);
    tokio::pin!(strange);
    let mut judged = false;
    let last: Duration = loop {
        tokio::select! {
            ended = connection.as_mut() => return over(guest, ended.err().as_ref()),
            () = guest.done.cancelled() => break LINGER,
            () = server.stop.cancelled() => break STOP_TIMEOUT,
            why = &mut strange, if !judged => {
                judged = true;
                if guest.is_stranger() {
                    // Not a moment more: whoever was slow so far would be slow to leave.
                    return server.refused(&guest.peer, why);
                }
            }
        }
    };
    connection.as_mut().graceful_shutdown();
    // What is said still goes out; then the connection goes, whoever holds it.
    let _ = timeout(last, connection).await;
}

/// A connection has ended by itself.
fn over(guest: &Guest, error: Option<&hyper::Error>) {
    let Some(error) = error else { return };
    let why = match guest.trouble.error() {
        Some(LinkError::Lost(why)) => why,
        Some(other) => other.to_string(),
        None => with_causes(error),
    };
    if guest.is_stranger() {
        guest.server.refused(&guest.peer, format!("it does not speak the protocol: {why}"));
    } else {
        guest.broke(why);
    }
}

fn with_causes(error: &hyper::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
