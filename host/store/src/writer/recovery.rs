//! Runs and flows that were cut off: they are marked as interrupted, so that they can be taken up.
//! It can be stopped at any point and begun again.

use rusqlite::{Connection, Params, params};
use sandmill_core::{Clock, State, StateType, Timestamp};

use super::batch::Batch;
use super::ledger::Ledger;
use super::thread::Writer;
use crate::StoreError;
use crate::failpoint::hit;
use crate::rows::{ChangeRow, FlowRow, RunRow, fault};

/// Why a flow is interrupted whose process ended without a word.
const GONE: &str = "the process that ran it went away";

/// Runs that are marked in one transaction.
const AT_A_TIME: usize = 1000;

impl Writer {
    /// Marks as interrupted what was under way when the process before this one went away.
    pub(crate) fn recover(&mut self) -> Result<(), StoreError> {
        hit("recovery-begun");
        let at = Clock::system().now();
        for flow in not_ended(&self.connection)? {
            let mut after = 0;
            while let Some(last) = self.recover_runs(flow, at, after)? {
                after = last;
            }
            self.recover_flow(flow, at)?;
        }
        hit("recovery-done");
        Ok(())
    }

    fn recover_runs(
        &mut self,
        flow: i64,
        at: Timestamp,
        after: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.in_transaction(|batch| {
            let last = interrupt_runs(batch, flow, (at, GONE), after, AT_A_TIME)?;
            batch.flush()?;
            hit("recovery-runs-written");
            Ok(last)
        })
        .inspect(|_| hit("recovery-runs-committed"))
    }

    fn recover_flow(&mut self, flow: i64, at: Timestamp) -> Result<(), StoreError> {
        self.in_transaction(|batch| {
            if let Some(open) = batch.ledger.flow(batch.connection, flow)?
                && open.row.state.kind != StateType::Paused
            {
                open.go_to(batch.connection, State::interrupted(at, GONE))?;
            }
            batch.flush()?;
            hit("recovery-flow-written");
            Ok(())
        })?;
        hit("recovery-flow-committed");
        Ok(())
    }

    /// Does something in a transaction of its own. Only before the thread runs.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = &self.connection;
        let transaction =
            connection.unchecked_transaction().map_err(|error| fault(connection, error))?;
        let mut ledger = Ledger::default();
        let mut batch = Batch::new(connection, &self.blobs, &mut ledger, self.session, true);
        let done = work(&mut batch)?;
        transaction.commit().map_err(|error| fault(connection, error))?;
        Ok(done)
    }
}

/// The rows of flows that have not ended. One whose own row is damaged is left as it is: whoever
/// asks for it is told.
fn not_ended(connection: &Connection) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT id FROM flows WHERE state NOT IN (3, 4, 5, 6) AND NOT deleted";
    let select = || -> rusqlite::Result<Vec<i64>> {
        let ids: Vec<i64> =
            connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut whole = Vec::with_capacity(ids.len());
        for id in ids {
            if matches!(FlowRow::get(connection, id)?, Some(Some(_))) {
                whole.push(id);
            }
        }
        Ok(whole)
    };
    select().map_err(|error| fault(connection, error))
}

/// Marks runs of a flow as interrupted that are under way, those of the rows beyond `after`, no
/// more than `most`. The last row that was looked at; none when there are no more.
pub(super) fn interrupt_runs(
    batch: &mut Batch<'_>,
    flow: i64,
    (at, why): (Timestamp, &str),
    after: i64,
    most: usize,
) -> Result<Option<i64>, StoreError> {
    let connection = batch.connection;
    let fault = |error| fault(connection, error);
    // Of those that have not ended, all but the paused. The condition is that of the index.
    // From row to row, since those that are damaged stay as they are and would be found again.
    let sql = "SELECT id FROM runs WHERE flow = ? AND state NOT IN (3, 4, 5, 6) AND state <> 8 \
               AND id > ? ORDER BY id LIMIT ?";
    let open = open_runs(connection, sql, params![flow, after, rows(most)]).map_err(fault)?;
    for rowid in &open {
        // One that is damaged tells whoever takes the flow up, by its key.
        let Some(Some(before)) = RunRow::get(connection, *rowid).map_err(fault)? else { continue };
        let mut row = before.clone();
        row.state = State::interrupted(at, why);
        row.write(connection).map_err(fault)?;
        let change = ChangeRow { flow, run: Some(*rowid), state: row.state.clone() };
        change.insert(connection).map_err(fault)?;
        if let Some(open) = batch.ledger.flow(connection, flow)? {
            open.count(connection, row.key, Some(&before), &row)?;
        }
    }
    Ok(open.last().copied().filter(|_| open.len() == most))
}

/// The rows of runs that a statement finds.
pub(super) fn open_runs(
    connection: &Connection,
    sql: &str,
    of: impl Params,
) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached(sql)?.query_map(of, |row| row.get(0))?.collect()
}

/// So many rows, as SQLite counts them.
pub(super) fn rows(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
