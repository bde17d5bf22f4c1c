//! The way to a worker over a direct link of the transport: a socket with or without TLS.

use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use sandmill_transport::Address;
use sandmill_transport::direct::{
    BlobClient, Life, LinkError, LinkReceiver, LinkSender, SendError, Timeouts, connect,
};
use sandmill_transport::message::{FromWorker, Goodbye, Hello, ToWorker};
use sandmill_transport::security::ClientSecurity;
use sandmill_wire::Digest;

use super::way::{Blobs, Connected, Ear, Mouth, Way, WayError};

/// The way to the worker at an address.
pub struct SocketWay {
    address: Address,
    security: ClientSecurity,
    timeouts: Timeouts,
}

impl SocketWay {
    /// The way to the worker at this address, which knows this side by `security`.
    #[must_use]
    pub fn new(address: Address, security: ClientSecurity) -> Self {
        Self { address, security, timeouts: Timeouts::default() }
    }
}

#[async_trait]
impl Way for SocketWay {
    fn address(&self) -> String {
        self.address.to_string()
    }

    async fn connect(&self, hello: &Hello) -> Result<Connected, WayError> {
        let connected = connect(&self.address, &self.security, hello.clone(), self.timeouts).await;
        let (welcome, connection) = connected.map_err(error_of)?;
        Ok(Connected {
            welcome,
            mouth: Box::new(SocketMouth(connection.sender)),
            ear: Box::new(SocketEar { receiver: connection.receiver, life: connection.life }),
            blobs: std::sync::Arc::new(SocketBlobs(connection.blobs)),
        })
    }
}

struct SocketMouth(LinkSender);

#[async_trait]
impl Mouth for SocketMouth {
    async fn say(&mut self, message: ToWorker) -> Result<(), WayError> {
        match self.0.send(message).await {
            Ok(()) => Ok(()),
            // The other half says why.
            Err(SendError::Closed) => std::future::pending().await,
            Err(error) => {
                Err(WayError { is_passing: false, ..WayError::passing(error.to_string()) })
            }
        }
    }
}

struct SocketEar {
    receiver: LinkReceiver,
    life: Life,
}

#[async_trait]
impl Ear for SocketEar {
    async fn hear(&mut self) -> Result<FromWorker, WayError> {
        match self.receiver.recv().await {
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(error_of(error)),
            None => Err(WayError::passing("the worker has hung up")),
        }
    }

    fn heard(&self) -> Option<Instant> {
        self.life.heard()
    }
}

struct SocketBlobs(BlobClient);

#[async_trait]
impl Blobs for SocketBlobs {
    async fn put(&self, digest: Digest, bytes: Bytes) -> Result<(), WayError> {
        self.0.put(digest, bytes).await.map_err(error_of)
    }

    async fn get(&self, digest: Digest, limit: u64) -> Result<Bytes, WayError> {
        self.0.get(digest, limit).await.map_err(error_of)
    }
}

fn error_of(error: LinkError) -> WayError {
    WayError {
        words: error.to_string(),
        is_passing: error.is_passing(),
        is_goodbye: matches!(&error, LinkError::Refused(Goodbye::Leaving(_))),
    }
}
