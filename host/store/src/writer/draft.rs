//! A run's row while what happened to the run is put into it: however much that was, the row is
//! written once.

use std::sync::Arc;

use rusqlite::Connection;
use sandmill_core::{AttemptEnd, State, StateType, Timestamp, Usage};
use sandmill_wire::{Digest, Outcome, RunId};

use super::batch::final_state;
use super::ledger::OpenFlow;
use crate::StoreError;
use crate::ask::Answer;
use crate::blobs::Blobs;
use crate::cache::CacheWrite;
use crate::ops::Change;
use crate::record::{RunEnd, RunKey};
use crate::rows::{AttemptRow, ChangeRow, Kept, RunRow, fault};

/// A run's row in the making.
pub(super) struct Draft<'a> {
    connection: &'a Connection,
    blobs: &'a Blobs,
    flow: &'a mut OpenFlow,
    key: RunKey,
    /// The row as it is written.
    before: Option<RunRow>,
    /// The row as it is to be; none while nothing is known of the run.
    row: Option<RunRow>,
    attempts: Vec<AttemptEnd>,
    changes: Vec<State>,
    /// Blobs of entries of the cache that made room for a new one.
    orphans: Vec<Digest>,
}

impl<'a> Draft<'a> {
    /// Begins with what is written. `fresh`: nothing is, as far as anybody knows.
    pub(super) fn begin(
        connection: &'a Connection,
        blobs: &'a Blobs,
        flow: &'a mut OpenFlow,
        key: RunKey,
        fresh: bool,
    ) -> Result<Self, StoreError> {
        let mut draft = Self {
            connection,
            blobs,
            flow,
            key,
            before: None,
            row: None,
            attempts: Vec::new(),
            changes: Vec::new(),
            orphans: Vec::new(),
        };
        if !fresh {
            let found = RunRow::find(connection, draft.flow.row.rowid, key);
            match found.map_err(|error| fault(connection, error))? {
                Some(Some(row)) => (draft.before, draft.row) = (Some(row.clone()), Some(row)),
                // Whoever writes to it was told that it is damaged, and made it anew.
                Some(None) => draft.throw_away()?,
                None => {}
            }
        }
        Ok(draft)
    }

    /// Deletes the row that is written: a new one takes its place.
    fn throw_away(&mut self) -> Result<(), StoreError> {
        let flow = self.flow.row.rowid;
        RunRow::delete(self.connection, flow, self.key)
            .map_err(|error| fault(self.connection, error))?;
        self.flow.recount(self.connection, self.key)?;
        (self.before, self.row) = (None, None);
        self.attempts.clear();
        self.changes.clear();
        Ok(())
    }

    /// Puts in one thing that happened.
    pub(super) fn apply(&mut self, run: RunId, change: &Change) -> Result<(), StoreError> {
        if let Change::Submitted { name, arguments, at } = change {
            return self.submitted(run, name, *arguments, *at);
        }
        let at = match change {
            Change::State(state) => state.at,
            Change::Attempt(attempt) => attempt.started,
            Change::Ended(end) => end.state.at,
            Change::Submitted { at, .. } | Change::Interrupted { at, .. } => *at,
        };
        let row = match &mut self.row {
            // The first end stays, and what is told of another run by this key is not of this one.
            Some(row) if row.state.is_final() || row.run != run => return Ok(()),
            Some(row) => row,
            none => none.insert(new_row(self.flow.row.rowid, self.key, run, at)),
        };
        match change {
            Change::State(state) if !state.is_final() => {
                if state.kind == StateType::Running {
                    row.started.get_or_insert(state.at);
                    row.attempts = row.attempts.max(row.tried.saturating_add(1));
                }
                if !matches!(&*state.name, "Pending" | "Running") {
                    self.changes.push(state.clone());
                }
                row.state = state.clone();
            }
            Change::Attempt(attempt) => {
                row.started.get_or_insert(attempt.started);
                row.tried = row.tried.max(attempt.number);
                row.attempts = row.attempts.max(row.tried);
                row.last_started = Some(attempt.started);
                row.last_ended = Some(attempt.ended);
                row.usage = attempt.usage;
                self.attempts.push((**attempt).clone());
            }
            Change::Ended(end) => self.ended(end)?,
            Change::Interrupted { at, why } => {
                let state = State::interrupted(*at, Arc::clone(why));
                self.changes.push(state.clone());
                row.state = state;
            }
            // A final state comes with its outcome, by `ended`.
            Change::State(_) | Change::Submitted { .. } => {}
        }
        Ok(())
    }

