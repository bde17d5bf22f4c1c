//! The journal of one flow run: what happens in it goes to the writer, and what was recorded
//! before is read from here. How records are written is with the writer.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rusqlite::Connection;
use sandmill_core::{CancelToken, Clock, Past, State, Timestamp};
use sandmill_wire::{Outcome, RunId};

use crate::StoreError;
use crate::ahead::Ahead;
use crate::intact;
use crate::ops::{Change, Record};
use crate::queue::{Health, Op};
use crate::record::{AttemptRecord, Earlier, Recorded, RunEnd, RunKey, StageRecord};
use crate::recorded;
use crate::store::Shared;
use crate::unwritten::Unwritten;

/// Positions that [`Journal::told`] reads at a time.
const TOLD_PAGE: usize = 10_000;

/// A flow run that is in somebody's hands, as the writer knows it.
#[derive(Debug)]
pub(crate) struct FlowSlot {
    pub(crate) run: RunId,
    /// Its row.
    pub(crate) rowid: i64,
    /// Whether it was made by whoever holds it: then nothing is recorded of its runs yet.
    pub(crate) fresh: bool,
}

/// The journal of one flow run. Cheap to clone. When the last clone of one whose flow has not
/// ended goes, the flow is marked as interrupted.
///
/// Everything that says what happened only goes into the queue of the writer: it never waits and
/// never fails. [`Journal::sync`] says whether it has arrived.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    slot: Arc<FlowSlot>,
    shared: Arc<Shared>,
    taken_up: bool,
    reader: Arc<Mutex<Reading>>,
    ahead: Mutex<Ahead>,
    unwritten: Mutex<Unwritten>,
    /// What the first read said that failed though no record is damaged.
    unreadable: OnceLock<Arc<str>>,
}

/// For reading what was recorded before.
#[derive(Default)]
pub(crate) struct Reading {
    /// Opened when it is needed first.
    connection: Option<Connection>,
    /// Other flows that were found to be whole.
    whole: HashSet<RunId>,
}

impl Reading {
    /// Closes the connection. It is opened again if need be.
    pub(crate) fn close(&mut self) {
        self.connection = None;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.readers.lock().remove(&self.slot.run);
        // Before the store, which may go with this.
        self.reader.lock().close();
        let at = Clock::system().now();
        let _ = self.shared.queue.push(Op::Record(Arc::clone(&self.slot), Record::LetGo(at)));
        // After that: whoever takes it up next comes after it in the queue.
        self.shared.running.lock().remove(&self.slot.run);
    }
}

impl Journal {
    pub(crate) fn new(shared: Arc<Shared>, slot: FlowSlot) -> Self {
        let taken_up = !slot.fresh;
        let reader: Arc<Mutex<Reading>> = Arc::default();
        shared.readers.lock().insert(slot.run, Arc::downgrade(&reader));
        Self(Arc::new(Inner {
            slot: Arc::new(slot),
            shared,
            taken_up,
            reader,
            ahead: Mutex::default(),
            unwritten: Mutex::default(),
            unreadable: OnceLock::new(),
        }))
    }

    fn push(&self, record: Record) -> Option<u64> {
        if let Record::Run { key, .. } = &record
            && self.0.taken_up
        {
            self.0.ahead.lock().touch(*key);
        }
        self.0.shared.queue.push(Op::Record(Arc::clone(&self.0.slot), record))
    }

    /// The flow run.
    #[must_use]
    pub fn flow(&self) -> RunId {
        self.0.slot.run
    }

    /// Whether the flow run was begun before, so that some of it may be recorded.
    #[must_use]
    pub fn is_taken_up(&self) -> bool {
        self.0.taken_up
    }

    /// The flow run went to this state. For a final one there is [`Journal::flow_ended`].
    pub fn flow_state(&self, state: &State) {
        let _ = self.push(Record::FlowState(state.clone()));
    }

    /// A stage of the flow; again when more is known of it.
    pub fn stage(&self, stage: &StageRecord) {
        let _ = self.push(Record::Stage(Box::new(stage.clone())));
    }

    /// A run came to be. `arguments`: see [`crate::RunRecord::arguments`].
    pub fn submitted(
        &self,
        key: RunKey,
        run: RunId,
        name: &Arc<str>,
        arguments: [u8; 16],
        at: Timestamp,
    ) {
        let name = Arc::clone(name);
        let _ =
            self.push(Record::Run { key, run, change: Change::Submitted { name, arguments, at } });
    }

    /// A run went to this state. For a final one there is [`Journal::ended`].
    pub fn state(&self, key: RunKey, run: RunId, state: &State) {
        let _ = self.push(Record::Run { key, run, change: Change::State(state.clone()) });
    }

    /// An attempt at a run ended.
    pub fn attempt(&self, key: RunKey, run: RunId, attempt: &AttemptRecord) {
        let _ =
            self.push(Record::Run { key, run, change: Change::Attempt(Box::new(attempt.clone())) });
    }

    /// A run ended for good.
    pub fn ended(&self, key: RunKey, run: RunId, end: RunEnd) {
        let outcome = end.outcome.clone();
        let mut unwritten = self.0.unwritten.lock();
        unwritten.written(self.0.shared.queue.durable());
        let place = self.push(Record::Run { key, run, change: Change::Ended(Box::new(end)) });
        if let Some(place) = place {
            unwritten.add(place, key, run, outcome);
        }
    }

    /// What ran a run stopped: it keeps its id and its attempts, and can go on.
    pub fn interrupted(&self, key: RunKey, run: RunId, at: Timestamp, why: &str) {
        let _ = self.push(Record::Run {
            key,
            run,
            change: Change::Interrupted { at, why: why.into() },
        });
    }

