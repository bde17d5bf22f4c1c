//! Components and large values in the engine's object stores, by their digests, which whoever gets
//! them computes anew.

use async_nats::jetstream::object_store::{
    DeleteErrorKind, GetErrorKind, InfoErrorKind, ObjectStore,
};
use bytes::Bytes;
use sandmill_wire::Digest;
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use super::connect::Engine;
use super::error::EngineError;
use super::limits::ENGINE_REQUEST_TIMEOUT;
use crate::message::RunLease;

/// The least rate at which bytes have to come, in bytes a second: a large value has longer.
const LEAST_RATE: u64 = 64 << 10;

/// Under which name a large value is in the engine. The names of two sessions, or of two leases,
/// differ, so that whoever takes a value away takes it from nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueName {
    /// Arguments of runs of a session.
    Arguments(Uuid, Digest),
    /// The result of a run under a lease.
    Result(RunLease, Digest),
}

impl ValueName {
    fn digest(&self) -> Digest {
        match self {
            Self::Arguments(_, digest) | Self::Result(_, digest) => *digest,
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Arguments(session, digest) => {
                format!("arguments-{}-{}", session.simple(), plain(digest))
            }
            Self::Result(of, digest) => {
                let run: String =
                    of.run.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
                format!("result-{run}-{}-{}", of.lease.0, plain(digest))
            }
        }
    }
}

fn plain(digest: &Digest) -> String {
    digest.to_string().replace(':', "-")
}

impl Engine {
    /// Brings a component, if it is not there.
    ///
    /// # Errors
    /// When it is not there then.
    pub async fn put_component(&self, digest: Digest, bytes: &Bytes) -> Result<(), EngineError> {
        let store = self.objects(self.layout().components()).await?;
        put(&store, &plain(&digest), bytes).await
    }

    /// Gets a component of at most so many bytes.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when it is not there; else why it cannot be had.
    pub async fn component(&self, digest: Digest, limit: u64) -> Result<Bytes, EngineError> {
        let store = self.objects(self.layout().components()).await?;
        get(&store, &plain(&digest), digest, limit).await
    }

    /// Brings a large value, if it is not there.
    ///
    /// # Errors
    /// When it is not there then.
    pub async fn put_value(&self, name: ValueName, bytes: &Bytes) -> Result<(), EngineError> {
        let store = self.objects(self.layout().values()).await?;
        put(&store, &name.key(), bytes).await
    }

    /// Gets a large value of at most so many bytes.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when it is not there; else why it cannot be had.
    pub async fn value(&self, name: ValueName, limit: u64) -> Result<Bytes, EngineError> {
        let store = self.objects(self.layout().values()).await?;
        get(&store, &name.key(), name.digest(), limit).await
    }

    /// Takes a large value away, if it is there.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn remove_value(&self, name: ValueName) -> Result<(), EngineError> {
        let store = self.objects(self.layout().values()).await?;
        let key = name.key();
        match tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, store.delete(&key)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == DeleteErrorKind::NotFound => Ok(()),
            Ok(Err(error)) => Err(EngineError::failed("taking a value away", error)),
            Err(_) => Err(Self::timed_out("taking a value away")),
        }
    }
}

fn patience(size: u64) -> std::time::Duration {
    ENGINE_REQUEST_TIMEOUT * 2 + std::time::Duration::from_secs(size / LEAST_RATE)
}

async fn put(store: &ObjectStore, key: &str, bytes: &Bytes) -> Result<(), EngineError> {
    const WHAT: &str = "bringing bytes";
    let known = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, store.info(key)).await;
    match known.map_err(|_| Engine::timed_out(WHAT))? {
        Ok(info) if !info.deleted && info.size == bytes.len() => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == InfoErrorKind::NotFound => {}
        Err(error) => return Err(EngineError::failed(WHAT, error)),
    }
    let after = patience(bytes.len() as u64);
    let mut reader = &bytes[..];
    match tokio::time::timeout(after, store.put(key, &mut reader)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let words = error.to_string();
            Err(if words.contains("maximum") {
                EngineError::Full(words)
            } else {
                EngineError::failed(WHAT, words)
            })
        }
        Err(_) => Err(EngineError::TimedOut { what: WHAT, after }),
    }
}

async fn get(
    store: &ObjectStore,
    key: &str,
    digest: Digest,
    limit: u64,
) -> Result<Bytes, EngineError> {
    const WHAT: &str = "getting bytes";
    let object = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, store.get(key)).await;
    let mut object =
        object.map_err(|_| Engine::timed_out(WHAT))?.map_err(|error| match error.kind() {
            GetErrorKind::NotFound => EngineError::Missing(digest.to_string()),
            _ => EngineError::failed(WHAT, error),
        })?;
    let size = object.info().size as u64;
    if size > limit {
        return Err(EngineError::TooLarge { size, limit });
    }
    // Room as the bytes come: what was said of the size is somebody's word.
    let mut bytes = Vec::new();
    let after = patience(size);
    let mut bounded = (&mut object).take(limit.saturating_add(1));
    let reading = bounded.read_to_end(&mut bytes);
    match tokio::time::timeout(after, reading).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(EngineError::failed(WHAT, error)),
        Err(_) => return Err(EngineError::TimedOut { what: WHAT, after }),
    }
    if bytes.len() as u64 > limit {
        return Err(EngineError::TooLarge { size: bytes.len() as u64, limit });
    }
    let bytes = Bytes::from(bytes);
    let own = bytes.clone();
    let found = tokio::task::spawn_blocking(move || Digest::of(&own)).await;
    match found {
        Ok(found) if found == digest => Ok(bytes),
        Ok(_) => Err(EngineError::WrongDigest(digest)),
        Err(error) => Err(EngineError::failed(WHAT, error)),
    }
}
