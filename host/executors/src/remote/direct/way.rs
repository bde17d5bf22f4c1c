//! The way to one worker: what a fleet needs of whatever carries messages and bytes there. The
//! direct links of the transport are one (`socket`); tests have others.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use sandmill_transport::message::{FromWorker, Hello, ToWorker, Welcome};
use sandmill_wire::Digest;

/// How a worker is reached. Each [`Way::connect`] makes a new connection.
#[async_trait]
pub trait Way: Send + Sync {
    /// Where that is, for people: `tls://a:7070`. Two ways with the same words are the same worker.
    fn address(&self) -> String;

    /// Connects and says hello. Takes bounded time.
    ///
    /// # Errors
    /// Why there is no connection.
    async fn connect(&self, hello: &Hello) -> Result<Connected, WayError>;
}

/// A connection to a worker that took the hello.
pub struct Connected {
    /// What the worker says of itself.
    pub welcome: Welcome,
    /// Says things to it.
    pub mouth: Box<dyn Mouth>,
    /// Hears what it says.
    pub ear: Box<dyn Ear>,
    /// Carries bytes by their digests.
    pub blobs: Arc<dyn Blobs>,
}

/// Says things to a worker.
#[async_trait]
pub trait Mouth: Send {
    /// Says a message; waits while the connection is busy. What was said may still be lost with
    /// the connection.
    ///
    /// # Errors
    /// Why the connection is over.
    async fn say(&mut self, message: ToWorker) -> Result<(), WayError>;
}

/// Hears what a worker says.
#[async_trait]
pub trait Ear: Send {
    /// The next message. Nothing is lost where this is dropped before it is ready.
    ///
    /// # Errors
    /// Why the connection is over.
    async fn hear(&mut self) -> Result<FromWorker, WayError>;

    /// When anything of a message or of a value last came, before it was whole: over a slow link that
    /// takes long, and is no silence. By default nobody knows.
    fn heard(&self) -> Option<Instant> {
        None
    }
}

/// Carries bytes by their digests.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Brings the bytes that have this digest to the worker, if it has them not.
    ///
    /// # Errors
    /// Why they are not there.
    async fn put(&self, digest: Digest, bytes: Bytes) -> Result<(), WayError>;

    /// Gets the bytes that have this digest, which is checked, if they are no more than `limit`.
    ///
    /// # Errors
    /// Why they cannot be had.
    async fn get(&self, digest: Digest, limit: u64) -> Result<Bytes, WayError>;
}

/// Why something did not get to a worker or from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayError {
    /// Why, for a person.
    pub words: String,
    /// Whether another try may go otherwise without anybody's doing.
    pub is_passing: bool,
    /// Whether the worker said that it goes away.
    pub is_goodbye: bool,
}

impl WayError {
    /// One that may pass.
    #[must_use]
    pub fn passing(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_passing: true, is_goodbye: false }
    }
}

impl std::fmt::Display for WayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for WayError {}
