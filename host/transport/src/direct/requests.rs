//! The requests of one connection, each against the table of who may call what.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use sandmill_wire::Digest;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};

use super::blobs::{DIGEST, FROM, SIZE, header};
use super::chunks::{ChunkError, ChunkStream, Progress, cut};
use super::codec::BytesCodec;
use super::connect::HELLO;
use super::life::Lively;
use super::pump::{ToCoordinator, listen};
use super::refusal::{refuse, understand};
use super::server_connection::Guest;
use super::{Method, Notice, OpenLink};
use crate::message::{Goodbye, Hello, Versions};
use crate::{MAX_BLOB, MAX_HELLO, MAX_RECEIVED_CHUNK, MAX_RECEIVED_FRAME, frame};

/// The longest heartbeat and grace that a coordinator may ask for.
const MAX_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers one request.
pub(super) async fn answer(
    guest: Arc<Guest>,
    request: http::Request<Lively<Incoming>>,
) -> http::Response<Body> {
    let Some(method) = Method::of_path(request.uri().path()) else {
        guest.server.refused(&guest.peer, "it asked for what there is not");
        return Status::unimplemented("there is no such method").into_http();
    };
    if let Err(goodbye) = may(&guest, method) {
        guest.server.refused(&guest.peer, &goodbye);
        if guest.is_stranger() {
            guest.done.cancel();
        }
        return refuse(goodbye).into_http();
    }
    let grpc = Grpc::new(BytesCodec);
    match method {
        Method::Open => {
            let service = tower::service_fn(move |request| open(Arc::clone(&guest), request));
            grpc.max_decoding_message_size(MAX_RECEIVED_FRAME).streaming(service, request).await
        }
        Method::Put => {
            let service = tower::service_fn(move |request| put(Arc::clone(&guest), request));
            grpc.max_decoding_message_size(MAX_RECEIVED_CHUNK).streaming(service, request).await
        }
        Method::Get => {
            let service = tower::service_fn(move |request| get(Arc::clone(&guest), request));
            grpc.max_decoding_message_size(MAX_RECEIVED_CHUNK)
                .server_streaming(service, request)
                .await
        }
        Method::Status => {
            let service = tower::service_fn(move |_: Request<Bytes>| status(Arc::clone(&guest)));
            grpc.max_decoding_message_size(MAX_HELLO).unary(service, request).await
        }
    }
}

fn may(guest: &Guest, method: Method) -> Result<(), Goodbye> {
    if !method.allows(guest.peer.role) {
        return Err(Goodbye::Forbidden(method.refuse(guest.peer.role)));
    }
    match (method, guest.is_stranger()) {
        (Method::Open, true) | (Method::Put | Method::Get, false) | (Method::Status, _) => Ok(()),
        (Method::Open, false) => Err(Goodbye::Protocol("it said hello twice".to_owned())),
        (_, true) => Err(Goodbye::Protocol("it did not say hello first".to_owned())),
    }
}

type Frames = ToCoordinator;

async fn open(
    guest: Arc<Guest>,
    request: Request<Streaming<Bytes>>,
) -> Result<Response<Frames>, Status> {
    let opened = match hello(&request) {
        Ok(hello) => guest.server.service.open(&guest.peer, hello).await,
        Err(goodbye) => Err(goodbye),
    };
    let link = match opened {
        Ok(link) if guest.greeted() => link,
        Ok(_) => return Err(refuse(Goodbye::Protocol("it said hello twice".to_owned()))),
        Err(goodbye) => {
            guest.server.refused(&guest.peer, &goodbye);
            guest.done.cancel();
            return Err(refuse(goodbye));
        }
    };
    let peer = guest.peer.to_string();
    guest.server.options.notices.notice(Notice::Opened { peer });
    let OpenLink { welcome, to_worker, from_worker } = link;
    let (frames, ends) = ToCoordinator::new(&guest, &welcome, from_worker);
    tokio::spawn(listen(guest, request.into_inner(), to_worker, ends));
    Ok(Response::new(frames))
}

fn hello(request: &Request<Streaming<Bytes>>) -> Result<Hello, Goodbye> {
    let broken = |why: &str| Goodbye::Protocol(why.to_owned());
    let header = request.metadata().get_bin(HELLO).ok_or_else(|| broken("there is no hello"))?;
    let bytes = header.to_bytes().map_err(|_| broken("its hello is not base64"))?;
    if bytes.len() > MAX_HELLO {
        return Err(broken("its hello is too large"));
    }
    let hello = frame::decode_hello(&bytes).map_err(|error| broken(&error.to_string()))?;
    if Versions::OURS.common(hello.versions).is_none() {
        return Err(Goodbye::Version { ours: Versions::OURS, theirs: hello.versions });
    }
    if hello.heartbeat.is_zero() || hello.heartbeat > MAX_GRACE || hello.grace > MAX_GRACE {
        return Err(broken("its heartbeat or grace is not a time between 0 and 24 hours"));
    }
    Ok(hello)
}

