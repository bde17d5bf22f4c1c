//! What waits to be written: bounded, never waited for by whoever logs, and counting what it has
//! no room for. Who empties it is in `writer`.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use sandmill_core::{LogLine, Progress, Timestamp};
use sandmill_wire::RunId;

/// Bytes of lines that wait to be written, what is being written included: 16 MiB. Lines beyond
/// it are dropped and counted: a run never waits for its log.
pub const MAX_QUEUED_LOG_BYTES: usize = 16 << 20;
/// Runs whose dropped lines are counted one by one; those of more runs are counted with their
/// flow's.
const MAX_COUNTED_RUNS: usize = 10_000;
/// Bytes that a line takes beside its text.
const LINE_OVERHEAD: usize = 128;
/// How long the writer lets lines gather once there is one.
const GATHER: Duration = Duration::from_millis(20);

/// Whose lines: a run and the flow run it is part of, or itself where it is part of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) flow: RunId,
    pub(super) run: RunId,
}

/// A line that waits.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) owner: Owner,
    pub(super) at: Timestamp,
    pub(super) line: LogLine,
}

/// The newest progress of a run.
#[derive(Debug)]
pub(super) struct NewestProgress {
    pub(super) owner: Owner,
    pub(super) at: Timestamp,
    pub(super) progress: Progress,
}

/// The lines of these flow runs are to be deleted; how many there were is the answer.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) flows: Vec<RunId>,
    pub(super) answer: SyncSender<Result<u64, String>>,
}

/// What the writer takes at a time.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    pub(super) progress: HashMap<RunId, NewestProgress>,
    /// How many lines were dropped, and when the last one was.
    pub(super) dropped: HashMap<Owner, (u64, Timestamp)>,
    pub(super) deletions: Vec<Deletion>,
    /// Bytes of lines and progress, as counted.
    bytes: usize,
}

impl Batch {
    /// Whether there is anything in it to write down.
    pub(super) fn has_text(&self) -> bool {
        !(self.lines.is_empty() && self.progress.is_empty() && self.dropped.is_empty())
    }

    fn drop_line(&mut self, owner: Owner, count: u64, at: Timestamp) {
        let counted = self.dropped.len() < MAX_COUNTED_RUNS || self.dropped.contains_key(&owner);
        let owner = if counted { owner } else { Owner { run: owner.flow, ..owner } };
        let entry = self.dropped.entry(owner).or_insert((0, at));
        entry.0 = entry.0.saturating_add(count);
        entry.1 = entry.1.max(at);
    }
}

/// The queue between whoever logs and the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Something came, or the end.
    filled: Condvar,
    /// The writer is done with what it took, or for good.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Batch,
    /// Bytes of what the writer holds.
    taken_bytes: usize,
    /// Somebody waits for the writer: it is not to let lines gather.
    hurry: bool,
    is_writing: bool,
    /// The last batch could not be written: what was dropped is said with the next one.
    has_failed: bool,
    is_closed: bool,
    /// The writer has gone: nothing is taken in any more.
    is_over: bool,
}

impl Inner {
    /// Whether there is nothing for the writer to do.
    fn is_idle(&self) -> bool {
        let waiting = &self.waiting;
        let dropped = !waiting.dropped.is_empty() && !self.has_failed;
        waiting.lines.is_empty()
            && waiting.progress.is_empty()
            && waiting.deletions.is_empty()
            && !dropped
    }

    fn room_for(&self, bytes: usize) -> bool {
        let held = self.waiting.bytes.saturating_add(self.taken_bytes);
        held.saturating_add(bytes) <= MAX_QUEUED_LOG_BYTES
    }
}

impl Queue {
    /// Takes a line, or counts it where there is no room. Never waits.
    pub(super) fn push_line(&self, line: Line) {
        let bytes = line.line.message.len().saturating_add(LINE_OVERHEAD);
        let mut inner = self.inner.lock();
        if inner.is_over {
            return;
        }
        if inner.room_for(bytes) {
            inner.waiting.bytes += bytes;
            inner.waiting.lines.push(line);
        } else {
            inner.waiting.drop_line(line.owner, 1, line.at);
        }
        self.filled.notify_one();
    }

    /// Takes the place of what the run said before of its progress. Without room it is left out:
    /// the next one says more.
    pub(super) fn push_progress(&self, progress: NewestProgress) {
        let size = |progress: &NewestProgress| progress.progress.message.len() + LINE_OVERHEAD;
        let bytes = size(&progress);
        let mut inner = self.inner.lock();
        if inner.is_over || !inner.room_for(bytes) {
            return;
        }
        inner.waiting.bytes += bytes;
        if let Some(older) = inner.waiting.progress.insert(progress.owner.run, progress) {
            inner.waiting.bytes -= size(&older);
        }
        self.filled.notify_one();
    }

    /// Hands over a deletion; back when the writer has gone.
    pub(super) fn push_deletion(&self, deletion: Deletion) -> Result<(), Deletion> {
        let mut inner = self.inner.lock();
        if inner.is_over || inner.is_closed {
            return Err(deletion);
        }
        inner.waiting.deletions.push(deletion);
        inner.hurry = true;
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until there is something to write; none when nothing will come any more.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut inner = self.inner.lock();
        while inner.is_idle() {
            if inner.is_closed {
                return None;
            }
            self.filled.wait(&mut inner);
        }
        let until = Instant::now() + GATHER;
        while !(inner.hurry || inner.is_closed) {
            if self.filled.wait_until(&mut inner, until).timed_out() {
                break;
            }
        }
        inner.hurry = false;
        inner.is_writing = true;
        let batch = std::mem::take(&mut inner.waiting);
        inner.taken_bytes = batch.bytes;
        Some(batch)
    }

    /// The writer is done with what it took; what it could not write is counted as dropped.
    pub(super) fn done(&self, unwritten: impl IntoIterator<Item = (Owner, u64, Timestamp)>) {
        let mut inner = self.inner.lock();
        inner.has_failed = false;
        for (owner, count, at) in unwritten {
            inner.has_failed = true;
            inner.waiting.drop_line(owner, count, at);
        }
        inner.taken_bytes = 0;
        inner.is_writing = false;
        self.written.notify_all();
    }

    /// The writer goes. What waits is forgotten, and nothing is taken in from now on.
    pub(super) fn over(&self) {
        let mut inner = self.inner.lock();
        inner.is_over = true;
        inner.is_writing = false;
        inner.taken_bytes = 0;
        // Whoever waits for an answer to a deletion hears that none will come.
        inner.waiting = Batch::default();
        self.written.notify_all();
    }

    /// Waits until everything that came before is written. Whether it was, within `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        while !inner.is_over && (inner.is_writing || !inner.is_idle()) {
            inner.hurry = true;
            self.filled.notify_one();
            if self.written.wait_until(&mut inner, until).timed_out() {
                return false;
            }
        }
        !inner.is_over
    }

    /// Lets the writer go once it has written what is there, and waits for that. Whether it has
    /// gone within `timeout`.
    pub(super) fn close(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        inner.is_closed = true;
        self.filled.notify_one();
        while !inner.is_over {
            if self.written.wait_until(&mut inner, until).timed_out() {
                return inner.is_over;
            }
        }
        true
    }
}
