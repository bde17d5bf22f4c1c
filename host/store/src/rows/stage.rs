//! The row of a stage: what it is, and what its runs add up to.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::id;
use super::columns::{count, int, opt_at, opt_count, opt_digest, opt_micros, opt_run_id, sealed};
use super::counters::Counters;
use crate::record::StageRecord;
use crate::seal::Seal;

macro_rules! columns {
    () => {
        "flow, stage, name, component, task, mapped, total, scheduled, pending, running, \
         completed, failed, crashed, cancelled, cancelling, paused, skipped, cached, reused, \
         retried, names, first_started, last_ended, busy_micros, slowest_micros, slowest, \
         peak_memory, input, output, fuel, seal"
    };
}

const ONE: &str = concat!("SELECT ", columns!(), " FROM stages WHERE flow = ? AND stage = ?");
const ALL: &str = concat!("SELECT ", columns!(), " FROM stages WHERE flow = ? ORDER BY stage");
const WRITE: &str = concat!(
    "INSERT OR REPLACE INTO stages (",
    columns!(),
    ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
);

/// What a stage's row says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StageRow {
    pub(crate) flow: i64,
    pub(crate) stage: StageRecord,
    pub(crate) counters: Counters,
}

impl StageRow {
    /// Reads the columns of `columns`. None where the seal does not fit.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let name: Arc<str> = row.get(2)?;
        let task: Arc<str> = row.get(4)?;
        let stage = StageRecord {
            stage: row.get(1)?,
            name,
            component: opt_digest(row, 3)?,
            task,
            mapped: row.get(5)?,
            total: opt_count(row, 6)?,
        };
        let mut by_state = [0; 9];
        for (column, state) in (7..).zip(&mut by_state) {
            *state = count(row, column)?;
        }
        let names: String = row.get(20)?;
        // What is not the JSON that was written does not fit the seal either.
        let names = serde_json::from_str(&names).unwrap_or_default();
        let counters = Counters {
            by_state,
            skipped: count(row, 16)?,
            cached: count(row, 17)?,
            reused: count(row, 18)?,
            retried: count(row, 19)?,
            names,
            first_started: opt_at(row, 21)?,
            last_ended: opt_at(row, 22)?,
            busy_micros: count(row, 23)?,
            slowest_micros: count(row, 24)?,
            slowest: opt_run_id(row, 25)?,
            peak_memory: count(row, 26)?,
            input: count(row, 27)?,
            output: count(row, 28)?,
            fuel: count(row, 29)?,
        };
        let read = Self { flow: row.get(0)?, stage, counters };
        Ok((read.seal() == row.get::<_, i64>(30)?).then_some(read))
    }

    /// The row of a stage. The inner none: there is one, and it is damaged.
    pub(crate) fn find(
        connection: &Connection,
        flow: i64,
        stage: u32,
    ) -> rusqlite::Result<Option<Option<Self>>> {
        let mut find = connection.prepare_cached(ONE)?;
        find.query_row(params![flow, stage], Self::read).optional()
    }

    /// The rows of all stages of a flow, by number; none for one that is damaged.
    pub(crate) fn all(connection: &Connection, flow: i64) -> rusqlite::Result<Vec<Option<Self>>> {
        let mut all = connection.prepare_cached(ALL)?;
        all.query_map([flow], Self::read)?.collect()
    }

    /// Writes the row, in place of the one that was there.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (stage, counters) = (&self.stage, &self.counters);
        let state = |kind: usize| int(counters.by_state[kind]);
        connection.prepare_cached(WRITE)?.execute(params![
            self.flow,
            stage.stage,
            &*stage.name,
            stage.component.as_ref().map(|digest| digest.as_bytes()),
            &*stage.task,
            stage.mapped,
            stage.total.map(int),
            state(0),
            state(1),
            state(2),
            state(3),
            state(4),
            state(5),
            state(6),
            state(7),
            state(8),
            int(counters.skipped),
            int(counters.cached),
            int(counters.reused),
            int(counters.retried),
            self.names(),
            opt_micros(counters.first_started),
            opt_micros(counters.last_ended),
            int(counters.busy_micros),
            int(counters.slowest_micros),
            counters.slowest.as_ref().map(id),
            int(counters.peak_memory),
            int(counters.input),
            int(counters.output),
            int(counters.fuel),
            self.seal(),
        ])?;
        Ok(())
    }

    fn names(&self) -> String {
        // Text and numbers always have a JSON form.
        serde_json::to_string(&self.counters.names).unwrap_or_default()
    }

    fn seal(&self) -> i64 {
        let (stage, counters) = (&self.stage, &self.counters);
        let seal = Seal::of("stages")
            .int(self.flow)
            .int(stage.stage.into())
            .text(&stage.name)
            .opt_digest(stage.component.as_ref())
            .text(&stage.task)
            .int(stage.mapped.into())
            .opt_count(stage.total);
        counters
            .by_state
            .iter()
            .fold(seal, |seal, state| seal.count(*state))
            .count(counters.skipped)
            .count(counters.cached)
            .count(counters.reused)
            .count(counters.retried)
            .text(&self.names())
            .opt_at(counters.first_started)
            .opt_at(counters.last_ended)
            .count(counters.busy_micros)
            .count(counters.slowest_micros)
            .opt_run(counters.slowest)
            .count(counters.peak_memory)
            .count(counters.input)
            .count(counters.output)
            .count(counters.fuel)
            .finish()
    }
}
