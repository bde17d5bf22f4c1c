//! What a worker implements to be reached over direct links. What is done with the messages is for
//! the executors.

use async_trait::async_trait;
use bytes::Bytes;
use sandmill_wire::Digest;
use tokio::sync::mpsc;

use super::{ChunkStream, Peer};
use crate::message::{FromWorker, Goodbye, Hello, ToWorker, Welcome, WorkerStatusReport};

/// What a worker answers to a hello that it takes.
#[derive(Debug)]
pub struct OpenLink {
    /// What it says of itself.
    pub welcome: Welcome,
    /// Takes what the coordinator says. It is dropped when the link ends, whatever ends it; while
    /// it is full, the coordinator waits.
    pub to_worker: mpsc::Sender<ToWorker>,
    /// Gives what the worker says. The link ends when its sender is dropped, or after a
    /// [`FromWorker::Goodbye`].
    pub from_worker: mpsc::Receiver<FromWorker>,
}

/// What a worker does for those who connect. Called only after the peer was let in: its
/// certificate is good, and its role may call the method. A call is dropped when its connection
/// goes.
#[async_trait]
pub trait WorkerService: Send + Sync {
    /// A coordinator says hello. That there is a version of the protocol that both speak has been
    /// seen to.
    ///
    /// # Errors
    /// Why it is not taken.
    async fn open(&self, peer: &Peer, hello: Hello) -> Result<OpenLink, Goodbye>;

    /// A coordinator sends the bytes that have `digest`. `chunks` gives no more than `size` bytes,
    /// and ends without an error only if all came and have the digest. They begin where the worker
    /// says ([`ChunkStream::begin_after`]); where it returns before it has asked for any, none are
    /// sent.
    ///
    /// # Errors
    /// Why they are not taken.
    async fn put(
        &self,
        peer: &Peer,
        digest: Digest,
        size: u64,
        chunks: ChunkStream,
    ) -> Result<(), Goodbye>;

    /// A coordinator asks for the bytes that have `digest`.
    ///
    /// # Errors
    /// Why it does not get them; [`Goodbye::Missing`] where they are not there.
    async fn get(&self, peer: &Peer, digest: Digest) -> Result<Bytes, Goodbye>;

    /// Somebody asks how the worker stands.
    ///
    /// # Errors
    /// Why it is not told; by default, that this worker tells nobody.
    async fn status(&self, _peer: &Peer) -> Result<WorkerStatusReport, Goodbye> {
        Err(Goodbye::Missing("this worker does not tell how it stands".to_owned()))
    }
}
