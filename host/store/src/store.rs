//! The one writer of a data directory, as its owner sees it. What it does on its thread is in
//! `writer`; reading is in `reader`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use sandmill_core::{CancelToken, Timestamp};
use sandmill_wire::{Digest, RunId};

use crate::StoreError;
use crate::ask::{Answer, Ask, Question};
use crate::blobs::Blobs;
use crate::db::{self, HISTORY, MIGRATIONS};
use crate::failpoint::hit;
use crate::intact;
use crate::journal::{FlowSlot, Journal, Reading};
use crate::lock::{Lock, lasting_dir, private_dir, sync_dir};
use crate::queue::{Health, Op, Queue};
use crate::record::NewFlow;
use crate::requests;
use crate::writer::Writer;

/// Which data directory, and who asks for it.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The directory. It is made if need be, so that only this user can reach it.
    pub dir: PathBuf,
    /// How long to wait for another holder; zero: refuse at once.
    pub wait: Duration,
    /// What this process is, for whoever is refused because of it: `sandmill run census`.
    pub holder: String,
}

/// What became of a flow run that was to be made.
#[derive(Debug)]
pub enum Created {
    /// It was made.
    New(Journal),
    /// There is one with its idempotency key.
    Exists(RunId),
}

/// The one writer of a data directory. Cheap to clone. The directory is free for others when it is
/// closed, or when the last clone and the last [`Journal`] have gone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

/// What a store and its journals share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) queue: Arc<Queue>,
    pub(crate) blobs: Blobs,
    /// The flow runs that are in somebody's hands.
    pub(crate) running: Mutex<HashSet<RunId>>,
    /// What journals read by, for as long as they are there: to be closed before the writer is.
    pub(crate) readers: Mutex<HashMap<RunId, Weak<Mutex<Reading>>>>,
    /// Hands back the connection that it wrote by.
    thread: Mutex<Option<std::thread::JoinHandle<Connection>>>,
    /// Until the store is closed.
    lock: Mutex<Option<Lock>>,
}

impl Shared {
    /// A connection for reading what is committed.
    pub(crate) fn open_reader(&self) -> Result<Connection, StoreError> {
        db::open_reader(&self.dir.join(HISTORY), MIGRATIONS)
    }

