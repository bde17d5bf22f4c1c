//! One transaction: everything that was taken from the queue at a time. What becomes of it when it
//! fails is in `thread`.

use std::collections::HashMap;

use rusqlite::Connection;
use sandmill_core::State;
use sandmill_wire::{Digest, Outcome, RunId};

use super::answer;
use super::draft::Draft;
use super::ledger::Ledger;
use super::recovery;
use crate::StoreError;
use crate::ask::{Answer, Question};
use crate::blobs::Blobs;
use crate::failpoint::hit;
use crate::journal::FlowSlot;
use crate::ops::{Change, Record};
use crate::queue::Op;
use crate::record::RunKey;
use crate::rows::{Kept, NoteRow, StepRow, fault};

/// Why a flow is interrupted whose journal went away.
const LET_GO: &str = "what ran it let go of it";

/// An answer to the question at this place of the batch.
pub(super) type Answered = (usize, Result<Answer, StoreError>);

/// A transaction in the making.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) blobs: &'a Blobs,
    pub(super) ledger: &'a mut Ledger,
    pub(super) session: [u8; 16],
    /// Whether some of it may be written already, or may not fit what is.
    pub(super) careful: bool,
    /// Blobs that may have lost their readers, once this is committed.
    pub(super) orphans: Vec<Digest>,
    /// Runs that something happened to, in the order in which it did first.
    runs: Vec<Pending<'a>>,
    by_key: HashMap<(i64, RunKey), usize>,
}

/// What happened to one run within the batch.
struct Pending<'a> {
    slot: &'a FlowSlot,
    key: RunKey,
    changes: Vec<(RunId, &'a Change)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        blobs: &'a Blobs,
        ledger: &'a mut Ledger,
        session: [u8; 16],
        careful: bool,
    ) -> Self {
        let (runs, by_key, orphans) = (Vec::new(), HashMap::new(), Vec::new());
        Self { connection, blobs, ledger, session, careful, orphans, runs, by_key }
    }

    /// Puts everything into the transaction that is open.
    pub(super) fn apply(&mut self, ops: &'a [Op]) -> Result<Vec<Answered>, StoreError> {
        let mut answers = Vec::new();
        for (place, op) in ops.iter().enumerate() {
            match op {
                Op::Record(slot, record) => self.record(slot, record)?,
                Op::Ask(ask) => {
                    self.flush()?;
                    match &ask.question {
                        // Only once everything before is committed: see `thread`.
                        Question::DeleteBlobs { .. } => {}
                        question => answers.push((place, self.answer(question)?)),
                    }
                }
                Op::Answered => {}
            }
        }
        self.flush()?;
        Ok(answers)
    }

    fn answer(&mut self, question: &Question) -> Result<Result<Answer, StoreError>, StoreError> {
        self.apart(|batch| answer::answer(batch, question))
    }

    /// Does something that may be refused without harm to the rest of the transaction. The outer
    /// error is one of the whole.
    fn apart<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        let connection = self.connection;
        let run =
            |sql: &str| connection.execute_batch(sql).map_err(|error| fault(connection, error));
        run("SAVEPOINT apart")?;
        match work(self) {
            Ok(done) => {
                run("RELEASE apart")?;
                Ok(Ok(done))
            }
            Err(error) if is_own(&error) => {
                run("ROLLBACK TO apart; RELEASE apart")?;
                // What is known by heart was written before; what came since is undone.
                self.ledger.clear();
                Ok(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    fn record(&mut self, slot: &'a FlowSlot, record: &'a Record) -> Result<(), StoreError> {
        let (connection, flow) = (self.connection, slot.rowid);
        let fault = |error| fault(connection, error);
        if let Record::Run { key, run, change } = record {
            let place = *self.by_key.entry((flow, *key)).or_insert_with(|| {
                self.runs.push(Pending { slot, key: *key, changes: Vec::new() });
                self.runs.len() - 1
            });
            self.runs[place].changes.push((*run, change));
            return Ok(());
        }
        let Some(open) = self.ledger.flow(connection, flow)? else { return Ok(()) };
        let is_final = open.row.state.is_final();
        match record {
            Record::FlowState(state) if !is_final && !state.is_final() => {
                open.go_to(connection, state.clone())?;
            }
            Record::Stage(stage) => open.declare(connection, stage)?,
            Record::Step { seq, body } => {
                if StepRow::insert(connection, flow, *seq, body).map_err(fault)? {
                    open.row.steps += u64::from(!is_final);
                    open.row_changed |= !is_final;
                }
            }
            Record::Note { at, kind, message } => {
                let (kind, message) = (kind.clone(), message.clone());
                NoteRow { flow, at: *at, kind, message }.insert(connection).map_err(fault)?;
            }
            Record::FlowEnded(end) if !is_final => {
                hit("flow-ending");
                let (state, outcome) = &**end;
                open.row.kept = Some(Kept::keep(outcome, self.blobs)?);
                open.go_to(connection, final_state(state, outcome))?;
            }
            Record::LetGo(at) => {
                open.over = true;
                if is_final {
                    return Ok(());
                }
                if open.row.state.kind != sandmill_core::StateType::Paused {
                    open.go_to(connection, State::interrupted(*at, LET_GO))?;
                }
                self.flush()?;
                recovery::interrupt_runs(self, flow, (*at, LET_GO), 0, usize::MAX)?;
            }
            Record::FlowState(_) | Record::FlowEnded(_) | Record::Run { .. } => {}
        }
        Ok(())
    }

    /// Writes what has happened to runs, stages and flows so far.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.by_key.clear();
        for pending in std::mem::take(&mut self.runs) {
            self.write_run(&pending)?;
        }
        self.ledger.write(self.connection)
    }

    fn write_run(&mut self, pending: &Pending<'_>) -> Result<(), StoreError> {
        let Pending { slot, key, changes } = pending;
        let (connection, blobs) = (self.connection, self.blobs);
        // What is submitted twice may take the place of what was written before: of that a new row
        // would know nothing, and no conflict would tell.
        let is_submitted = |(_, change): &(_, &Change)| matches!(change, Change::Submitted { .. });
        let fresh = slot.fresh
            && !self.careful
            && changes.split_first().is_some_and(|(first, others)| {
                is_submitted(first) && !others.iter().any(is_submitted)
            });
        let careful = self.careful;
        let Some(flow) = self.ledger.flow(connection, slot.rowid)? else { return Ok(()) };
        let mut draft = Draft::begin(connection, blobs, flow, *key, fresh)?;
        for (run, change) in changes {
            draft.apply(*run, change)?;
        }
        let orphans = draft.orphans();
        match draft.write() {
            // Two runs by one id: an error of whoever made the ids, which must not harm the rest.
            Err(error) if careful && is_conflict(&error) => Ok(()),
            written => {
                self.orphans.extend(orphans);
                written
            }
        }
    }
}

/// The state of what ended with this outcome, whatever whoever says so calls it.
pub(super) fn final_state(state: &State, outcome: &Outcome) -> State {
    if state.is_final() { state.clone() } else { State::from_outcome(outcome, state.at) }
}

/// Whether an error is of one question alone, and no reason to doubt the rest of the transaction.
fn is_own(error: &StoreError) -> bool {
    match error {
        StoreError::Sqlite { .. } => is_conflict(error),
        StoreError::Full { .. } | StoreError::Io { .. } | StoreError::Damaged { .. } => false,
        _ => true,
    }
}

/// Whether a row did not fit the rows that are there.
pub(super) fn is_conflict(error: &StoreError) -> bool {
    let StoreError::Sqlite { source, .. } = error else { return false };
    source.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}