    fn submitted(
        &mut self,
        run: RunId,
        name: &str,
        arguments: [u8; 16],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(row) = &self.row {
            if row.state.is_final() && self.is_whole(row)? {
                return Ok(());
            }
            if row.state.is_final() || row.run != run {
                // Its value is lost, or whoever took the flow up calls the run by another name.
                self.throw_away()?;
            }
        }
        let usual = usual_name(self.flow.stage_name(self.connection, self.key, name)?, self.key);
        let row = self.row.get_or_insert_with(|| new_row(self.flow.row.rowid, self.key, run, at));
        row.name = (name != usual).then(|| name.to_owned());
        row.arguments = arguments;
        row.state = State::pending(at);
        Ok(())
    }

    /// Whether the outcome of a run that has ended is there still.
    fn is_whole(&self, row: &RunRow) -> Result<bool, StoreError> {
        let Some(kept) = &row.kept else { return Ok(false) };
        match kept.outcome(self.blobs, String::new) {
            Ok(_) => Ok(true),
            Err(StoreError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ended(&mut self, end: &RunEnd) -> Result<(), StoreError> {
        // The blob is on disk before the transaction that names it is committed.
        let kept = Kept::keep(&end.outcome, self.blobs)?;
        let Some(row) = &mut self.row else { return Ok(()) };
        row.kept = Some(kept);
        row.state = final_state(&end.state, &end.outcome);
        row.attempts = end.attempts.max(row.tried);
        row.tried = row.attempts;
        row.value_of = end.value_of;
        row.usage = end.usage;
        row.last_started = row.last_started.filter(|at| Some(*at) != row.started);
        row.last_ended = row.last_ended.filter(|at| *at != row.state.at);
        // The last attempt needs no row where the run ended just as it did.
        let (attempts, outcome) = (row.attempts, end.outcome.name());
        let message = row.state.message.clone();
        self.attempts.retain(|attempt| {
            attempt.number != attempts
                || attempt.outcome != outcome
                || attempt.message != message
                || attempt.usage != end.usage
                || attempt.retry_at.is_some()
        });
        if let (Some(entry), Outcome::Value(_)) = (&end.cache, &end.outcome) {
            let put = CacheWrite::keep(Arc::clone(entry));
            if let Answer::Part { blobs, .. } = put.perform(self.connection, self.blobs)? {
                self.orphans.extend(blobs);
            }
        }
        Ok(())
    }

    /// Takes the blobs that may have lost their readers.
    pub(super) fn orphans(&mut self) -> Vec<Digest> {
        std::mem::take(&mut self.orphans)
    }

    /// Writes the row, and what goes with it.
    pub(super) fn write(self) -> Result<(), StoreError> {
        let Self { connection, flow, key, before, row, attempts, changes, .. } = self;
        let Some(mut row) = row else { return Ok(()) };
        let fault = |error| fault(connection, error);
        if before.as_ref() != Some(&row) {
            row.write(connection).map_err(fault)?;
            flow.count(connection, key, before.as_ref(), &row)?;
        }
        let Some(rowid) = row.rowid else { return Ok(()) };
        for attempt in attempts {
            AttemptRow { run: rowid, attempt }.insert(connection).map_err(fault)?;
        }
        for state in changes {
            let change = ChangeRow { flow: row.flow, run: Some(rowid), state };
            change.insert(connection).map_err(fault)?;
        }
        Ok(())
    }
}

fn new_row(flow: i64, key: RunKey, run: RunId, at: Timestamp) -> RunRow {
    RunRow {
        rowid: None,
        flow,
        key,
        run,
        name: None,
        state: State::pending(at),
        created: at,
        started: None,
        attempts: 0,
        tried: 0,
        arguments: [0; 16],
        kept: None,
        value_of: None,
        last_started: None,
        last_ended: None,
        usage: Usage::default(),
    }
}

/// What a run is called as a rule ([`sandmill_core::Call::run_name`]).
fn usual_name(stage: &str, key: RunKey) -> String {
    match key.index {
        Some(index) => format!("{stage}[{index}]"),
        None => stage.to_owned(),
    }
}
