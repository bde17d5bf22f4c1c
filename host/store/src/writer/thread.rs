//! The loop of the writer: takes what waits, commits it, and answers. What to do when the disk is
//! full or fails is decided here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use sandmill_core::Clock;

use super::batch::{Answered, Batch, is_conflict};
use super::ledger::Ledger;
use super::orphans;
use crate::StoreError;
use crate::ask::Question;
use crate::blobs::Blobs;
use crate::db::{self, HISTORY, MIGRATIONS};
use crate::failpoint::{fails, hit};
use crate::ops::Record;
use crate::queue::{Op, Queue};
use crate::rows::fault;

/// The most records of one transaction.
pub const MAX_BATCH: usize = 8192;

/// The most bytes that the values of one transaction have, unless one alone has more.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How long the writer waits before it tries a full disk again.
pub const STORE_RETRY: Duration = Duration::from_millis(500);

/// Blocks or inodes below which a disk that refuses to write is taken to be full.
const NO_ROOM: u64 = 64;

/// The one that writes.
pub(crate) struct Writer {
    dir: PathBuf,
    pub(super) connection: Connection,
    pub(super) blobs: Blobs,
    queue: Arc<Queue>,
    pub(super) session: [u8; 16],
    ledger: Ledger,
}

/// Says that the store has failed when the writer's thread ends by a panic, so that nobody waits
/// for it for ever.
struct Watch(Arc<Queue>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = "the writer of the store panicked".to_owned();
            self.0.fail(&Arc::new(StoreError::Corrupt { what: message }));
        }
    }
}

impl Writer {
    pub(crate) fn new(
        dir: PathBuf,
        connection: Connection,
        blobs: Blobs,
        queue: Arc<Queue>,
        session: [u8; 16],
    ) -> Self {
        Self { dir, connection, blobs, queue, session, ledger: Ledger::default() }
    }

    /// Writes until the queue is closed and empty, or until the store has failed. Hands back the
    /// connection, for it to be closed last.
    pub(crate) fn run(mut self) -> Connection {
        let watch = Watch(Arc::clone(&self.queue));
        while let Some(mut batch) = self.queue.take(MAX_BATCH, MAX_BATCH_BYTES) {
            if let Err(error) = self.write(&mut batch) {
                let error = Arc::new(error);
                let lost = self.queue.fail(&error);
                for op in batch.into_iter().chain(lost) {
                    if let Op::Ask(ask) = op {
                        ask.answer(Err(StoreError::Failed(Arc::clone(&error))));
                    }
                }
                // Whatever is pushed from now on is refused by the queue itself.
                break;
            }
        }
        drop(watch);
        self.connection
    }

    /// Commits a batch, however long the disk is full. Fails when the store has failed for good.
    fn write(&mut self, batch: &mut [Op]) -> Result<(), StoreError> {
        let mut careful = false;
        let mut reopened = false;
        loop {
            let error = match self.commit(batch, careful) {
                Ok(answers) => {
                    self.answer(batch, answers);
                    return Ok(());
                }
                Err(error) => error,
            };
            // What was known by heart may be of the transaction that failed.
            self.ledger.clear();
            if is_conflict(&error) && !careful {
                careful = true;
                continue;
            }
            match self.full(error) {
                Ok(what) => {
                    for op in batch.iter_mut() {
                        // Who asks decides for itself whether to wait for room.
                        if let Op::Ask(ask) = op {
                            ask.answer(Err(StoreError::Full { what: what.clone() }));
                            *op = Op::Answered;
                        }
                    }
                    let closed =
                        self.queue.wait_for_room(&what, Clock::system().now(), STORE_RETRY);
                    if closed {
                        // Once more, and not for ever: whoever closed it waits.
                        let answers = self.commit(batch, true)?;
                        self.answer(batch, answers);
                        return Ok(());
                    }
                    // A write-ahead log that could not grow is begun anew.
                    careful = true;
                }
                Err(error) if reopened => return Err(error),
                // Pages that failed to reach the disk may be taken for written from now on, so
                // nothing that this connection remembers is to be trusted.
                Err(_) => {
                    self.reopen()?;
                    (reopened, careful) = (true, true);
                }
            }
        }
    }

