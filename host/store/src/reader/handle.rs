//! A reader of one data directory: what is known of a flow run, a stage, a run. Lists are in
//! `lists`, names in `find`, what happened in order in `events`.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;
use sandmill_core::{State, StateType};
use sandmill_wire::{Digest, Outcome, RunId};

use super::open::open_read_only;
use super::records::{FlowRecord, StageSummary};
use crate::StoreError;
use crate::blobs::Blobs;
use crate::db::{HISTORY, MIGRATIONS};
use crate::lock::Holder;
use crate::record::{AttemptRecord, FlowSource, RunKey, RunRecord};
use crate::rows::{ATTEMPT_COLUMNS, AttemptRow, FlowRow, Kept, RunRow, SourceRow, StageRow, fault};

/// Why a flow run that nobody runs any more is not running.
const WENT_AWAY: &str = "the process that ran it went away";

/// Reads a data directory. It needs no lock, sees what is committed, and disturbs nobody.
pub struct Reader {
    dir: PathBuf,
    blobs: Blobs,
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Who writes to the directory at this moment, as far as that can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// The holding with this id.
    Session([u8; 16]),
    /// Nobody.
    Nobody,
    /// Somebody who has not said who it is.
    Unknown,
}

impl Live {
    fn of(dir: &Path) -> Result<Self, StoreError> {
        Ok(match Holder::of(dir)? {
            None => Self::Nobody,
            Some(holder) if holder.pid == 0 => Self::Unknown,
            Some(holder) => Self::Session(*holder.session.as_uuid().as_bytes()),
        })
    }

    /// Whether somebody may be running what this holding ran last.
    pub(super) fn runs(self, session: &[u8; 16]) -> bool {
        match self {
            Self::Session(live) => live == *session,
            Self::Nobody => false,
            Self::Unknown => true,
        }
    }
}

/// The state as it is shown: where nobody runs the flow, nothing of it is under way.
pub(super) fn shown(state: &State, is_live: bool) -> State {
    if is_live || state.is_final() || state.kind == StateType::Paused {
        return state.clone();
    }
    State::interrupted(state.at, WENT_AWAY)
}

