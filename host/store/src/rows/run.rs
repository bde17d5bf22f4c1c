//! The row of a run.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandmill_core::{State, Timestamp, Usage};
use sandmill_wire::RunId;

use super::columns::{
    at, id, kind_number, micros, opt_at, opt_micros, opt_run_id, run_id, state, usage,
};
use super::columns::{int, sealed};
use super::kept::Kept;
use crate::record::{RunKey, RunRecord};
use crate::seal::Seal;

/// What stands in `idx` for a run that is not of a map.
const NO_INDEX: i64 = -1;

/// The columns, as [`RunRow::read`] wants them.
macro_rules! columns {
    () => {
        "id, flow, stage, idx, run, name, state, state_name, message, state_at, created, started, \
         attempts, tried, arguments, outcome, result, result_digest, value_of, last_started, \
         last_ended, wall_micros, peak_memory, input, output, fuel, read_context, seal"
    };
}

const BY_KEY: &str =
    concat!("SELECT ", columns!(), " FROM runs WHERE flow = ? AND stage = ? AND idx = ?");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM runs WHERE id = ?");
const INSERT: &str = concat!(
    "INSERT INTO runs (",
    columns!(),
    ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
);
const UPDATE: &str = concat!(
    "UPDATE runs SET (",
    columns!(),
    ") = (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,\
     ?25,?26,?27,?28) WHERE id = ?1"
);

/// The columns of a run's row, in the order of [`RunRow::read`].
pub(crate) const RUN_COLUMNS: &str = columns!();

/// What a run's row says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunRow {
    /// The row's own id; none before it is written.
    pub(crate) rowid: Option<i64>,
    pub(crate) flow: i64,
    pub(crate) key: RunKey,
    pub(crate) run: RunId,
    /// None where it is that of the stage, with the position in a map.
    pub(crate) name: Option<String>,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    pub(crate) started: Option<Timestamp>,
    /// Attempts that were started.
    pub(crate) attempts: u32,
    /// Attempts that have ended.
    pub(crate) tried: u32,
    pub(crate) arguments: [u8; 16],
    pub(crate) kept: Option<Kept>,
    pub(crate) value_of: Option<RunId>,
    /// Of the last attempt, where that is not `started`.
    pub(crate) last_started: Option<Timestamp>,
    /// Of the last attempt, where that is not when the run ended.
    pub(crate) last_ended: Option<Timestamp>,
    pub(crate) usage: Usage,
}

impl RunRow {
    /// Reads [`RUN_COLUMNS`]. None where the seal does not fit.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let index: i64 = row.get(3)?;
        let index = if index == NO_INDEX { None } else { Some(index.cast_unsigned()) };
        let read = Self {
            rowid: Some(row.get(0)?),
            flow: row.get(1)?,
            key: RunKey { stage: row.get(2)?, index },
            run: run_id(row, 4)?,
            name: row.get(5)?,
            state: state(row, 6)?,
            created: at(row, 10)?,
            started: opt_at(row, 11)?,
            attempts: row.get(12)?,
            tried: row.get(13)?,
            arguments: row.get(14)?,
            kept: Kept::read(row, 15)?,
            value_of: opt_run_id(row, 18)?,
            last_started: opt_at(row, 19)?,
            last_ended: opt_at(row, 20)?,
            usage: usage(row, 21)?,
        };
        Ok((read.seal() == row.get::<_, i64>(27)?).then_some(read))
    }

    /// The row of a run, by its place in the flow. The inner none: there is one, and it is damaged.
    pub(crate) fn find(
        connection: &Connection,
        flow: i64,
        key: RunKey,
    ) -> rusqlite::Result<Option<Option<Self>>> {
        let mut find = connection.prepare_cached(BY_KEY)?;
        let found = find.query_row(params![flow, key.stage, idx(key)], Self::read);
        let found = found.optional()?;
        // An index that leads to the row of another run is damaged.
        Ok(found.map(|row| row.filter(|row| row.flow == flow && row.key == key)))
    }

    /// The row of this id. The inner none: there is one, and it is damaged.
    pub(crate) fn get(
        connection: &Connection,
        rowid: i64,
    ) -> rusqlite::Result<Option<Option<Self>>> {
        connection.prepare_cached(BY_ID)?.query_row([rowid], Self::read).optional()
    }

    /// Writes the row: a new one where it has no id yet.
    pub(crate) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut write =
            connection.prepare_cached(if self.rowid.is_some() { UPDATE } else { INSERT })?;
        let [outcome, result, digest] = Kept::columns(self.kept.as_ref());
        write.execute(params![
            self.rowid,
            self.flow,
            self.key.stage,
            idx(self.key),
            id(&self.run),
            self.name,
            kind_number(self.state.kind),
            &*self.state.name,
            self.state.message.as_deref(),
            micros(self.state.at),
            micros(self.created),
            opt_micros(self.started),
            self.attempts,
            self.tried,
            self.arguments,
            outcome,
            result,
            digest,
            self.value_of.as_ref().map(id),
            opt_micros(self.last_started),
            opt_micros(self.last_ended),
            int(self.usage.wall_micros),
            int(self.usage.peak_memory),
            int(self.usage.input),
            int(self.usage.output),
            self.usage.fuel.map(int),
            self.usage.read_context,
            self.seal(),
        ])?;
        if self.rowid.is_none() {
            self.rowid = Some(connection.last_insert_rowid());
        }
        Ok(())
    }

    /// Deletes whatever row has this place in the flow.
    pub(crate) fn delete(connection: &Connection, flow: i64, key: RunKey) -> rusqlite::Result<()> {
        let sql = "DELETE FROM runs WHERE flow = ? AND stage = ? AND idx = ?";
        connection.prepare_cached(sql)?.execute(params![flow, key.stage, idx(key)]).map(drop)
    }

    /// Everything but the row's own id, which does not exist yet when a new row is sealed: no
    /// two rows have the same place in the same flow.
    fn seal(&self) -> i64 {
        let seal = Seal::of("runs")
            .int(self.flow)
            .int(self.key.stage.into())
            .int(idx(self.key))
            .run(self.run)
            .opt_text(self.name.as_deref())
            .state(&self.state)
            .at(self.created)
            .opt_at(self.started)
            .int(self.attempts.into())
            .int(self.tried.into())
            .bytes(&self.arguments);
        Kept::seal(self.kept.as_ref(), seal)
            .opt_run(self.value_of)
            .opt_at(self.last_started)
            .opt_at(self.last_ended)
            .usage(&self.usage)
            .finish()
    }

    /// What it says, without the outcome.
    pub(crate) fn record(&self) -> RunRecord {
        RunRecord {
            run: self.run,
            key: self.key,
            state: self.state.clone(),
            created: self.created,
            started: self.started,
            ended: self.state.is_final().then_some(self.state.at),
            attempts: self.attempts,
            arguments: self.arguments,
            value_of: self.value_of,
            usage: self.usage,
        }
    }
}

/// The position in a map, as it stands in `idx`.
pub(crate) fn idx(key: RunKey) -> i64 {
    key.index.map_or(NO_INDEX, int)
}
