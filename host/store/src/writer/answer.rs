//! How questions to the writer are answered. Those about deleting are in `deletion`.

use sandmill_core::{State, StateType, Timestamp};
use sandmill_wire::{End, EndKind, Outcome, RunId};

use super::batch::Batch;
use super::deletion;
use super::recovery::{open_runs, rows};
use crate::StoreError;
use crate::ask::{Answer, Question};
use crate::record::{NewFlow, Pruned};
use crate::rows::{FlowRow, Kept, RunRow, SourceRow, fault, run_id};

/// Runs that are cancelled in one transaction.
const CANCELLED_AT_A_TIME: usize = 1000;

pub(super) fn answer(batch: &mut Batch<'_>, question: &Question) -> Result<Answer, StoreError> {
    match question {
        Question::CreateFlow { flow, at } => create(batch, flow, *at),
        Question::TakeUp { flow, at } => take_up(batch, *flow, *at),
        Question::CancelFlow { flow, why, at } => cancel(batch, *flow, why, *at),
        Question::DeleteFlow { flow } => deletion::delete(batch, *flow),
        Question::DeleteExpired { at } => deletion::delete_expired(batch, *at),
        Question::Cache(write) => write.perform(batch.connection, batch.blobs),
        // Answered once everything is committed.
        Question::DeleteBlobs { .. } => Ok(Answer::Done),
    }
}

/// The row of a flow run that can be written to.
pub(super) fn find(batch: &Batch<'_>, flow: RunId) -> Result<FlowRow, StoreError> {
    match FlowRow::find(batch.connection, flow).map_err(|error| fault(batch.connection, error))? {
        Some(Some(row)) if !row.deleted => Ok(row),
        Some(None) => Err(StoreError::corrupt(format!("the record of flow run {flow}"))),
        _ => Err(StoreError::NoSuchFlow { flow }),
    }
}

fn find_open(batch: &Batch<'_>, flow: RunId) -> Result<FlowRow, StoreError> {
    let row = find(batch, flow)?;
    if row.state.is_final() {
        return Err(StoreError::Ended { flow, state: row.state.kind });
    }
    Ok(row)
}

fn create(batch: &mut Batch<'_>, flow: &NewFlow, at: Timestamp) -> Result<Answer, StoreError> {
    let connection = batch.connection;
    let fault = |error| fault(connection, error);
    if let Some(key) = &flow.idempotency_key
        && let Some(run) = by_idempotency_key(connection, key).map_err(fault)?
    {
        // A transaction that seemed to fail may have made it.
        if run != flow.run {
            return Ok(Answer::Exists(run));
        }
    }
    if batch.careful
        && let Some(Some(row)) = FlowRow::find(connection, flow.run).map_err(fault)?
        && row.session == batch.session
        && !row.state.is_final()
    {
        return Ok(Answer::Created { rowid: row.rowid });
    }
    let encoding = |message: String| StoreError::Encoding { what: "the source of a flow", message };
    let body =
        rmp_serde::to_vec_named(&flow.source).map_err(|error| encoding(error.to_string()))?;
    let labels =
        serde_json::to_string(&flow.labels).map_err(|error| encoding(error.to_string()))?;
    let mut row = FlowRow {
        rowid: 0,
        run: flow.run,
        name: flow.name.to_string(),
        state: State::pending(at),
        created: at,
        started: None,
        idempotency_key: flow.idempotency_key.clone(),
        parent: flow.parent,
        based_on: flow.based_on,
        labels,
        session: batch.session,
        starts: 1,
        stages: 0,
        steps: 0,
        kept: None,
        deleted: false,
    };
    row.insert(connection).map_err(fault)?;
    SourceRow::insert(connection, row.rowid, &flow.source, &body).map_err(fault)?;
    // Its first state, as every other.
    if let Some(open) = batch.ledger.flow(connection, row.rowid)? {
        open.go_to(connection, State::pending(at))?;
        open.write(connection)?;
    }
    Ok(Answer::Created { rowid: row.rowid })
}

fn by_idempotency_key(
    connection: &rusqlite::Connection,
    key: &str,
) -> rusqlite::Result<Option<RunId>> {
    use rusqlite::OptionalExtension as _;
    let find = |sql: &str| -> rusqlite::Result<Option<RunId>> {
        connection.prepare_cached(sql)?.query_row([key], |row| run_id(row, 0)).optional()
    };
    if let Some(run) = find("SELECT run FROM flows WHERE idempotency_key = ?")? {
        return Ok(Some(run));
    }
    // An index that has lost the key would have a flow run twice that must run once. Flows are
    // few, and their rows are short.
    find("SELECT run FROM flows NOT INDEXED WHERE idempotency_key = ?")
}

fn take_up(batch: &mut Batch<'_>, flow: RunId, at: Timestamp) -> Result<Answer, StoreError> {
    let row = find_open(batch, flow)?;
    let connection = batch.connection;
    if SourceRow::get(connection, row.rowid).map_err(|error| fault(connection, error))?.is_none() {
        return Err(StoreError::corrupt(format!("the source of flow run {flow}")));
    }
    if let Some(open) = batch.ledger.flow(connection, row.rowid)? {
        open.row.session = batch.session;
        open.row.starts = open.row.starts.saturating_add(1);
        open.row_changed = true;
        // In this process's hands from now on: a kill finds it so, and marks it again.
        open.go_to(connection, State::pending(at))?;
        open.write(connection)?;
    }
    Ok(Answer::TakenUp { rowid: row.rowid })
}

fn cancel(
    batch: &mut Batch<'_>,
    flow: RunId,
    why: &str,
    at: Timestamp,
) -> Result<Answer, StoreError> {
    let connection = batch.connection;
    let fault = |error| fault(connection, error);
    let rowid = find_open(batch, flow)?.rowid;
    let outcome = Outcome::Ended(End::new(EndKind::Cancelled, why));
    let state = State::from_outcome(&outcome, at);
    debug_assert_eq!(state.kind, StateType::Cancelled);
    let kept = Kept::keep(&outcome, batch.blobs)?;
    let sql = "SELECT id FROM runs WHERE flow = ? AND state NOT IN (3, 4, 5, 6) LIMIT ?";
    let open = open_runs(connection, sql, (rowid, rows(CANCELLED_AT_A_TIME))).map_err(fault)?;
    for id in &open {
        let Some(Some(before)) = RunRow::get(connection, *id).map_err(fault)? else {
            // It can neither be told what it was nor left as what it is not.
            return Err(StoreError::corrupt(format!("the record of a run of flow run {flow}")));
        };
        let mut row = before.clone();
        row.state = state.clone();
        row.kept = Some(kept.clone());
        row.write(connection).map_err(fault)?;
        if let Some(open) = batch.ledger.flow(connection, rowid)? {
            open.count(connection, row.key, Some(&before), &row)?;
        }
    }
    let more = open.len() == CANCELLED_AT_A_TIME;
    if let Some(open) = batch.ledger.flow(connection, rowid)? {
        if !more {
            open.row.kept = Some(kept);
            open.go_to(connection, state)?;
            open.over = true;
        }
        open.write(connection)?;
    }
    Ok(Answer::Part { more, pruned: Pruned::default(), blobs: Vec::new() })
}
