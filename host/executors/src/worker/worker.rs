//! A worker: any invoker in slots of its own, served to coordinators over whatever links they
//! come by.

use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::Invoker;
use sandmill_transport::message::WorkerId;
use tokio_util::sync::CancellationToken;

use super::config::WorkerConfig;
use super::shared::{Bells, Shared};
use super::slots;
use super::state::State;

/// Serves slots to coordinators. When it goes, what is under way is cancelled, and its threads end.
pub struct Worker {
    pub(super) shared: Arc<Shared>,
}

impl Worker {
    /// Starts a worker: its slots, which wait for coordinators.
    ///
    /// # Errors
    /// When the threads cannot be had.
    pub fn new(invoker: Arc<dyn Invoker>, config: WorkerConfig) -> std::io::Result<Arc<Self>> {
        let config = Arc::new(config.checked());
        let bells = Arc::new(Bells::default());
        let shared = Arc::new(Shared {
            id: WorkerId::new(),
            invoker,
            state: Mutex::new(State::new(&config, &bells)),
            config,
            bells,
            hurry: CancellationToken::new(),
        });
        slots::spawn(&shared)?;
        Ok(Arc::new(Self { shared }))
    }

    /// Names the worker for as long as it lives.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.shared.id
    }

    /// What it was started with, with every number within bounds.
    #[must_use]
    pub fn config(&self) -> &WorkerConfig {
        &self.shared.config
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.state.lock().close_all();
        self.shared.stop();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("name", &self.shared.config.name).finish_non_exhaustive()
    }
}
