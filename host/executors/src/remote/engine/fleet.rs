//! The fleet over an engine: a session is a thread with a runtime of its own, in which the
//! driver and its tasks live.

use std::sync::Arc;
use std::thread::JoinHandle;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sandmill_core::StartError;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::desk::Desk;
use super::super::fleet::{Fleet, HostStatus};
use super::config::{EngineFleetConfig, STOP_PATIENCE};
use super::driver::{Shown, drive};

/// Carries runs to the workers of an engine.
pub struct EngineFleet {
    config: Arc<EngineFleetConfig>,
    shown: Arc<Mutex<Shown>>,
    session: Arc<Mutex<Option<Session>>>,
}

struct Session {
    stop: CancellationToken,
    /// Cancelled when nothing of the session is left.
    ended: CancellationToken,
    thread: JoinHandle<()>,
}

impl EngineFleet {
    /// A fleet over the engine that the configuration names.
    #[must_use]
    pub fn new(config: EngineFleetConfig) -> Self {
        Self { config: Arc::new(config.checked()), shown: Arc::default(), session: Arc::default() }
    }

    fn spawn(
        &self,
        desk: Arc<Desk>,
        opened: oneshot::Sender<Result<(), StartError>>,
    ) -> std::io::Result<Session> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sandmill-engine")
            .enable_all()
            .build()?;
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let config = Arc::clone(&self.config);
        let (shown, stopping) = (Arc::clone(&self.shown), stop.clone());
        let end = ended.clone().drop_guard();
        let thread =
            std::thread::Builder::new().name("sandmill-fleet".to_owned()).spawn(move || {
                let _end = end;
                runtime.block_on(drive(config, desk, shown, stopping, opened));
                runtime.shutdown_timeout(STOP_PATIENCE);
            })?;
        Ok(Session { stop, ended, thread })
    }

    async fn end_session(&self) {
        let Some(ended) = self.session.lock().as_ref().map(|session| {
            session.stop.cancel();
            session.ended.clone()
        }) else {
            return;
        };
        ended.cancelled().await;
        if let Some(session) = self.session.lock().take() {
            // It is past its end: this does not wait.
            let _ = session.thread.join();
        }
    }
}

impl Fleet for EngineFleet {
    fn start(&self, desk: Arc<Desk>) -> BoxFuture<'_, Result<(), StartError>> {
        async move {
            // Of a start that was given up before it came to its end.
            self.end_session().await;
            let (opened, open) = oneshot::channel();
            let session = self
                .spawn(desk, opened)
                .map_err(|error| StartError::Unavailable(format!("a runtime: {error}")))?;
            *self.session.lock() = Some(session);
            let started = open.await.unwrap_or_else(|_| {
                Err(StartError::Unavailable("the fleet ended while it started".to_owned()))
            });
            if started.is_err() {
                self.end_session().await;
            }
            started
        }
        .boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.end_session().boxed()
    }

    fn slots(&self) -> usize {
        self.shown.lock().slots
    }

    fn hosts(&self) -> Vec<HostStatus> {
        self.shown.lock().hosts.clone()
    }

    fn max_memory(&self) -> Option<u64> {
        self.shown.lock().max_memory
    }
}

impl Drop for EngineFleet {
    fn drop(&mut self) {
        if let Some(session) = &*self.session.lock() {
            session.stop.cancel();
        }
    }
}
