//! The row of a change of state.

use rusqlite::{Connection, Row, params};
use sandmill_core::State;

use super::columns::{kind_number, micros, sealed, state};
use crate::seal::Seal;

macro_rules! columns {
    () => {
        "flow, run, state, state_name, message, at, seal"
    };
}

const INSERT: &str = concat!("INSERT INTO changes (", columns!(), ") VALUES (?,?,?,?,?,?,?)");

/// The columns of a change's row, in the order of [`ChangeRow::read`].
pub(crate) const CHANGE_COLUMNS: &str = columns!();

/// What the row of a change says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChangeRow {
    /// The row of the flow run.
    pub(crate) flow: i64,
    /// The row of the run; none: it is the flow run's own state.
    pub(crate) run: Option<i64>,
    pub(crate) state: State,
}

impl ChangeRow {
    /// Reads [`CHANGE_COLUMNS`]. None where the seal does not fit.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let read = Self { flow: row.get(0)?, run: row.get(1)?, state: state(row, 2)? };
        Ok((read.seal() == row.get::<_, i64>(6)?).then_some(read))
    }

    pub(crate) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.prepare_cached(INSERT)?.execute(params![
            self.flow,
            self.run,
            kind_number(self.state.kind),
            &*self.state.name,
            self.state.message.as_deref(),
            micros(self.state.at),
            self.seal(),
        ])?;
        Ok(())
    }

    fn seal(&self) -> i64 {
        Seal::of("changes").int(self.flow).opt_int(self.run).state(&self.state).finish()
    }
}
