//! Which workers there are, and what each holds of a session.

use bytes::Bytes;
use sandmill_core::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;

use super::connect::Engine;
use super::error::EngineError;
use super::limits::MAX_WORKERS;
use crate::frame::encode;
use crate::message::{Load, RunLease, Welcome, WorkerId};

/// Runs in one message of a beat.
const BEAT_RUNS: usize = 8_192;

/// A worker that is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// What it says of itself; its runs are not told.
    pub welcome: Welcome,
    /// How busy it is.
    pub load: Load,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// When it said so, by its own clock.
    pub at: Timestamp,
}

/// What a worker holds of one session at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The worker.
    pub worker: WorkerId,
    /// Its name, for people.
    pub name: String,
    /// How busy it is.
    pub load: Load,
    /// Its count of beats to this session; all parts of one beat have the same.
    pub number: u64,
    /// Whether this is the last part of the beat.
    pub last: bool,
    /// The runs that it holds: waiting, under way, or ended and not settled.
    pub runs: Vec<RunLease>,
}

impl Beat {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }

    /// It as messages that are not too large.
    pub(super) fn parts(&self) -> Vec<Bytes> {
        let mut parts: Vec<Self> = self
            .runs
            .chunks(BEAT_RUNS)
            .map(|runs| Self { runs: runs.to_vec(), last: false, ..self.clone() })
            .collect();
        if parts.is_empty() {
            parts.push(self.clone());
        }
        if let Some(last) = parts.last_mut() {
            last.last = true;
        }
        parts.iter().map(encode).collect()
    }
}

impl Engine {
    /// Lists a worker, for [`super::WORKER_AGE`].
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn list_worker(&self, presence: &Presence) -> Result<(), EngineError> {
        let store = self.known(self.layout().workers()).await?;
        let key = presence.welcome.worker.0.simple().to_string();
        self.bounded("listing a worker", store.put(key, encode(presence))).await?;
        Ok(())
    }

    /// Lists a worker no longer.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn unlist_worker(&self, worker: WorkerId) -> Result<(), EngineError> {
        let store = self.known(self.layout().workers()).await?;
        let key = worker.0.simple().to_string();
        self.bounded("unlisting a worker", store.delete(key)).await
    }

    /// The workers that are listed.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn workers(&self) -> Result<Vec<Presence>, EngineError> {
        let store = self.known(self.layout().workers()).await?;
        let mut keys = self.bounded("listing workers", store.keys()).await?;
        let mut workers = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| EngineError::failed("listing workers", error))?;
            if workers.len() >= MAX_WORKERS {
                break;
            }
            let value = self.bounded("reading of a worker", store.get(key)).await?;
            workers.extend(value.and_then(|bytes| rmp_serde::from_slice::<Presence>(&bytes).ok()));
        }
        Ok(workers)
    }
}
