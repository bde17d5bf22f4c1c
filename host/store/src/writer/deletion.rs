//! Deleting flows and what has expired, part by part, so that records never wait for long. Which
//! parts there are to delete is for `crate::deletion`.

use rusqlite::Connection;
use sandmill_core::Timestamp;
use sandmill_wire::{Digest, RunId};

use super::batch::Batch;
use crate::StoreError;
use crate::ask::Answer;
use crate::failpoint::hit;
use crate::record::Pruned;
use crate::rows::{FlowRow, fault, id, micros};

/// Rows that are deleted in one transaction: so many take a few milliseconds.
const ROWS: usize = 2000;

/// Deletes some of a flow; at last the flow itself.
pub(super) fn delete(batch: &mut Batch<'_>, flow: RunId) -> Result<Answer, StoreError> {
    let connection = batch.connection;
    let fault = |error| fault(connection, error);
    let rowid = match FlowRow::find(connection, flow).map_err(fault)? {
        None => return Err(StoreError::NoSuchFlow { flow }),
        Some(Some(mut row)) => {
            if !row.deleted {
                row.mark_deleted(connection).map_err(fault)?;
                hit("delete-marked");
            }
            row.rowid
        }
        // What it says is lost, but not which row it is.
        Some(None) => connection
            .query_row("SELECT id FROM flows WHERE run = ?", [id(&flow)], |row| row.get(0))
            .map_err(fault)?,
    };
    batch.ledger.forget(rowid);
    let mut pruned = Pruned::default();
    let mut blobs = Vec::new();
    pruned.runs = delete_runs(connection, rowid, &mut blobs).map_err(fault)?;
    let mut left = ROWS.saturating_sub(usize::try_from(pruned.runs).unwrap_or(ROWS));
    for table in ["steps", "notes", "changes"] {
        if left > 0 {
            let gone = delete_rows(connection, table, rowid, left).map_err(fault)?;
            left = left.saturating_sub(gone);
        }
    }
    hit("delete-runs");
    if left > 0 {
        let components = "SELECT digest FROM components WHERE flow = ?1 UNION ALL \
                          SELECT result_digest FROM flows WHERE id = ?1 AND result_digest IS NOT NULL";
        blobs.extend(digests(connection, components, rowid).map_err(fault)?);
        pruned.flows = connection
            .prepare_cached("DELETE FROM flows WHERE id = ?")
            .and_then(|mut delete| delete.execute([rowid]))
            .map_err(fault)? as u64;
        hit("delete-done");
    }
    Ok(Answer::Part { more: left == 0, pruned, blobs })
}

fn delete_runs(
    connection: &Connection,
    flow: i64,
    blobs: &mut Vec<Digest>,
) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE flow = ? LIMIT ?) \
               RETURNING result_digest";
    let mut delete = connection.prepare_cached(sql)?;
    let mut rows = delete.query((flow, ROWS as i64))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        // Of a damaged row the blob is found when blobs are looked through.
        if let Ok(Some(digest)) = row.get::<_, Option<[u8; 32]>>(0) {
            blobs.push(digest.into());
        }
    }
    Ok(count)
}

fn delete_rows(
    connection: &Connection,
    table: &str,
    flow: i64,
    most: usize,
) -> rusqlite::Result<usize> {
    let sql =
        format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE flow = ? LIMIT ?)");
    connection.prepare_cached(&sql)?.execute((flow, i64::try_from(most).unwrap_or(i64::MAX)))
}

fn digests(connection: &Connection, sql: &str, flow: i64) -> rusqlite::Result<Vec<Digest>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([flow])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(digest) = row.get::<_, [u8; 32]>(0) {
            found.push(digest.into());
        }
    }
    Ok(found)
}

/// Deletes some of the entries of the cache that are too old.
pub(super) fn delete_expired(batch: &Batch<'_>, at: Timestamp) -> Result<Answer, StoreError> {
    let connection = batch.connection;
    let sql = "DELETE FROM cache WHERE id IN (SELECT id FROM cache WHERE expires <= ? LIMIT ?) \
               RETURNING result_digest";
    let delete = || -> rusqlite::Result<(usize, Vec<Digest>)> {
        let mut delete = connection.prepare_cached(sql)?;
        let mut rows = delete.query((micros(at), ROWS as i64))?;
        let (mut count, mut blobs) = (0, Vec::new());
        while let Some(row) = rows.next()? {
            count += 1;
            if let Ok(Some(digest)) = row.get::<_, Option<[u8; 32]>>(0) {
                blobs.push(digest.into());
            }
        }
        Ok((count, blobs))
    };
    let (count, blobs) = delete().map_err(|error| fault(connection, error))?;
    let pruned = Pruned { cached: count as u64, ..Pruned::default() };
    Ok(Answer::Part { more: count == ROWS, pruned, blobs })
}