impl Reader {
    /// Opens a data directory for reading.
    ///
    /// # Errors
    /// [`StoreError::NoStore`] where there is no store; else when it cannot be read, is damaged,
    /// or was written by a newer version.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let opened = open_read_only(&dir.join(HISTORY), MIGRATIONS)?;
        let connection = opened.ok_or_else(|| StoreError::NoStore { dir: dir.to_owned() })?;
        let connection = Mutex::new(connection);
        Ok(Self { dir: dir.to_owned(), blobs: Blobs::at(dir), connection })
    }

    /// Does something with the database, which does not change meanwhile.
    pub(super) fn read<T>(
        &self,
        what: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.connection.lock();
        let snapshot =
            connection.unchecked_transaction().map_err(|error| fault(&connection, error))?;
        what(&snapshot)
    }

    pub(super) fn live(&self) -> Result<Live, StoreError> {
        Live::of(&self.dir)
    }

    /// What is known of a flow run; none where there is none.
    ///
    /// # Errors
    /// What is recorded of it is damaged, or the store cannot be read.
    pub fn flow(&self, id: RunId) -> Result<Option<FlowRecord>, StoreError> {
        let live = self.live()?;
        let row = self.read(|connection| flow_row(connection, id))?;
        row.map(|row| flow_record(row, live)).transpose()
    }

    /// The stages of a flow run, by number, with what their runs add up to.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded of it is damaged, or the store cannot be read.
    pub fn stages(&self, id: RunId) -> Result<Vec<StageSummary>, StoreError> {
        let live = self.live()?;
        self.read(|connection| {
            let flow = known_flow(connection, id)?;
            let is_live = live.runs(&flow.session);
            let rows =
                StageRow::all(connection, flow.rowid).map_err(|error| fault(connection, error))?;
            if (rows.len() as u64) < flow.stages {
                return Err(StoreError::corrupt(format!(
                    "a stage of flow run {id} is lost, so it"
                )));
            }
            let summary = |row: Option<StageRow>| {
                let row = row.filter(|row| row.flow == flow.rowid);
                row.map(|row| StageSummary::of(row, is_live))
                    .ok_or_else(|| StoreError::corrupt(format!("a stage of flow run {id}")))
            };
            rows.into_iter().map(summary).collect()
        })
    }

    /// What is known of a run; none where there is none.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded is damaged, or the store cannot be read.
    pub fn run(&self, flow: RunId, key: RunKey) -> Result<Option<RunRecord>, StoreError> {
        let live = self.live()?;
        self.read(|connection| {
            let flow = known_flow(connection, flow)?;
            let row = run_row(connection, &flow, key)?;
            Ok(row.map(|row| run_record(&row, live.runs(&flow.session))))
        })
    }

    /// The attempts at a run that have ended, in order.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded is damaged, or the store cannot be read.
    pub fn attempts(&self, flow: RunId, key: RunKey) -> Result<Vec<AttemptRecord>, StoreError> {
        self.read(|connection| {
            let flow = known_flow(connection, flow)?;
            let Some(run) = run_row(connection, &flow, key)? else { return Ok(Vec::new()) };
            let sql =
                format!("SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE run = ? ORDER BY number");
            let rows = connection
                .prepare_cached(&sql)
                .and_then(|mut select| select.query_map([run.rowid], AttemptRow::read)?.collect())
                .map_err(|error| fault(connection, error))?;
            let rows: Vec<Option<AttemptRow>> = rows;
            let damaged = || StoreError::corrupt(format!("an attempt at run {}", run.run));
            let attempt = |row: Option<AttemptRow>| {
                let row = row.filter(|row| Some(row.run) == run.rowid);
                row.map(|row| row.attempt).ok_or_else(damaged)
            };
            let mut attempts = rows.into_iter().map(attempt).collect::<Result<Vec<_>, _>>()?;
            if let Some(last) = self.last_attempt(&run)?
                && attempts.last().is_none_or(|attempt| attempt.number < last.number)
            {
                attempts.push(last);
            }
            Ok(attempts)
        })
    }

    /// The attempt that a run ended with, as the run's own row says it.
    fn last_attempt(&self, run: &RunRow) -> Result<Option<AttemptRecord>, StoreError> {
        let (true, Some(started)) = (run.state.is_final(), run.last_started.or(run.started)) else {
            return Ok(None);
        };
        if run.attempts == 0 {
            return Ok(None);
        }
        let outcome = match &run.kept {
            Some(Kept::Value(_) | Kept::Blob(_)) => "value".to_owned(),
            Some(kept @ Kept::Other(_)) => self.outcome_of(kept, run)?.name().to_owned(),
            None => return Ok(None),
        };
        let is_value = outcome == "value";
        Ok(Some(AttemptRecord {
            number: run.attempts,
            started,
            ended: run.last_ended.unwrap_or(run.state.at),
            outcome,
            message: run.state.message.clone().filter(|_| !is_value),
            usage: run.usage,
            retry_at: None,
        }))
    }

    fn outcome_of(&self, kept: &Kept, run: &RunRow) -> Result<Outcome, StoreError> {
        kept.outcome(&self.blobs, || format!("the result of run {}", run.run))
    }

    /// How a run ended; none where it has not, or where there is none.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded or the file of the value is damaged, or the
    /// store cannot be read.
    pub fn outcome(&self, flow: RunId, key: RunKey) -> Result<Option<Outcome>, StoreError> {
        let run = self.read(|connection| {
            let flow = known_flow(connection, flow)?;
            run_row(connection, &flow, key)
        })?;
        let Some(run) = run else { return Ok(None) };
        run.kept.as_ref().map(|kept| self.outcome_of(kept, &run)).transpose()
    }

    /// How a flow run ended; none where it has not.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded or the file of the value is damaged, or the
    /// store cannot be read.
    pub fn flow_outcome(&self, flow: RunId) -> Result<Option<Outcome>, StoreError> {
        let row = self.read(|connection| known_flow(connection, flow))?;
        let what = || format!("the result of flow run {flow}");
        row.kept.map(|kept| kept.outcome(&self.blobs, what)).transpose()
    }

    /// The bytes of a blob, which are what its name says.
    ///
    /// # Errors
    /// There is none, it is damaged, or it cannot be read.
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.blobs.get(digest)
    }

    /// How the plan of a flow run can be made again.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded of it is damaged, or the store cannot be read.
    pub fn source(&self, flow: RunId) -> Result<FlowSource, StoreError> {
        self.read(|connection| {
            let row = known_flow(connection, flow)?;
            SourceRow::get(connection, row.rowid)
                .map_err(|error| fault(connection, error))?
                .ok_or_else(|| StoreError::corrupt(format!("the source of flow run {flow}")))
        })
    }

    /// Who writes to the directory now; none when nobody does, or when that cannot be found out.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        Holder::of(&self.dir).ok().flatten()
    }
}

/// The row of a flow run that is there and not being deleted.
pub(super) fn flow_row(connection: &Connection, id: RunId) -> Result<Option<FlowRow>, StoreError> {
    let found = FlowRow::find(connection, id).map_err(|error| fault(connection, error))?;
    let damaged = || StoreError::corrupt(format!("flow run {id}"));
    let row = found.map(|row| row.ok_or_else(damaged)).transpose()?;
    Ok(row.filter(|row| !row.deleted))
}

/// The row of a flow run that has to be there.
pub(super) fn known_flow(connection: &Connection, id: RunId) -> Result<FlowRow, StoreError> {
    flow_row(connection, id)?.ok_or(StoreError::NoSuchFlow { flow: id })
}

fn run_row(
    connection: &Connection,
    flow: &FlowRow,
    key: RunKey,
) -> Result<Option<RunRow>, StoreError> {
    let found =
        RunRow::find(connection, flow.rowid, key).map_err(|error| fault(connection, error))?;
    let damaged = || {
        let index = key.index.map(|index| format!("[{index}]")).unwrap_or_default();
        StoreError::corrupt(format!("run {}{index} of flow run {}", key.stage, flow.run))
    };
    found.map(|row| row.ok_or_else(damaged)).transpose()
}

pub(super) fn flow_record(row: FlowRow, live: Live) -> Result<FlowRecord, StoreError> {
    let state = shown(&row.state, live.runs(&row.session));
    let labels = serde_json::from_str(&row.labels)
        .map_err(|_| StoreError::corrupt(format!("the labels of flow run {}", row.run)))?;
    Ok(FlowRecord {
        run: row.run,
        name: row.name.into(),
        ended: state.is_final().then_some(state.at),
        state,
        created: row.created,
        started: row.started,
        idempotency_key: row.idempotency_key,
        parent: row.parent,
        based_on: row.based_on,
        labels,
        starts: row.starts,
    })
}

pub(super) fn run_record(row: &RunRow, is_live: bool) -> RunRecord {
    let record = row.record();
    RunRecord { state: shown(&record.state, is_live), ..record }
}
