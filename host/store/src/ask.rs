//! Questions to the writer: whoever asks waits for the answer. How they are answered is with the
//! writer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sandmill_core::Timestamp;
use sandmill_wire::{Digest, RunId};

use crate::StoreError;
use crate::cache::{CacheWrite, Cleared};
use crate::record::{NewFlow, Pruned};

/// A question and where its answer goes.
pub(crate) struct Ask {
    pub(crate) question: Question,
    answer: SyncSender<Result<Answer, StoreError>>,
}

pub(crate) enum Question {
    CreateFlow {
        flow: Arc<NewFlow>,
        at: Timestamp,
    },
    TakeUp {
        flow: RunId,
        at: Timestamp,
    },
    /// Ends some of the open runs of a flow that nobody runs, and at last the flow itself.
    CancelFlow {
        flow: RunId,
        why: Arc<str>,
        at: Timestamp,
    },
    /// Deletes some of a flow.
    DeleteFlow {
        flow: RunId,
    },
    /// Deletes some of the entries of the cache that have expired.
    DeleteExpired {
        at: Timestamp,
    },
    /// Puts a result into the cache, or takes some out.
    Cache(CacheWrite),
    /// Deletes those of these blobs that nothing names.
    DeleteBlobs {
        digests: Arc<[Digest]>,
    },
}

pub(crate) enum Answer {
    Created {
        rowid: i64,
    },
    Exists(RunId),
    TakenUp {
        rowid: i64,
    },
    /// One part is done; whether there is more to do, and which blobs may have lost their readers.
    Part {
        more: bool,
        pruned: Pruned,
        blobs: Vec<Digest>,
    },
    /// Entries of the cache were deleted.
    Cleared {
        cleared: Cleared,
        more: bool,
        blobs: Vec<Digest>,
    },
    Done,
}

impl Ask {
    pub(crate) fn new(question: Question) -> (Box<Self>, Receiver<Result<Answer, StoreError>>) {
        // Room for the one answer: the writer never waits for whoever asked.
        let (answer, receiver) = sync_channel(1);
        (Box::new(Self { question, answer }), receiver)
    }

    /// About how many bytes it holds on to.
    pub(crate) fn weight(&self) -> usize {
        match &self.question {
            Question::Cache(write) => write.weight(),
            _ => 0,
        }
    }

    pub(crate) fn answer(&self, answer: Result<Answer, StoreError>) {
        // Whoever asked may be gone.
        let _ = self.answer.try_send(answer);
    }
}