    fn commit(&mut self, batch: &[Op], careful: bool) -> Result<Vec<Answered>, StoreError> {
        let connection = &self.connection;
        let fault = |error| fault(connection, error);
        hit("batch-begun");
        let transaction =
            rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
                .map_err(fault)?;
        let (ending, creating) = (has_end(batch), has_creation(batch));
        if creating {
            hit("flow-creating");
        }
        let mut making =
            Batch::new(connection, &self.blobs, &mut self.ledger, self.session, careful);
        let answers = making.apply(batch)?;
        let unnamed = std::mem::take(&mut making.orphans);
        self.fails("batch-written")?;
        if creating {
            hit("flow-written");
        }
        transaction.commit().map_err(fault)?;
        // One that only seems to have failed, too.
        self.fails("batch-committed")?;
        if ending {
            hit("flow-ended");
        }
        self.ledger.tidy();
        if !unnamed.is_empty() {
            // One that cannot be deleted now is found when blobs are looked through.
            drop(orphans::delete(connection, &self.blobs, &unnamed));
        }
        Ok(answers)
    }

    fn fails(&self, point: &'static str) -> Result<(), StoreError> {
        fails(point).map_err(|error| StoreError::io(&self.dir.join(HISTORY), error))
    }

    /// Tells everybody, once the batch is on disk.
    fn answer(&mut self, batch: &mut [Op], answers: Vec<Answered>) {
        // First the count of what is on disk, so that it holds for whoever gets an answer.
        self.queue.settled();
        for (place, answer) in answers {
            if let Op::Ask(ask) = &batch[place] {
                ask.answer(answer);
            }
        }
        for op in batch.iter() {
            if let Op::Ask(ask) = op
                && let Question::DeleteBlobs { digests } = &ask.question
            {
                ask.answer(orphans::delete(&self.connection, &self.blobs, digests));
            }
        }
    }

    /// Whether an error says that the disk is full: then what could not be written.
    fn full(&self, error: StoreError) -> Result<String, StoreError> {
        match error {
            StoreError::Full { what } => Ok(what),
            // SQLite has other words for it too, when it cannot make or grow its own files.
            StoreError::Sqlite { ref path, ref source }
                if matches!(
                    source.sqlite_error_code(),
                    Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)
                ) && !has_room(&self.dir) =>
            {
                Ok(path.display().to_string())
            }
            error => Err(error),
        }
    }

    /// Begins anew with the database file after a write has failed.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let path = self.dir.join(HISTORY);
        self.connection = db::open_writer(&path, MIGRATIONS)?;
        // What is in the write-ahead log may only look as if it were on disk. It is read, written
        // to the database, and that is synced; the log begins anew.
        let busy: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|error| StoreError::sqlite(&path, error))?;
        if busy != 0 {
            let what = "the write-ahead log cannot be begun anew while others read it".to_owned();
            return Err(StoreError::Io { path, source: std::io::Error::other(what) });
        }
        Ok(())
    }
}

fn has_end(batch: &[Op]) -> bool {
    batch.iter().any(|op| matches!(op, Op::Record(_, Record::FlowEnded(_))))
}

fn has_creation(batch: &[Op]) -> bool {
    let is = |op: &Op| match op {
        Op::Ask(ask) => matches!(ask.question, Question::CreateFlow { .. }),
        _ => false,
    };
    batch.iter().any(is)
}

/// Whether there is room for more than a few blocks and inodes.
fn has_room(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|fs| {
        // Some file systems count no inodes at all.
        fs.f_bavail > NO_ROOM && (fs.f_files == 0 || fs.f_favail > 0)
    })
}
