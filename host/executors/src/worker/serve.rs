//! A worker behind a direct link: what the transport asks of it, and how it serves until it is told
//! to stop.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sandmill_transport::direct::{
    ChunkError, ChunkStream, Listener, OpenLink, Peer, ServeError, ServeOptions, WorkerService,
    serve_with,
};
use sandmill_transport::message::{Goodbye, Hello, WorkerStatusReport};
use sandmill_transport::security::ServerSecurity;
use sandmill_wire::Digest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::WorkerSession;
use super::pace::Pace;
use super::worker::Worker;

/// How long the next chunk of bytes on their way may take, in however many parts it comes: a link of
/// 16 kbit/s brings one in half a minute.
pub const CHUNK_PATIENCE: Duration = Duration::from_secs(60);

#[async_trait]
impl WorkerService for Worker {
    async fn open(&self, peer: &Peer, hello: Hello) -> Result<OpenLink, Goodbye> {
        // By its name: its address is another after each broken link.
        let opened = self.open_alive(&peer.name, &hello, peer.life.clone())?;
        let WorkerSession { welcome, to_worker, from_worker } = opened;
        Ok(OpenLink { welcome, to_worker, from_worker })
    }

    async fn put(
        &self,
        peer: &Peer,
        digest: Digest,
        size: u64,
        mut chunks: ChunkStream,
    ) -> Result<(), Goodbye> {
        let receiving = self.receive_from(&peer.name, digest, size).await?;
        let Some(mut receiving) = receiving else { return Ok(()) };
        let kept = receiving.go_on(&peer.name);
        let goes_on = !kept.is_empty();
        if goes_on && !chunks.begin_after(kept).await {
            receiving.forget();
            return Err(Goodbye::Protocol("the bytes cannot be gone on with".to_owned()));
        }
        let is_over = receiving.is_over();
        tokio::pin!(is_over);
        // For what came before.
        receiving.room_for(0).await?;
        let mut pace = Pace::new(Instant::now());
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout_at(pace.due(), chunks.next()) => next,
                () = &mut is_over => return receiving.over(),
            };
            match next.map_err(|_| Goodbye::Busy("the bytes did not come on".to_owned()))? {
                Some(Ok(chunk)) => {
                    let came = Instant::now();
                    let room = tokio::select! {
                        room = receiving.room_for(chunk.len()) => Some(room),
                        () = &mut is_over => None,
                    };
                    let Some(room) = room else { return receiving.over() };
                    room?;
                    receiving.push(&chunk)?;
                    pace.came(chunk.len(), came, Instant::now());
                }
                // Should it stand still, it may try again, and goes on from here.
                Some(Err(error)) if error.is_broken_off() => {
                    return Err(Goodbye::Busy(error.to_string()));
                }
                Some(Err(error)) => {
                    receiving.forget();
                    return Err(match error {
                        ChunkError::WrongDigest(_) if goes_on => Goodbye::Busy(
                            "what came before does not fit what came now: send all of it"
                                .to_owned(),
                        ),
                        error => Goodbye::Protocol(error.to_string()),
                    });
                }
                None => return receiving.finish().await,
            }
        }
    }

    async fn get(&self, _: &Peer, digest: Digest) -> Result<Bytes, Goodbye> {
        let missing = || Goodbye::Missing(format!("{digest} is not at this worker"));
        self.bytes_of(&digest).ok_or_else(missing)
    }

    async fn status(&self, _: &Peer) -> Result<WorkerStatusReport, Goodbye> {
        Ok(self.report())
    }
}

/// Serves a worker at an address until `stop`; then drains it, with so much time for what runs, and
/// is ready when all has been said. When `hurry` comes, what is left of that is done at once.
///
/// # Errors
/// When the address and the certificates do not fit each other; nobody was served then.
pub async fn serve(
    worker: &Arc<Worker>,
    listener: Listener,
    security: ServerSecurity,
    options: ServeOptions,
    grace: Duration,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> Result<(), ServeError> {
    let silent = CancellationToken::new();
    let service = Arc::clone(worker) as Arc<dyn WorkerService>;
    let serving = serve_with(listener, security, service, options, silent.clone());
    let leaving = async {
        stop.cancelled().await;
        let drained = worker.drain(grace);
        tokio::pin!(drained);
        tokio::select! {
            () = &mut drained => {}
            () = hurry.cancelled() => {
                tokio::join!(&mut drained, worker.drain(Duration::ZERO));
            }
        }
        // The links have ended by themselves, so there is nothing left to be cut off.
        silent.cancel();
    };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        () = leaving => {}
    }
    serving.await
}
