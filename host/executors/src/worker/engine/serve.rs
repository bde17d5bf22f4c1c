//! A worker that serves at an engine until it is told to leave: it is listed there, pulls, and
//! drains in the end.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::Clock;
use sandmill_transport::engine::{Engine, EngineConfig, EngineError, Presence};
use sandmill_transport::message::{PROTOCOL, Welcome};
use tokio_util::sync::CancellationToken;

use super::super::status::WorkerStatus;
use super::super::worker::Worker;
use super::config::{EngineServeConfig, LIST_EVERY};
use super::puller::Puller;

/// How long sessions may take for their last words once the worker has drained.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// Lists a worker in the engine, so that it is known there before it is served.
///
/// # Errors
/// When it cannot be listed.
pub async fn enlist(worker: &Worker, engine: &Engine) -> Result<(), EngineError> {
    engine.list_worker(&presence(worker, !worker.is_open())).await
}

/// Serves a worker at an engine until `stop`; then drains it, with so much time for what runs as the
/// configuration grants, and is ready when all has been said. A worker that is drained already is
/// waited for. When `hurry` comes, what is left of that is done at once.
///
/// # Errors
/// When it cannot be listed in the engine; nobody was served then.
pub async fn serve(
    worker: &Arc<Worker>,
    engine: &Engine,
    config: EngineServeConfig,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> Result<(), EngineError> {
    enlist(worker, engine).await?;
    let grace = config.grace;
    let puller = Puller::new(engine.clone(), Arc::clone(worker), config);
    let pulling = tokio::spawn(puller.run(stop.clone()));
    let done = CancellationToken::new();
    let listing = tokio::spawn(list(Arc::clone(worker), engine.clone(), done.clone()));
    // Where the one who waits for this goes, so does what it began.
    let guard = (stop.clone().drop_guard(), done.clone().drop_guard());
    stop.cancelled().await;
    let drained = async {
        // A second drain would have the first one hurry.
        if worker.is_open() { worker.drain(grace).await } else { worker.left().await }
    };
    tokio::pin!(drained);
    tokio::select! {
        () = &mut drained => {}
        () = hurry.cancelled() => {
            tokio::join!(&mut drained, worker.drain(Duration::ZERO));
        }
    }
    let aborting = pulling.abort_handle();
    if tokio::time::timeout(LAST_PATIENCE, pulling).await.is_err() {
        aborting.abort();
    }
    drop(guard);
    let _ = listing.await;
    // It ages there otherwise.
    let _ = engine.unlist_worker(worker.id()).await;
    Ok(())
}

/// Keeps the worker listed.
async fn list(worker: Arc<Worker>, engine: Engine, done: CancellationToken) {
    let mut link = engine.link();
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(LIST_EVERY) => {}
            // After the engine was away, it may know nobody.
            changed = link.changed() => if changed.is_err() { return },
        }
        if !engine.is_up() {
            continue;
        }
        let presence = presence(&worker, !worker.is_open());
        if engine.list_worker(&presence).await.is_err() {
            let _ = engine.ensure().await;
            let _ = engine.list_worker(&presence).await;
        }
    }
}

fn presence(worker: &Worker, draining: bool) -> Presence {
    let config = worker.config();
    let WorkerStatus { components, .. } = worker.status();
    Presence {
        welcome: Welcome {
            protocol: PROTOCOL,
            worker: worker.id(),
            program: config.program.clone(),
            name: config.name.clone(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            slots: u32::try_from(config.slots).unwrap_or(u32::MAX),
            labels: config.labels.clone(),
            resources: config.resources.clone(),
            ceiling: config.ceiling.clone(),
            holds: components,
            runs: Vec::new(),
            resumed: false,
        },
        load: worker.load(),
        draining,
        at: Clock::system().now(),
    }
}

/// The workers that are listed at an engine, for people.
///
/// # Errors
/// Why there is no engine, or no answer of it.
pub async fn list_workers(config: EngineConfig) -> Result<Vec<Presence>, EngineError> {
    let engine = Engine::connect(config).await?;
    let workers = engine.workers().await;
    engine.close().await;
    let mut workers = workers?;
    workers.sort_by(|a, b| a.welcome.name.cmp(&b.welcome.name));
    Ok(workers)
}