/// Takes a value. Where its sender is to begin is said at once, what came of it once it is known.
async fn put(
    guest: Arc<Guest>,
    request: Request<Streaming<Bytes>>,
) -> Result<Response<Taking>, Status> {
    let (digest, size) = match (
        header::<Digest>(request.metadata(), DIGEST),
        header::<u64>(request.metadata(), SIZE),
    ) {
        (Some(digest), Some(size)) if size <= MAX_BLOB => (digest, size),
        (Some(_), Some(size)) => {
            let why = format!("a value of {size} bytes, and there may be {MAX_BLOB}");
            return Err(refused(&guest, Goodbye::Protocol(why)));
        }
        _ => {
            let why = "a value without its digest and size".to_owned();
            return Err(refused(&guest, Goodbye::Protocol(why)));
        }
    };
    let trouble = guest.trouble.clone();
    let chunks = request.into_inner().map(move |chunk| {
        chunk.map_err(|status| ChunkError::BrokenOff(understand(&status, &trouble).to_string()))
    });
    let (chunks, mut begins, progress) = ChunkStream::new(digest, size, chunks).of_waiting();
    let mut taking = Taking::Going(Box::pin(take(guest, digest, size, chunks, progress)));
    let from = tokio::select! {
        biased;
        Ok(from) = &mut begins => from,
        // It needs none of them, or does not take them.
        taken = std::future::poll_fn(|context| Pin::new(&mut taking).poll_taken(context)) => {
            taken?;
            taking = Taking::Taken;
            size
        }
    };
    let mut response = Response::new(taking);
    response.metadata_mut().insert(FROM, from.into());
    Ok(response)
}

async fn take(
    guest: Arc<Guest>,
    digest: Digest,
    size: u64,
    chunks: ChunkStream,
    progress: Arc<Progress>,
) -> Result<(), Status> {
    let mut breaks = Breaks { guest: &guest, digest, size, progress, is_over: false };
    let taken = guest.server.service.put(&guest.peer, digest, size, chunks).await;
    // Where it broke off, nobody refused anything.
    breaks.is_over = taken.is_ok() || breaks.progress.broke().is_none();
    taken.map_err(|goodbye| if breaks.is_over { refused(&guest, goodbye) } else { refuse(goodbye) })
}

/// Tells of a value that broke off, also where nobody waits for it any more.
struct Breaks<'a> {
    guest: &'a Guest,
    digest: Digest,
    size: u64,
    progress: Arc<Progress>,
    is_over: bool,
}

impl Drop for Breaks<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (came, size, digest) = (self.progress.came(), self.size, self.digest);
        let trouble = || self.guest.trouble.error().map(|error| error.to_string());
        let why = self.progress.broke().or_else(trouble);
        let why = why.unwrap_or_else(|| "its sender let go of it".to_owned());
        let peer = self.guest.peer.to_string();
        let what = format!("{came} of the {size} bytes of {digest} came: {why}");
        self.guest.server.options.notices.notice(Notice::BrokenOff { peer, what });
    }
}

/// A value that is being taken, as the answer to its sender: empty once it is.
enum Taking {
    Going(Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>),
    /// That is to be told still.
    Taken,
    Told,
}

impl Taking {
    fn poll_taken(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match &mut *self {
            Self::Going(taking) => taking.as_mut().poll(context),
            Self::Taken | Self::Told => Poll::Ready(Ok(())),
        }
    }
}

impl Stream for Taking {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(*self, Self::Told) {
            return Poll::Ready(None);
        }
        let Poll::Ready(taken) = self.as_mut().poll_taken(context) else { return Poll::Pending };
        *self = Self::Told;
        Poll::Ready(Some(taken.map(|()| Bytes::new())))
    }
}

async fn get(
    guest: Arc<Guest>,
    request: Request<Bytes>,
) -> Result<Response<impl tokio_stream::Stream<Item = Result<Bytes, Status>> + Send>, Status> {
    let digest = header::<Digest>(request.metadata(), DIGEST).ok_or_else(|| {
        refused(&guest, Goodbye::Protocol("it asked for a value without its digest".to_owned()))
    })?;
    let bytes = match guest.server.service.get(&guest.peer, digest).await {
        Ok(bytes) => bytes,
        // That a value is not there is an answer, and nothing for the log.
        Err(goodbye @ Goodbye::Missing(_)) => return Err(refuse(goodbye)),
        Err(goodbye) => return Err(refused(&guest, goodbye)),
    };
    let size = bytes.len();
    let life = guest.peer.life.clone();
    let chunks = cut(bytes).map(move |chunk| {
        life.gives();
        Ok(chunk)
    });
    let mut response = Response::new(tokio_stream::iter(chunks));
    response.metadata_mut().insert(SIZE, size.into());
    Ok(response)
}

async fn status(guest: Arc<Guest>) -> Result<Response<Bytes>, Status> {
    match guest.server.service.status(&guest.peer).await {
        Ok(report) => Ok(Response::new(frame::encode(&report))),
        Err(goodbye) => Err(refused(&guest, goodbye)),
    }
}

fn refused(guest: &Guest, goodbye: Goodbye) -> Status {
    guest.server.refused(&guest.peer, &goodbye);
    refuse(goodbye)
}
