//! The fleet over an engine. What goes on in its sessions is the driver's.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sandmill_core::StartError;

use super::super::desk::Desk;
use super::super::fleet::{Fleet, HostStatus};
use super::super::session::Sessions;
use super::config::{EngineFleetConfig, STOP_PATIENCE};
use super::driver::drive;

/// Carries runs to the workers of an engine.
pub struct EngineFleet {
    config: Arc<EngineFleetConfig>,
    sessions: Sessions,
}

impl EngineFleet {
    /// A fleet over the engine that the configuration names.
    #[must_use]
    pub fn new(config: EngineFleetConfig) -> Self {
        let sessions = Sessions::new("sandmill-engine", STOP_PATIENCE);
        Self { config: Arc::new(config.checked()), sessions }
    }
}

impl Fleet for EngineFleet {
    fn start(&self, desk: Arc<Desk>) -> BoxFuture<'_, Result<(), StartError>> {
        let config = Arc::clone(&self.config);
        self.sessions.start(desk, |session| drive(config, session)).boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.sessions.end().boxed()
    }

    fn slots(&self) -> usize {
        self.sessions.shown(|shown| shown.slots)
    }

    fn hosts(&self) -> Vec<HostStatus> {
        self.sessions.shown(|shown| shown.hosts.clone())
    }

    fn max_memory(&self) -> Option<u64> {
        self.sessions.shown(|shown| shown.max_memory)
    }
}
