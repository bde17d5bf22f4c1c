//! Large values by digest, beside a link, as a coordinator sends and gets them. A worker that has the
//! beginning of a value, from a try that broke off, says so before any byte is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use sandmill_wire::Digest;
use tokio::sync::{Semaphore, oneshot};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::chunks::{ChunkError, ChunkStream, next_chunk};
use super::codec::BytesCodec;
use super::connect::Http;
use super::refusal::understand;
use super::socket::Trouble;
use super::{LinkError, Method};
use crate::{MAX_BLOB, MAX_RECEIVED_CHUNK, MAX_TRANSFERS};

/// The header that names a value.
pub(super) const DIGEST: &str = "sandmill-digest";
/// The header that says how many bytes it has.
pub(super) const SIZE: &str = "sandmill-size";
/// The header that says after how many of its bytes the sender is to begin.
pub(super) const FROM: &str = "sandmill-from";

/// Sends large values to a worker, and gets them from it. Clones use the same connection. When a
/// call is dropped, the transfer ends on both sides.
#[derive(Debug, Clone)]
pub struct BlobClient {
    http: Http,
    trouble: Trouble,
    puts: Arc<Semaphore>,
    gets: Arc<Semaphore>,
}

impl BlobClient {
    pub(super) fn new(http: Http, trouble: Trouble) -> Self {
        let transfers = || Arc::new(Semaphore::new(MAX_TRANSFERS));
        Self { http, trouble, puts: transfers(), gets: transfers() }
    }

    /// Sends the bytes that have `digest`, or as many of them as the worker has not. Waits while
    /// [`MAX_TRANSFERS`] others are on their way.
    ///
    /// # Errors
    /// The worker does not take them, or the connection is lost.
    pub async fn put(&self, digest: Digest, bytes: Bytes) -> Result<(), LinkError> {
        let size = bytes.len() as u64;
        if size > MAX_BLOB {
            return Err(LinkError::TooLarge { size, limit: MAX_BLOB });
        }
        let _turn = turn(&self.puts).await?;
        let (begin, begins) = oneshot::channel();
        let over = CancellationToken::new();
        let mut request = Request::new(Rest { begins, rest: None, over: over.clone() });
        // Where this call is dropped, nothing more is sent.
        let _over = over.drop_guard();
        request.metadata_mut().insert(DIGEST, text(&digest));
        request.metadata_mut().insert(SIZE, text(&size));
        let mut grpc = self.http.grpc(MAX_RECEIVED_CHUNK);
        grpc.ready().await.map_err(|error| self.lost(&error))?;
        let path = http::uri::PathAndQuery::from_static(Method::Put.path());
        let failed = |status| understand(&status, &self.trouble);
        let response = grpc.streaming(request, path, BytesCodec).await.map_err(failed)?;
        let from = header::<u64>(response.metadata(), FROM)
            .and_then(|from| usize::try_from(from).ok())
            .filter(|from| *from <= bytes.len())
            .ok_or_else(|| LinkError::Protocol("it did not say where to begin".to_owned()))?;
        // Whether anybody takes it shows in the answer.
        let _ = begin.send(bytes.slice(from..));
        match response.into_inner().message().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(LinkError::Protocol("it did not say what came of it".to_owned())),
            Err(status) => Err(failed(status)),
        }
    }

    /// Gets the bytes that have `digest`, of which there may be `size_limit`. Waits while
    /// [`MAX_TRANSFERS`] others are on their way.
    ///
    /// # Errors
    /// The worker does not have them, they are too many or not those, or the connection is lost.
    pub async fn get(&self, digest: Digest, size_limit: u64) -> Result<Bytes, LinkError> {
        let _turn = turn(&self.gets).await?;
        let mut request = Request::new(Bytes::new());
        request.metadata_mut().insert(DIGEST, text(&digest));
        let mut grpc = self.http.grpc(MAX_RECEIVED_CHUNK);
        grpc.ready().await.map_err(|error| self.lost(&error))?;
        let path = http::uri::PathAndQuery::from_static(Method::Get.path());
        let response = grpc
            .server_streaming(request, path, BytesCodec)
            .await
            .map_err(|status| understand(&status, &self.trouble))?;
        let size = header(response.metadata(), SIZE)
            .ok_or_else(|| LinkError::Protocol("it sent a value without its size".to_owned()))?;
        let limit = size_limit.min(MAX_BLOB);
        if size > limit {
            return Err(LinkError::TooLarge { size, limit });
        }
        let trouble = self.trouble.clone();
        let broken = Arc::new(parking_lot::Mutex::new(None));
        let kept = Arc::clone(&broken);
        let chunks = response.into_inner().map(move |chunk| {
            chunk.map_err(|status| {
                let error = understand(&status, &trouble);
                let words = error.to_string();
                *kept.lock() = Some(error);
                ChunkError::BrokenOff(words)
            })
        });
        ChunkStream::new(digest, size, chunks).collect().await.map_err(|error| match error {
            ChunkError::WrongDigest(digest) => LinkError::WrongDigest(digest),
            ChunkError::BrokenOff(words) => broken.lock().take().unwrap_or(LinkError::Lost(words)),
            other => LinkError::Protocol(other.to_string()),
        })
    }

    fn lost(&self, error: &hyper::Error) -> LinkError {
        self.trouble.error().unwrap_or_else(|| LinkError::Lost(error.to_string()))
    }
}

/// What is sent of a value: nothing until it is known where to begin.
struct Rest {
    begins: oneshot::Receiver<Bytes>,
    rest: Option<Bytes>,
    /// Cancelled when nobody wants it sent any more.
    over: CancellationToken,
}

impl Stream for Rest {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over.is_cancelled() {
            return Poll::Ready(None);
        }
        if self.rest.is_none() {
            let Poll::Ready(begins) = Pin::new(&mut self.begins).poll(context) else {
                return Poll::Pending;
            };
            self.rest = begins.ok();
        }
        Poll::Ready(self.rest.as_mut().and_then(next_chunk))
    }
}

async fn turn(turns: &Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>, LinkError> {
    turns.acquire().await.map_err(|_| LinkError::Lost("it was closed".to_owned()))
}

fn text(value: &impl ToString) -> MetadataValue<tonic::metadata::Ascii> {
    value.to_string().parse().expect("digests and numbers are ASCII")
}

/// A header's value, where it is there and can be read.
pub(super) fn header<T: std::str::FromStr>(headers: &MetadataMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
