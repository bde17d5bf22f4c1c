//! One of those who bring a component, as both who takes the bytes and who asked for them see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

/// One of those who bring a component.
#[derive(Debug, Clone, Default)]
pub(super) struct Sender {
    over: CancellationToken,
    came: Arc<AtomicU64>,
}

impl Sender {
    /// Ready when it need not go on: others have brought it, or take its place.
    pub(super) async fn is_over(&self) {
        self.over.cancelled().await;
    }

    /// It need not go on.
    pub(super) fn ends(&self) {
        self.over.cancel();
    }

    /// So many bytes have come.
    pub(super) fn has(&self, bytes: u64) {
        self.came.store(bytes, Ordering::Relaxed);
    }

    /// How many bytes have come.
    pub(super) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

impl PartialEq for Sender {
    /// Whether it is the same one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.came, &other.came)
    }
}
