//! The loop of the writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::StoreError;
use crate::blobs::Blobs;
use crate::queue::{Op, Queue};

/// The most records of one transaction.
pub const MAX_BATCH: usize = 8192;
/// The most bytes that the values of one transaction have, unless one alone has more.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How long the writer waits before it tries a full disk again.
pub const STORE_RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Writer {
    _dir: PathBuf,
    _connection: Connection,
    _blobs: Blobs,
    queue: Arc<Queue>,
    _session: [u8; 16],
}

impl Writer {
    pub(crate) fn new(
        dir: PathBuf,
        connection: Connection,
        blobs: Blobs,
        queue: Arc<Queue>,
        session: [u8; 16],
    ) -> Self {
        Self { _dir: dir, _connection: connection, _blobs: blobs, queue, _session: session }
    }

    pub(crate) fn recover(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    pub(crate) fn run(self) {
        while let Some(batch) = self.queue.take(MAX_BATCH, MAX_BATCH_BYTES) {
            for op in batch {
                if let Op::Ask(ask) = op {
                    ask.answer(Err(StoreError::Closed));
                }
            }
            self.queue.settled();
        }
    }
}
