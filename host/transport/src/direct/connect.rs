//! How a coordinator comes to a link: socket, TLS, HTTP/2, hello.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;

use super::codec::BytesCodec;
use super::life::{Felt, Life, Lively};
use super::refusal::understand;
use super::socket::{Pipe, Trouble, Watched, prepare};
use super::{BlobClient, LinkError, LinkReceiver, LinkSender, Method};
use crate::message::{Goodbye, Hello, ToWorker, Versions, Welcome};
use crate::security::{ClientSecurity, explain_as_client};
use crate::{
    Address, CONNECT_TIMEOUT, CONNECTION_WINDOW, HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, MAX_HEADERS, MAX_HELLO, MAX_RECEIVED_FRAME, SEND_BUFFER, STREAM_WINDOW,
    frame,
};

/// The header that carries the hello.
pub(super) const HELLO: &str = "sandmill-hello-bin";
/// What stands where a URL has its host: links go where their socket goes.
const ORIGIN: &str = "http://sandmill";
/// How long the library waits for the answer to its own question whether the other side is there. As
/// good as for ever: over a slow link the answer may stand behind much else, and a connection over
/// which no byte comes at all is given up long before.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a coordinator waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the socket is connected.
    pub connect: Duration,
    /// From then until the worker has answered the hello.
    pub handshake: Duration,
    /// While nothing comes, before it asks whether the worker is there.
    pub keepalive_interval: Duration,
    /// For the answer to that: where no byte at all has come by then, the connection counts as lost.
    pub keepalive_timeout: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
        }
    }
}

/// A link with a worker. The connection goes when all parts of it are dropped, or when the link
/// has ended.
#[derive(Debug)]
pub struct Connection {
    /// Says things to the worker.
    pub sender: LinkSender,
    /// Hears what it says.
    pub receiver: LinkReceiver,
    /// Large values.
    pub blobs: BlobClient,
    /// What is noted of the bytes that come.
    pub life: Life,
}

/// Connects to a worker and says hello. Only after the worker has shown that it is one (over TLS)
/// and has taken the hello is there anything to send with.
///
/// # Errors
/// Why there is no link.
pub async fn connect(
    address: &Address,
    security: &ClientSecurity,
    hello: Hello,
    timeouts: Timeouts,
) -> Result<(Welcome, Connection), LinkError> {
    let timed_out = |what, after| LinkError::TimedOut { what, after };
    let pipe = tokio::time::timeout(timeouts.connect, dial(address, security))
        .await
        .map_err(|_| timed_out("connecting", timeouts.connect))??;
    let deadline = Instant::now() + timeouts.handshake;
    timeout_at(deadline, greet(address, pipe, security, hello, timeouts))
        .await
        .map_err(|_| timed_out("the handshake", timeouts.handshake))?
}

/// The socket, without anything said over it.
pub(super) async fn dial(
    address: &Address,
    security: &ClientSecurity,
) -> Result<Box<dyn Pipe>, LinkError> {
    let cannot = |error: io::Error| LinkError::Connect {
        address: address.to_string(),
        why: error.to_string(),
    };
    let tcp = |stream: TcpStream| {
        prepare(&stream).map_err(cannot)?;
        Ok::<Box<dyn Pipe>, LinkError>(Box::new(stream))
    };
    match address {
        Address::Tls { host, port } => {
            if matches!(security, ClientSecurity::Plain) {
                return Err(LinkError::Security(format!(
                    "{address} takes a certificate or a join token: give the files that `sandmill \
                     cert issue submit` makes, or the token that the worker shows"
                )));
            }
            tcp(TcpStream::connect((host.as_str(), *port)).await.map_err(cannot)?)
        }
        Address::Tcp(address) => tcp(TcpStream::connect(address).await.map_err(cannot)?),
        Address::Unix(path) => {
            Ok(Box::new(UnixStream::connect(path).await.map_err(cannot)?) as Box<dyn Pipe>)
        }
    }
}

