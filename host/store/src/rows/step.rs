//! The row of a step in the journal of a flow component.

use rusqlite::{Connection, Row, params};

use super::columns::{count, int, sealed};
use crate::seal::Seal;

macro_rules! columns {
    () => {
        "flow, seq, body, seal"
    };
}

// Of two steps by one number the first stays.
const INSERT: &str = concat!("INSERT OR IGNORE INTO steps (", columns!(), ") VALUES (?,?,?,?)");
const FROM: &str =
    concat!("SELECT ", columns!(), " FROM steps WHERE flow = ? AND seq >= ? ORDER BY seq LIMIT ?");

/// What a step's row says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepRow {
    pub(crate) flow: i64,
    pub(crate) seq: u64,
    pub(crate) body: Vec<u8>,
}

impl StepRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        sealed(Self::read_raw(row))
    }

    fn read_raw(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let read = Self { flow: row.get(0)?, seq: count(row, 1)?, body: row.get(2)? };
        let seal = seal(read.flow, read.seq, &read.body);
        Ok((seal == row.get::<_, i64>(3)?).then_some(read))
    }

    /// The steps of a flow from a number on; none for one that is damaged.
    pub(crate) fn from(
        connection: &Connection,
        flow: i64,
        from: u64,
        limit: usize,
    ) -> rusqlite::Result<Vec<Option<Self>>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut steps = connection.prepare_cached(FROM)?;
        steps.query_map(params![flow, from, limit], Self::read)?.collect()
    }

    /// How many steps the index of a flow finds.
    pub(crate) fn count(connection: &Connection, flow: i64) -> rusqlite::Result<u64> {
        let sql = "SELECT count(*) FROM steps WHERE flow = ?";
        connection.prepare_cached(sql)?.query_row([flow], |row| count(row, 0))
    }

    /// Writes a step. Whether there was none by its number.
    pub(crate) fn insert(
        connection: &Connection,
        flow: i64,
        seq: u64,
        body: &[u8],
    ) -> rusqlite::Result<bool> {
        let mut insert = connection.prepare_cached(INSERT)?;
        Ok(insert.execute(params![flow, int(seq), body, seal(flow, seq, body)])? > 0)
    }
}

fn seal(flow: i64, seq: u64, body: &[u8]) -> i64 {
    Seal::of("steps").int(flow).count(seq).bytes(body).finish()
}