    fn ask(&self, question: Question) -> Result<Answer, StoreError> {
        let (ask, answer) = Ask::new(question);
        self.queue.ask(ask)?;
        // The writer answers everything that it took; it is gone when it dropped the question.
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn stop(&self) {
        self.queue.close();
        // A writer that panicked has said so to everybody who waits.
        if let Some(Ok(writer)) = self.thread.lock().take().map(std::thread::JoinHandle::join) {
            let readers = std::mem::take(&mut *self.readers.lock());
            readers.values().filter_map(Weak::upgrade).for_each(|reader| reader.lock().close());
            let is_whole = !matches!(self.queue.health(), Health::Failed(_));
            db::close_writer(writer, is_whole);
        }
        // Nobody writes any more: the directory is free.
        drop(self.lock.lock().take());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Store {
    /// Opens a data directory for writing: takes its lock, brings its schema up to date, and marks
    /// flow runs as interrupted whose process went away.
    ///
    /// # Errors
    /// Another process holds the directory, a newer version wrote it, it is damaged, or it cannot
    /// be read or written.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let StoreConfig { dir, wait, holder } = config;
        lasting_dir(&dir)?;
        let lock = Lock::take(&dir, &holder, wait)?;
        let blobs = Blobs::at(&dir);
        let connection = db::open_writer(&dir.join(HISTORY), MIGRATIONS)?;
        blobs.prepare()?;
        private_dir(&requests::folder(&dir))?;
        // What was just made in it has to stay there.
        sync_dir(&dir)?;
        let queue = Arc::new(Queue::default());
        let mut writer =
            Writer::new(dir.clone(), connection, blobs.clone(), Arc::clone(&queue), lock.session);
        writer.recover()?;
        let thread = std::thread::Builder::new()
            .name("sandmill-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::io(&dir, error))?;
        let (running, readers) = (Mutex::default(), Mutex::default());
        let thread = Mutex::new(Some(thread));
        let lock = Mutex::new(Some(lock));
        Ok(Self(Arc::new(Shared { dir, queue, blobs, running, readers, thread, lock })))
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Writes bytes as a blob; returns when it is there for good. Nobody deletes it before this
    /// store is closed, whether anything names it or not.
    ///
    /// # Errors
    /// It cannot be written, or the store is closed.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        if self.0.lock.lock().is_none() {
            return Err(StoreError::Closed);
        }
        self.0.blobs.put_pinned(bytes)
    }

    /// Makes a flow run; it is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written, or there is a flow run of the same id.
    pub fn create_flow(&self, flow: NewFlow, at: Timestamp) -> Result<Created, StoreError> {
        let run = flow.run;
        self.0.running.lock().insert(run);
        let question = Question::CreateFlow { flow: Arc::new(flow), at };
        match self.0.ask(question) {
            Ok(Answer::Created { rowid }) => {
                hit("flow-created");
                let slot = FlowSlot { run, rowid, fresh: true };
                Ok(Created::New(Journal::new(Arc::clone(&self.0), slot)))
            }
            Ok(Answer::Exists(other)) => {
                self.let_go(run);
                Ok(Created::Exists(other))
            }
            answer => {
                self.let_go(run);
                answer.and(Err(StoreError::Closed))
            }
        }
    }

    /// Takes up a flow run that was interrupted.
    ///
    /// # Errors
    /// There is no such flow run, it has ended, this process runs it now, or what is recorded of it
    /// is damaged.
    pub fn take_up(&self, flow: RunId, at: Timestamp) -> Result<Journal, StoreError> {
        if !self.0.running.lock().insert(flow) {
            return Err(StoreError::Running { flow });
        }
        // By another connection, because it takes a while with a large flow.
        let checked = self.0.open_reader().and_then(|reader| intact::check(&reader, flow));
        match checked.and_then(|()| self.0.ask(Question::TakeUp { flow, at })) {
            Ok(Answer::TakenUp { rowid }) => {
                hit("flow-taken-up");
                let slot = FlowSlot { run: flow, rowid, fresh: false };
                Ok(Journal::new(Arc::clone(&self.0), slot))
            }
            answer => {
                self.let_go(flow);
                answer.and(Err(StoreError::Closed))
            }
        }
    }

    /// Ends a flow run that nobody runs, and its open runs, as cancelled.
    ///
    /// # Errors
    /// There is no such flow run, it has ended, or this process runs it now.
    pub fn cancel_flow(&self, flow: RunId, why: &str, at: Timestamp) -> Result<(), StoreError> {
        self.while_held(flow, || {
            let question = || Question::CancelFlow { flow, why: why.into(), at };
            while let Answer::Part { more: true, .. } = self.0.ask(question())? {}
            Ok(())
        })
    }

    /// Does something with a flow run that nobody else may take meanwhile.
    pub(crate) fn while_held<T>(
        &self,
        flow: RunId,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.0.running.lock().insert(flow) {
            return Err(StoreError::Running { flow });
        }
        let done = work();
        self.let_go(flow);
        done
    }

    pub(crate) fn is_running(&self, flow: RunId) -> bool {
        self.0.running.lock().contains(&flow)
    }

    pub(crate) fn open_reader(&self) -> Result<Connection, StoreError> {
        self.0.open_reader()
    }

    fn let_go(&self, flow: RunId) {
        self.0.running.lock().remove(&flow);
    }

    pub(crate) fn ask(&self, question: Question) -> Result<Answer, StoreError> {
        self.0.ask(question)
    }

    /// Asks something that nobody is in a hurry to know; the answer comes once it is on disk.
    pub(crate) fn post(&self, question: Question) -> Receiver<Result<Answer, StoreError>> {
        let (ask, answer) = Ask::new(question);
        let _ = self.0.queue.push(Op::Ask(ask));
        answer
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Waits until everything that was said so far is on disk. On a full disk that takes until
    /// there is room, or until `cancel` is cancelled.
    ///
    /// # Errors
    /// The store has failed for good or was closed, or the wait was cancelled.
    pub fn sync(&self, cancel: Option<&CancelToken>) -> Result<(), StoreError> {
        self.0.queue.sync(cancel)
    }

    /// How the store is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.queue.health()
    }

    /// Asks, from any process, that a flow run be cancelled by whoever runs it.
    ///
    /// # Errors
    /// The request cannot be written.
    pub fn request_cancel(dir: &Path, flow: RunId) -> Result<(), StoreError> {
        requests::request_cancel(dir, flow)
    }

    /// The flow runs that somebody asked to cancel since this was called last.
    #[must_use]
    pub fn cancel_requests(&self) -> Vec<RunId> {
        requests::take(&self.0.dir)
    }

    /// Writes what waits and ends the writer. What journals say afterwards is dropped. On a full
    /// disk it does not wait for room.
    pub fn close(self) {
        self.0.stop();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}