/// TLS, where the address has it, and HTTP/2.
pub(super) async fn enter(
    address: &Address,
    pipe: Box<dyn Pipe>,
    security: &ClientSecurity,
    timeouts: Timeouts,
) -> Result<(Http, Trouble), LinkError> {
    let silence = timeouts.keepalive_interval + timeouts.keepalive_timeout;
    let pipe: Box<dyn Pipe> = Box::new(Felt::new(pipe, silence));
    let pipe: Box<dyn Pipe> = match (address, security) {
        (Address::Tls { host, .. }, ClientSecurity::Tls(tls)) => {
            Box::new(tls.connect(host, pipe).await.map_err(|error| explain_as_client(&error))?)
        }
        _ => pipe,
    };
    let trouble = Trouble::default();
    let watched = Watched::new(pipe, trouble.clone(), explain_as_client);
    let http = Http::start(watched, &trouble, timeouts).await?;
    Ok((http, trouble))
}

async fn greet(
    address: &Address,
    pipe: Box<dyn Pipe>,
    security: &ClientSecurity,
    hello: Hello,
    timeouts: Timeouts,
) -> Result<(Welcome, Connection), LinkError> {
    let (http, trouble) = enter(address, pipe, security, timeouts).await?;

    let written = frame::encode(&hello);
    if written.len() > MAX_HELLO {
        return Err(LinkError::Security(format!(
            "the hello has {} bytes, and may have {MAX_HELLO}: use a shorter name",
            written.len()
        )));
    }
    let over = CancellationToken::new();
    let (sender, frames) = LinkSender::new(&over);
    let mut request = Request::new(frames);
    request.metadata_mut().insert_bin(HELLO, MetadataValue::from_bytes(&written));
    let mut grpc = http.grpc(MAX_RECEIVED_FRAME);
    let ready = grpc.ready().await;
    ready.map_err(|error| trouble.error().unwrap_or_else(|| LinkError::Lost(error.to_string())))?;
    let path = PathAndQuery::from_static(Method::Open.path());
    let response = grpc
        .streaming(request, path, BytesCodec)
        .await
        .map_err(|status| understand(&status, &trouble))?;
    let mut stream = response.into_inner();
    let first = stream
        .message()
        .await
        .map_err(|status| understand(&status, &trouble))?
        .ok_or_else(|| LinkError::Protocol("it ended the link without a welcome".to_owned()))?;
    let welcome =
        frame::decode_welcome(&first).map_err(|error| LinkError::Protocol(error.to_string()))?;
    let spoken = welcome.protocol;
    if spoken < hello.versions.least || spoken > hello.versions.most {
        let goodbye = Goodbye::Version {
            ours: hello.versions,
            theirs: Versions { least: spoken, most: spoken },
        };
        // The worker should hear why; whether it does is its affair.
        let _ = sender.send(ToWorker::Goodbye(goodbye.clone())).await;
        drop(sender);
        // Until the worker has read it and ends the link, or the handshake's time is over.
        while let Ok(Some(_)) = stream.message().await {}
        return Err(LinkError::Version { ours: hello.versions, theirs: spoken });
    }
    let receiver = LinkReceiver::new(stream, trouble.clone(), over);
    let life = http.life.clone();
    let blobs = BlobClient::new(http, trouble);
    Ok((welcome, Connection { sender, receiver, blobs, life }))
}

/// One HTTP/2 connection. It goes when all clones and all requests are done.
#[derive(Debug, Clone)]
pub(super) struct Http {
    requests: SendRequest<Body>,
    life: Life,
}

impl Http {
    async fn start(
        pipe: Watched,
        trouble: &Trouble,
        timeouts: Timeouts,
    ) -> Result<Self, LinkError> {
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(timeouts.keepalive_interval)
            .keep_alive_timeout(ANSWER_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(pipe))
            .await
            .map_err(|error| {
                trouble.error().unwrap_or_else(|| LinkError::Lost(error.to_string()))
            })?;
        let trouble = trouble.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                trouble.keep(LinkError::Lost(with_causes(&error)));
            }
        });
        Ok(Self { requests, life: Life::default() })
    }

    /// A client that takes messages of up to `limit` bytes.
    pub(super) fn grpc(&self, limit: usize) -> Grpc<Self> {
        Grpc::with_origin(self.clone(), http::Uri::from_static(ORIGIN))
            .max_decoding_message_size(limit)
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

impl tower::Service<http::Request<Body>> for Http {
    type Response = http::Response<Lively<Incoming>>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.requests.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (sent, life) = (self.requests.send_request(request), self.life.clone());
        Box::pin(async move { Ok(sent.await?.map(|body| Lively::new(body, &life))) })
    }
}
