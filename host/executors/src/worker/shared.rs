//! What the parts of one worker share, and what wakes them.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use sandmill_core::Invoker;
use sandmill_transport::message::WorkerId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::config::WorkerConfig;
use super::state::State;

/// What the parts of one worker share.
pub(super) struct Shared {
    pub(super) id: WorkerId,
    pub(super) config: Arc<WorkerConfig>,
    pub(super) invoker: Arc<dyn Invoker>,
    pub(super) state: Mutex<State>,
    pub(super) bells: Arc<Bells>,
    /// Has a worker that leaves do so at once.
    pub(super) hurry: CancellationToken,
}

/// What wakes the parts of a worker.
#[derive(Default)]
pub(super) struct Bells {
    /// For slots: something can start.
    pub(super) work: Condvar,
    /// For the timer: something is due earlier than was known.
    pub(super) timer: Condvar,
    /// For whoever waits for room, or for the end: something has gone.
    pub(super) changed: Notify,
}
