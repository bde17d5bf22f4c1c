//! The bytes of a large value as they come in: no more than were said, and checked against their
//! digest.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sandmill_wire::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt};

use crate::CHUNK;

/// Why the bytes of a value did not come whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// There are more than were said.
    #[error("more bytes came than the {size} that were said")]
    TooMany {
        /// How many were said.
        size: u64,
    },
    /// There are fewer than were said.
    #[error("{came} bytes came of the {size} that were said")]
    TooFew {
        /// How many came.
        came: u64,
        /// How many were said.
        size: u64,
    },
    /// They are not those that were said.
    #[error("what came for {0} does not have this digest")]
    WrongDigest(Digest),
    /// The connection broke off, or whoever sent them did.
    #[error("the bytes broke off: {0}")]
    BrokenOff(String),
}

impl ChunkError {
    /// Whether more could have come: what came so far is not known to be wrong.
    #[must_use]
    pub const fn is_broken_off(&self) -> bool {
        matches!(self, Self::TooFew { .. } | Self::BrokenOff(_))
    }
}

/// The bytes of a value, in order.
pub struct ChunkStream {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, ChunkError>> + Send>>,
    digest: Digest,
    size: u64,
    came: u64,
    hash: Sha256,
    ended: bool,
    /// Tells the sender where to begin; nothing comes before.
    begin: Option<oneshot::Sender<u64>>,
    progress: Option<Arc<Progress>>,
}

/// How far a value has come, for whoever else has to know.
#[derive(Debug, Default)]
pub(super) struct Progress {
    came: AtomicU64,
    broke: Mutex<Option<String>>,
}

impl Progress {
    /// How many of its bytes have come.
    pub(super) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Why no more come, where they broke off.
    pub(super) fn broke(&self) -> Option<String> {
        self.broke.lock().clone()
    }
}

impl ChunkStream {
    /// The bytes that `stream` gives, which should be `size` bytes with `digest`.
    pub fn new(
        digest: Digest,
        size: u64,
        stream: impl Stream<Item = Result<Bytes, ChunkError>> + Send + 'static,
    ) -> Self {
        Self {
            stream: Box::pin(stream),
            digest,
            size,
            came: 0,
            hash: Sha256::new(),
            ended: false,
            begin: None,
            progress: None,
        }
    }

    /// The same, of a sender that waits to be told where to begin; with what tells that, and how far it
    /// has come.
    pub(super) fn of_waiting(mut self) -> (Self, oneshot::Receiver<u64>, Arc<Progress>) {
        let (begin, begins) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        (self.begin, self.progress) = (Some(begin), Some(Arc::clone(&progress)));
        (self, begins, progress)
    }

    /// Has the sender begin after these bytes, which came before its last try broke off: they count as
    /// come, and the digest is that of all. To be called before any were asked for; else, or where they
    /// are too many, or where the sender cannot, this does nothing. Whether it did.
    pub async fn begin_after(&mut self, kept: &[u8]) -> bool {
        if kept.len() as u64 > self.size || self.ended {
            return false;
        }
        let Some(begin) = self.begin.take() else { return false };
        for piece in kept.chunks(CHUNK) {
            self.hash.update(piece);
            // Others have their turn between.
            tokio::task::yield_now().await;
        }
        self.count(kept.len());
        // Whoever does not listen any more is seen to have gone by the next chunk.
        let _ = begin.send(self.came);
        true
    }

    /// How many bytes there should be.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes. It ends with none only if all came and have the digest; after an error, what
    /// came before it is worth nothing.
    pub async fn next(&mut self) -> Option<Result<Bytes, ChunkError>> {
        if self.ended {
            return None;
        }
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(0);
        }
        let next = match self.stream.next().await {
            Some(Ok(bytes)) => {
                self.count(bytes.len());
                if self.came <= self.size {
                    self.hash.update(&bytes);
                    return Some(Ok(bytes));
                }
                Some(Err(ChunkError::TooMany { size: self.size }))
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.came < self.size => {
                Some(Err(ChunkError::TooFew { came: self.came, size: self.size }))
            }
            None => {
                let is: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
                (Digest::from(is) != self.digest).then(|| Err(ChunkError::WrongDigest(self.digest)))
            }
        };
        self.ended = true;
        if let (Some(Err(error)), Some(progress)) = (&next, &self.progress) {
            *progress.broke.lock() = match error {
                ChunkError::BrokenOff(why) => Some(why.clone()),
                ChunkError::TooFew { .. } => Some("no more were sent".to_owned()),
                _ => None,
            };
        }
        next
    }

    fn count(&mut self, more: usize) {
        self.came = self.came.saturating_add(more as u64);
        if let Some(progress) = &self.progress {
            progress.came.store(self.came, Ordering::Relaxed);
        }
    }

    /// All the bytes, in memory. Room is made as they come, so a size that was only said costs
    /// nothing.
    ///
    /// # Errors
    /// Why they are not whole.
    pub async fn collect(mut self) -> Result<Bytes, ChunkError> {
        let expected = usize::try_from(self.size).unwrap_or(usize::MAX);
        let mut all = BytesMut::with_capacity(expected.min(CHUNK));
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

impl fmt::Debug for ChunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStream")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("came", &self.came)
            .finish_non_exhaustive()
    }
}

/// A value cut into chunks, to be sent.
pub(super) fn cut(mut bytes: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || next_chunk(&mut bytes))
}

/// The next chunk of what is left of a value.
pub(super) fn next_chunk(rest: &mut Bytes) -> Option<Bytes> {
    (!rest.is_empty()).then(|| rest.split_to(rest.len().min(CHUNK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(
        parts: &[&'static [u8]],
        digest: Digest,
        size: u64,
    ) -> Result<Bytes, ChunkError> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        ChunkStream::new(digest, size, tokio_stream::iter(parts)).collect().await
    }

    #[tokio::test]
    async fn what_comes_is_what_was_said_or_an_error() {
        let digest = Digest::of(b"abcdef");
        assert_eq!(collect(&[b"abc", b"def"], digest, 6).await, Ok("abcdef".into()));
        assert_eq!(
            collect(&[b"abc", b"de"], digest, 6).await,
            Err(ChunkError::TooFew { came: 5, size: 6 })
        );
        assert_eq!(
            collect(&[b"abc", b"defg"], digest, 6).await,
            Err(ChunkError::TooMany { size: 6 })
        );
        assert_eq!(
            collect(&[b"abc", b"deg"], digest, 6).await,
            Err(ChunkError::WrongDigest(digest))
        );
        assert_eq!(collect(&[], Digest::of(b""), 0).await, Ok(Bytes::new()));
        // A size that nobody could send takes no memory.
        assert_eq!(
            collect(&[b"abc"], digest, u64::MAX).await,
            Err(ChunkError::TooFew { came: 3, size: u64::MAX })
        );
    }

    #[test]
    fn values_are_cut_into_chunks() {
        let bytes = Bytes::from(vec![7; CHUNK * 2 + 1]);
        let sizes: Vec<_> = cut(bytes).map(|chunk| chunk.len()).collect();
        assert_eq!(sizes, [CHUNK, CHUNK, 1]);
        assert_eq!(cut(Bytes::new()).count(), 0);
    }
}