    /// One command or observation of a flow component. No two have the same number; of two that
    /// have, the first stays.
    pub fn step(&self, seq: u64, body: Vec<u8>) {
        let _ = self.push(Record::Step { seq, body });
    }

    /// Something else that happened to the flow: a hook, a resume, a request to cancel.
    pub fn note(&self, at: Timestamp, kind: &str, message: &str) {
        let _ = self.push(Record::Note { at, kind: kind.to_owned(), message: message.to_owned() });
    }

    /// The flow run ended for good.
    pub fn flow_ended(&self, state: &State, outcome: &Outcome) {
        let _ = self.push(Record::FlowEnded(Box::new((state.clone(), outcome.clone()))));
    }

    /// What is recorded of one of the flow's runs.
    ///
    /// # Errors
    /// The store cannot be read. A record that is damaged is no error but [`Recorded::Corrupt`].
    pub fn recorded(&self, key: RunKey) -> Result<Option<Recorded>, StoreError> {
        let (blobs, flow) = (&self.0.shared.blobs, self.0.slot.rowid);
        if !self.0.taken_up {
            return self.read(|reader| recorded::run(reader, blobs, flow, key));
        }
        self.read(|reader| {
            // What is said of a run meanwhile comes before what is read ahead, or after it.
            recorded::run_in_order(reader, blobs, flow, key, &mut self.0.ahead.lock())
        })
    }

    /// How one of the flow's runs ended of which [`Journal::ended`] was told and which is not on
    /// disk yet: what [`Journal::recorded`] cannot know. Does not wait, also on a full disk.
    #[must_use]
    pub fn ended_lately(&self, key: RunKey) -> Option<(RunId, Outcome)> {
        let mut unwritten = self.0.unwritten.lock();
        unwritten.written(self.0.shared.queue.durable());
        unwritten.get(key).cloned()
    }

    /// What one of the flow's runs has behind it that is [`Recorded::Unfinished`]: how many of its
    /// attempts were cut off with their process, how many ran out of memory, and when the next one
    /// is due.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn past(&self, key: RunKey) -> Result<Past, StoreError> {
        self.read(|reader| recorded::past(reader, self.0.slot.rowid, key))
    }

    /// What is recorded of a run of another flow run, by the name of its stage.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded of its stages is damaged, or the store cannot be
    /// read.
    pub fn recorded_of(
        &self,
        flow: RunId,
        stage_name: &str,
        index: Option<u64>,
    ) -> Result<Option<Earlier>, StoreError> {
        let blobs = &self.0.shared.blobs;
        let mut reading = self.0.reader.lock();
        let Reading { connection, whole } = &mut *reading;
        let read = with(&self.0.shared, connection, |connection| {
            if !whole.contains(&flow) {
                intact::check_runs(connection, flow)?;
            }
            recorded::earlier(connection, blobs, flow, stage_name, index)
        })?;
        // It has ended, or nobody but this process could run it: it stays whole.
        whole.insert(flow);
        Ok(read)
    }

    /// Tells of each run of a stage, by position, that was called, or that ended without being
    /// called for any reason but that no more were to be started: what a script recalls when its
    /// flow is taken up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn told(&self, stage: u32, mut tell: impl FnMut(Option<u64>)) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let rowid = self.0.slot.rowid;
            let page =
                self.read(|reader| recorded::told(reader, rowid, stage, after, TOLD_PAGE))?;
            page.iter().for_each(|index| tell(u64::try_from(*index).ok()));
            match page.last() {
                Some(last) if page.len() == TOLD_PAGE => after = *last,
                _ => return Ok(()),
            }
        }
    }

    /// Steps of the flow component's journal from this number on, no more than `limit`.
    ///
    /// # Errors
    /// One of them is damaged, or the store cannot be read.
    pub fn steps(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|reader| recorded::steps(reader, self.0.slot.rowid, from, limit))
    }

    fn read<T>(
        &self,
        what: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let read = with(&self.0.shared, &mut self.0.reader.lock().connection, what);
        read.inspect_err(|error| {
            // What is damaged stays so.
            if !matches!(error, StoreError::Corrupt { .. }) {
                let _first = self.0.unreadable.set(error.to_string().into());
            }
        })
    }

    /// Why the flow cannot go on for now, in words, where a read of its journal failed that may work
    /// later: then the flow should stop, and nothing that follows from it be written down.
    #[must_use]
    pub fn unreadable(&self) -> Option<Arc<str>> {
        self.0.unreadable.get().cloned()
    }

    /// How many records wait for the writer, of all flows.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.0.shared.queue.backlog()
    }

    /// Pending while so much waits for the writer ([`crate::MAX_BACKLOG`]) that the flow should
    /// make no further calls.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.shared.queue.poll_room(context)
    }

    /// Why the store records nothing any more, where that is so: then the flow should stop.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<StoreError>> {
        match self.0.shared.queue.health() {
            Health::Failed(error) => Some(error),
            Health::Good | Health::Full { .. } => None,
        }
    }

    /// Waits until everything that was said so far is on disk. On a full disk that takes until
    /// there is room, or until `cancel` is cancelled.
    ///
    /// # Errors
    /// The store has failed for good or was closed, or the wait was cancelled.
    pub fn sync(&self, cancel: Option<&CancelToken>) -> Result<(), StoreError> {
        self.0.shared.queue.sync(cancel)
    }
}

/// Reads by the connection that is open, or opens one.
fn with<T>(
    shared: &Shared,
    place: &mut Option<Connection>,
    what: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Put back only after it served: the next one is not to suffer from one that did not.
    let connection = match place.take() {
        Some(connection) => connection,
        None => shared.open_reader()?,
    };
    let read = what(&connection)?;
    *place = Some(connection);
    Ok(read)
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("flow", &self.0.slot.run).finish_non_exhaustive()
    }
}
