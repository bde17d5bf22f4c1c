//! The row of a flow run.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandmill_core::{State, Timestamp};
use sandmill_wire::RunId;

use super::columns::{
    at, count, id, int, kind_number, micros, opt_at, opt_micros, opt_run_id, run_id, sealed, state,
};
use super::kept::Kept;
use crate::seal::Seal;

macro_rules! columns {
    () => {
        "id, run, name, state, state_name, message, state_at, created, started, idempotency_key, \
         parent, based_on, labels, session, starts, stages, steps, outcome, result, \
         result_digest, deleted, seal"
    };
}

const BY_RUN: &str = concat!("SELECT ", columns!(), " FROM flows WHERE run = ?");
const IN_ROWS: &str = concat!("SELECT ", columns!(), " FROM flows NOT INDEXED WHERE run = ?");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM flows WHERE id = ?");
const INSERT: &str = concat!(
    "INSERT INTO flows (",
    columns!(),
    ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
);
// Without what never changes.
const UPDATE: &str = "UPDATE flows SET state = ?2, state_name = ?3, message = ?4, state_at = ?5, \
     started = ?6, session = ?7, starts = ?8, stages = ?9, steps = ?10, outcome = ?11, \
     result = ?12, result_digest = ?13, seal = ?14 WHERE id = ?1";

/// The columns of a flow run's row, in the order of [`FlowRow::read`].
pub(crate) const FLOW_COLUMNS: &str = columns!();

/// What a flow run's row says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FlowRow {
    /// The row's own id, which nobody else ever gets; 0 before it is written.
    pub(crate) rowid: i64,
    pub(crate) run: RunId,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    /// When it was first running.
    pub(crate) started: Option<Timestamp>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) parent: Option<RunId>,
    pub(crate) based_on: Option<RunId>,
    /// A JSON array of strings.
    pub(crate) labels: String,
    /// Of the writer that ran it last.
    pub(crate) session: [u8; 16],
    /// How many processes have run it.
    pub(crate) starts: u32,
    /// How many rows it has in `stages` and in `steps`.
    pub(crate) stages: u64,
    pub(crate) steps: u64,
    pub(crate) kept: Option<Kept>,
    /// Whether it is being deleted.
    pub(crate) deleted: bool,
}

impl FlowRow {
    /// Reads [`FLOW_COLUMNS`]. None where the seal does not fit.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let read = Self {
            rowid: row.get(0)?,
            run: run_id(row, 1)?,
            name: row.get(2)?,
            state: state(row, 3)?,
            created: at(row, 7)?,
            started: opt_at(row, 8)?,
            idempotency_key: row.get(9)?,
            parent: opt_run_id(row, 10)?,
            based_on: opt_run_id(row, 11)?,
            labels: row.get(12)?,
            session: row.get(13)?,
            starts: row.get(14)?,
            stages: count(row, 15)?,
            steps: count(row, 16)?,
            kept: Kept::read(row, 17)?,
            deleted: row.get(20)?,
        };
        Ok((read.seal() == row.get::<_, i64>(21)?).then_some(read))
    }

    /// The row of a flow run. The inner none: there is one, and it is damaged.
    pub(crate) fn find(
        connection: &Connection,
        run: RunId,
    ) -> rusqlite::Result<Option<Option<Self>>> {
        let find = |sql: &str| {
            connection.prepare_cached(sql)?.query_row([id(&run)], Self::read).optional()
        };
        let mut found = find(BY_RUN)?;
        if found.is_none() {
            // An index that has lost it is not to have it called unknown. Flows are few, and their
            // rows are short.
            found = find(IN_ROWS)?;
        }
        Ok(found.map(|row| row.filter(|row| row.run == run)))
    }

    /// The row of this id. The inner none: there is one, and it is damaged.
    pub(crate) fn get(
        connection: &Connection,
        rowid: i64,
    ) -> rusqlite::Result<Option<Option<Self>>> {
        connection.prepare_cached(BY_ID)?.query_row([rowid], Self::read).optional()
    }

    /// Writes a new row. It gets its id, which is part of its seal, beforehand.
    pub(crate) fn insert(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Ids go up for ever (AUTOINCREMENT), and there is one writer.
        let last: Option<i64> = connection
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'flows'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let most: Option<i64> = connection
            .prepare_cached("SELECT max(id) FROM flows")?
            .query_row([], |row| row.get(0))?;
        self.rowid = last.max(most).unwrap_or(0) + 1;
        let [outcome, result, digest] = Kept::columns(self.kept.as_ref());
        connection.prepare_cached(INSERT)?.execute(params![
            self.rowid,
            id(&self.run),
            self.name,
            kind_number(self.state.kind),
            &*self.state.name,
            self.state.message.as_deref(),
            micros(self.state.at),
            micros(self.created),
            opt_micros(self.started),
            self.idempotency_key,
            self.parent.as_ref().map(id),
            self.based_on.as_ref().map(id),
            self.labels,
            self.session,
            self.starts,
            int(self.stages),
            int(self.steps),
            outcome,
            result,
            digest,
            self.deleted,
            self.seal(),
        ])?;
        Ok(())
    }

    /// Writes what can change.
    pub(crate) fn update(&self, connection: &Connection) -> rusqlite::Result<()> {
        let [outcome, result, digest] = Kept::columns(self.kept.as_ref());
        connection.prepare_cached(UPDATE)?.execute(params![
            self.rowid,
            kind_number(self.state.kind),
            &*self.state.name,
            self.state.message.as_deref(),
            micros(self.state.at),
            opt_micros(self.started),
            self.session,
            self.starts,
            int(self.stages),
            int(self.steps),
            outcome,
            result,
            digest,
            self.seal(),
        ])?;
        Ok(())
    }

    /// Marks it as being deleted. Its idempotency key is free from then on.
    pub(crate) fn mark_deleted(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.deleted = true;
        self.idempotency_key = None;
        let sql = "UPDATE flows SET deleted = 1, idempotency_key = NULL, seal = ? WHERE id = ?";
        connection.prepare_cached(sql)?.execute(params![self.seal(), self.rowid]).map(drop)
    }

    fn seal(&self) -> i64 {
        let seal = Seal::of("flows")
            .int(self.rowid)
            .run(self.run)
            .text(&self.name)
            .state(&self.state)
            .at(self.created)
            .opt_at(self.started)
            .opt_text(self.idempotency_key.as_deref())
            .opt_run(self.parent)
            .opt_run(self.based_on)
            .text(&self.labels)
            .bytes(&self.session)
            .int(self.starts.into())
            .count(self.stages)
            .count(self.steps);
        Kept::seal(self.kept.as_ref(), seal).int(self.deleted.into()).finish()
    }
}
