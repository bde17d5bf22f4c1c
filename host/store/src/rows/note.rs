//! The row of a note: what else happened to a flow.

use rusqlite::{Connection, Row, params};
use sandmill_core::Timestamp;

use super::columns::{at, micros, sealed};
use crate::seal::Seal;

macro_rules! columns {
    () => {
        "flow, at, kind, message, seal"
    };
}

const INSERT: &str = concat!("INSERT INTO notes (", columns!(), ") VALUES (?,?,?,?,?)");

/// The columns of a note's row, in the order of [`NoteRow::read`].
pub(crate) const NOTE_COLUMNS: &str = columns!();

/// What a note's row says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NoteRow {
    pub(crate) flow: i64,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl NoteRow {
    /// Reads [`NOTE_COLUMNS`]. None where the seal does not fit.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let read =
            Self { flow: row.get(0)?, at: at(row, 1)?, kind: row.get(2)?, message: row.get(3)? };
        Ok((read.seal() == row.get::<_, i64>(4)?).then_some(read))
    }

    pub(crate) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let seal = self.seal();
        connection
            .prepare_cached(INSERT)?
            .execute(params![self.flow, micros(self.at), self.kind, self.message, seal])
            .map(drop)
    }

    fn seal(&self) -> i64 {
        Seal::of("notes").int(self.flow).at(self.at).text(&self.kind).text(&self.message).finish()
    }
}
