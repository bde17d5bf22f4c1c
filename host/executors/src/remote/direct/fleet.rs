//! The fleet over links to workers. What goes on in its sessions is the driver's.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sandmill_core::StartError;

use super::super::desk::Desk;
use super::super::fleet::{Fleet, HostStatus};
use super::super::session::Sessions;
use super::config::{DirectConfig, STOP_PATIENCE};
use super::driver::Driver;
use super::workers::Workers;

/// Carries runs to workers over links of its own.
pub struct DirectFleet {
    config: Arc<DirectConfig>,
    workers: Arc<dyn Workers>,
    sessions: Sessions,
}

impl DirectFleet {
    /// A fleet over these workers.
    #[must_use]
    pub fn new(workers: Arc<dyn Workers>, config: DirectConfig) -> Self {
        let sessions = Sessions::new("sandmill-links", STOP_PATIENCE);
        Self { config: Arc::new(config.checked()), workers, sessions }
    }
}

impl Fleet for DirectFleet {
    fn start(&self, desk: Arc<Desk>) -> BoxFuture<'_, Result<(), StartError>> {
        let (config, workers) = (Arc::clone(&self.config), Arc::clone(&self.workers));
        self.sessions.start(desk, |session| Driver::new(config, workers, session).run()).boxed()
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
