//! The row of an attempt.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use sandmill_core::AttemptEnd;

use super::columns::{at, int, micros, opt_at, opt_micros, sealed, usage};
use crate::seal::Seal;

macro_rules! columns {
    () => {
        "run, number, started, ended, outcome, message, retry_at, wall_micros, peak_memory, \
         input, output, fuel, read_context, seal"
    };
}

// The first record of an attempt stays, as the first end of a run does.
const INSERT: &str = concat!(
    "INSERT OR IGNORE INTO attempts (",
    columns!(),
    ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
);

/// The columns of an attempt's row, in the order of [`AttemptRow::read`].
pub(crate) const ATTEMPT_COLUMNS: &str = columns!();

/// What an attempt's row says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttemptRow {
    /// The row of the run.
    pub(crate) run: i64,
    pub(crate) attempt: AttemptEnd,
}

impl AttemptRow {
    /// Reads [`ATTEMPT_COLUMNS`]. None where the seal does not fit.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let message: Option<Arc<str>> = row.get(5)?;
        let attempt = AttemptEnd {
            number: row.get(1)?,
            started: at(row, 2)?,
            ended: at(row, 3)?,
            outcome: row.get(4)?,
            message,
            retry_at: opt_at(row, 6)?,
            usage: usage(row, 7)?,
        };
        let read = Self { run: row.get(0)?, attempt };
        Ok((read.seal() == row.get::<_, i64>(13)?).then_some(read))
    }

    pub(crate) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let attempt = &self.attempt;
        connection.prepare_cached(INSERT)?.execute(params![
            self.run,
            attempt.number,
            micros(attempt.started),
            micros(attempt.ended),
            attempt.outcome,
            attempt.message.as_deref(),
            opt_micros(attempt.retry_at),
            int(attempt.usage.wall_micros),
            int(attempt.usage.peak_memory),
            int(attempt.usage.input),
            int(attempt.usage.output),
            attempt.usage.fuel.map(int),
            attempt.usage.read_context,
            self.seal(),
        ])?;
        Ok(())
    }

    fn seal(&self) -> i64 {
        let attempt = &self.attempt;
        Seal::of("attempts")
            .int(self.run)
            .int(attempt.number.into())
            .at(attempt.started)
            .at(attempt.ended)
            .text(&attempt.outcome)
            .opt_text(attempt.message.as_deref())
            .opt_at(attempt.retry_at)
            .usage(&attempt.usage)
            .finish()
    }
}
