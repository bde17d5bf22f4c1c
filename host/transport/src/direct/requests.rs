//! The requests of one connection, each against the table of who may call what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use sandmill_wire::Digest;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};

use super::blobs::{DIGEST, SIZE, header};
use super::chunks::{ChunkError, ChunkStream, cut};
use super::codec::BytesCodec;
use super::connect::HELLO;
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
    request: http::Request<Incoming>,
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
            grpc.max_decoding_message_size(MAX_RECEIVED_CHUNK)
                .client_streaming(service, request)
                .await
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

async fn put(
    guest: Arc<Guest>,
    request: Request<Streaming<Bytes>>,
) -> Result<Response<Bytes>, Status> {
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
    let chunks = ChunkStream::new(digest, size, chunks);
    match guest.server.service.put(&guest.peer, digest, size, chunks).await {
        Ok(()) => Ok(Response::new(Bytes::new())),
        Err(goodbye) => Err(refused(&guest, goodbye)),
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
    let mut response = Response::new(tokio_stream::iter(cut(bytes).map(Ok)));
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
