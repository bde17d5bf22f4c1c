//! Bytes that a worker needs, from the engine's object stores: components, and large arguments.

use std::sync::Arc;

use bytes::Bytes;
use sandmill_transport::engine::{Engine, EngineError, ValueName};
use sandmill_transport::message::{FromWorker, Goodbye};
use sandmill_wire::Digest;
use tokio::sync::mpsc;

use super::super::worker::Worker;
use super::config::{SUPPLY_PAUSE, SUPPLY_TRIES};

/// The bytes of a chunk that a worker is given at a time.
const CHUNK: usize = 1 << 20;

/// What is to be got.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Component(Digest),
    Value(ValueName, Digest, u64),
}

/// Gets bytes and gives them to the worker. Where they are not there, their coordinator is asked
/// for them, through `say`, and they are looked for again.
pub(super) async fn supply(
    engine: &Engine,
    worker: &Arc<Worker>,
    wanted: Wanted,
    say: &mpsc::Sender<FromWorker>,
) -> Result<(), String> {
    let mut asked = false;
    for _ in 0..SUPPLY_TRIES {
        let (digest, got) = match wanted {
            Wanted::Component(digest) => {
                let limit = worker.config().component_bytes;
                (digest, engine.component(digest, limit).await)
            }
            Wanted::Value(name, digest, size) => (digest, engine.value(name, size).await),
        };
        match got {
            Ok(bytes) => return give(worker, digest, &bytes).await.map_err(|why| why.to_string()),
            Err(EngineError::Missing(_)) => {
                if !asked {
                    asked = true;
                    // Where nobody listens, nobody waits for the runs either.
                    let _ = say.send(FromWorker::Need(digest)).await;
                }
            }
            Err(error) if !error.is_passing() => return Err(error.to_string()),
            Err(_) => {}
        }
        tokio::time::sleep(SUPPLY_PAUSE).await;
    }
    Err("its bytes are not in the engine, and its coordinator does not bring them".to_owned())
}

async fn give(worker: &Worker, digest: Digest, bytes: &Bytes) -> Result<(), Goodbye> {
    let Some(mut receiving) = worker.receive(digest, bytes.len() as u64).await? else {
        return Ok(());
    };
    for chunk in bytes.chunks(CHUNK) {
        receiving.room_for(chunk.len()).await?;
        receiving.push(chunk)?;
    }
    receiving.finish().await
}
