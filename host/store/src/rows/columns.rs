//! How ids, times, states and usage stand in columns, and what errors of reading mean.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row};
use sandmill_core::{State, StateType, Timestamp, Usage};
use sandmill_wire::{Digest, RunId};

use crate::StoreError;
use crate::db::HISTORY;

/// The kinds of states, by the number that stands for each in the tables.
const KINDS: [StateType; 9] = [
    StateType::Scheduled,
    StateType::Pending,
    StateType::Running,
    StateType::Completed,
    StateType::Failed,
    StateType::Crashed,
    StateType::Cancelled,
    StateType::Cancelling,
    StateType::Paused,
];

/// The number that stands for a kind of state.
pub(crate) const fn kind_number(kind: StateType) -> i64 {
    match kind {
        StateType::Scheduled => 0,
        StateType::Pending => 1,
        StateType::Running => 2,
        StateType::Completed => 3,
        StateType::Failed => 4,
        StateType::Crashed => 5,
        StateType::Cancelled => 6,
        StateType::Cancelling => 7,
        StateType::Paused => 8,
    }
}

/// What an error of SQLite's on this connection means.
pub(crate) fn fault(connection: &Connection, error: Error) -> StoreError {
    StoreError::sqlite(Path::new(connection.path().unwrap_or(HISTORY)), error)
}

/// A row that cannot be what was written is none, as one whose seal does not fit.
pub(crate) fn sealed<T>(read: rusqlite::Result<Option<T>>) -> rusqlite::Result<Option<T>> {
    match read {
        Err(
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..),
        ) => Ok(None),
        read => read,
    }
}

fn unreadable(column: usize, kind: Type) -> Error {
    Error::InvalidColumnType(column, String::new(), kind)
}

/// The bytes of an id.
pub(crate) fn id(run: &RunId) -> &[u8] {
    run.as_uuid().as_bytes()
}

pub(crate) fn run_id(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    opt_run_id(row, column)?.ok_or_else(|| unreadable(column, Type::Null))
}

pub(super) fn opt_run_id(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<RunId>> {
    let bytes: Option<[u8; 16]> = row.get(column)?;
    Ok(bytes.map(RunId::from_bytes))
}

pub(super) fn opt_digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Digest>> {
    let bytes: Option<[u8; 32]> = row.get(column)?;
    Ok(bytes.map(Digest::from))
}

/// A count, as SQLite keeps it.
pub(super) const fn int(count: u64) -> i64 {
    count.cast_signed()
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(super) fn opt_count(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

pub(super) fn at(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    count(row, column).map(Timestamp::from_micros)
}

pub(super) fn opt_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(opt_count(row, column)?.map(Timestamp::from_micros))
}

/// A time, as SQLite keeps it.
pub(crate) const fn micros(at: Timestamp) -> i64 {
    int(at.as_micros())
}

pub(super) fn opt_micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(micros)
}

/// A state in four columns: kind, name, message and time.
pub(super) fn state(row: &Row<'_>, first: usize) -> rusqlite::Result<State> {
    let number: i64 = row.get(first)?;
    let kind = usize::try_from(number).ok().and_then(|number| KINDS.get(number));
    let kind = *kind.ok_or_else(|| unreadable(first, Type::Integer))?;
    let name: String = row.get(first + 1)?;
    let message: Option<Arc<str>> = row.get(first + 2)?;
    Ok(State { kind, name: Cow::Owned(name), message, at: at(row, first + 3)? })
}

/// Usage in six columns: wall time, memory, input, output, fuel, and whether the context was read.
pub(super) fn usage(row: &Row<'_>, first: usize) -> rusqlite::Result<Usage> {
    Ok(Usage {
        wall_micros: count(row, first)?,
        peak_memory: count(row, first + 1)?,
        input: count(row, first + 2)?,
        output: count(row, first + 3)?,
        fuel: opt_count(row, first + 4)?,
        read_context: row.get(first + 5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_numbers_go_together() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind_number(kind), number as i64);
            assert_eq!(kind.is_final(), (3..=6).contains(&number));
        }
    }
}
