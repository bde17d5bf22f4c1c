//! What whoever takes a flow run up needs to know of its past. Whether all of it is there still is
//! looked at in `intact`; reading for people is in `reader`.

use rusqlite::{Connection, params};
use sandmill_core::{AttemptEnd, Past, StateType};
use sandmill_wire::{EndKind, RunId};

use crate::StoreError;
use crate::ahead::Ahead;
use crate::blobs::Blobs;
use crate::record::{Earlier, Recorded, RunKey};
use crate::rows::{
    ATTEMPT_COLUMNS, AttemptRow, FlowRow, RunRow, StageRow, StepRow, fault, kind_number,
};

/// How an attempt is recorded that gave a value ([`sandmill_wire::Outcome::name`]).
const VALUE: &str = "value";

/// What is recorded of a run.
pub(crate) fn run(
    reader: &Connection,
    blobs: &Blobs,
    flow: i64,
    key: RunKey,
) -> Result<Option<Recorded>, StoreError> {
    let found = RunRow::find(reader, flow, key).map_err(|error| fault(reader, error))?;
    of_row(blobs, key, found)
}

/// What is recorded of a run, where others of its stage may have been read ahead.
pub(crate) fn run_in_order(
    reader: &Connection,
    blobs: &Blobs,
    flow: i64,
    key: RunKey,
    ahead: &mut Ahead,
) -> Result<Option<Recorded>, StoreError> {
    match ahead.find(reader, flow, key).map_err(|error| fault(reader, error))? {
        Some(row) => of_row(blobs, key, row.map(Some)),
        None => run(reader, blobs, flow, key),
    }
}

/// What the row of a run says of it. The inner none: it is damaged.
fn of_row(
    blobs: &Blobs,
    key: RunKey,
    found: Option<Option<RunRow>>,
) -> Result<Option<Recorded>, StoreError> {
    let what = |run: Option<RunId>| {
        let place = match key.index {
            Some(index) => format!("stage {}, index {index}", key.stage),
            None => format!("stage {}", key.stage),
        };
        match run {
            Some(run) => format!("the record of run {run} ({place})"),
            None => format!("the record of the run of {place}"),
        }
    };
    let row = match found {
        None => return Ok(None),
        Some(None) => return Ok(Some(Recorded::Corrupt { run: None, what: what(None) })),
        Some(Some(row)) => row,
    };
    let (run, arguments) = (row.run, row.arguments);
    if !row.state.is_final() {
        return Ok(Some(Recorded::Unfinished { run, attempts: row.tried }));
    }
    let outcome = match &row.kept {
        Some(kept) => kept.outcome(blobs, || what(Some(run))),
        None => Err(StoreError::corrupt(what(Some(run)))),
    };
    match outcome {
        Ok(outcome) => Ok(Some(Recorded::Ended { run, arguments, outcome })),
        Err(StoreError::Corrupt { what }) => Ok(Some(Recorded::Corrupt { run: Some(run), what })),
        Err(error) => Err(error),
    }
}

/// What a run that has not ended has behind it. Of an attempt whose record is damaged or lost,
/// nothing is known but its number: it counts, and nothing is waited for.
pub(crate) fn past(reader: &Connection, flow: i64, key: RunKey) -> Result<Past, StoreError> {
    let fault = |error| fault(reader, error);
    let Some(Some(row)) = RunRow::find(reader, flow, key).map_err(fault)? else {
        return Ok(Past::default());
    };
    let mut past = Past { attempts: row.tried, ..Past::default() };
    if row.tried == 0 {
        return Ok(past);
    }
    let sql = format!("SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE run = ? ORDER BY number");
    let rows: Vec<Option<AttemptRow>> = reader
        .prepare_cached(&sql)
        .and_then(|mut select| select.query_map([row.rowid], AttemptRow::read)?.collect())
        .map_err(fault)?;
    let of_it = |read: &AttemptRow| Some(read.run) == row.rowid;
    for AttemptRow { attempt, .. } in rows.into_iter().flatten().filter(of_it) {
        if attempt.number == row.tried {
            past.retry_at = attempt.retry_at;
        }
        past.cut_off += u32::from(is_cut_off(&attempt));
        past.out_of_memory += u32::from(attempt.outcome == EndKind::OutOfMemory.name());
    }
    Ok(past)
}

/// Whether an attempt at a run that has not ended was stopped with its process, or gave a value
/// that was not kept: it did not fail.
fn is_cut_off(attempt: &AttemptEnd) -> bool {
    attempt.retry_at.is_none()
        && (attempt.outcome == EndKind::Cancelled.name() || attempt.outcome == VALUE)
}

/// What is recorded of a run of another flow run, by the name of its stage.
pub(crate) fn earlier(
    reader: &Connection,
    blobs: &Blobs,
    flow: RunId,
    stage_name: &str,
    index: Option<u64>,
) -> Result<Option<Earlier>, StoreError> {
    let flow = find(reader, flow)?;
    for stage in StageRow::all(reader, flow.rowid).map_err(|error| fault(reader, error))? {
        let Some(StageRow { stage, .. }) = stage else {
            return Err(StoreError::corrupt(format!("a stage of flow run {}", flow.run)));
        };
        if *stage.name == *stage_name {
            let key = RunKey { stage: stage.stage, index };
            let recorded = run(reader, blobs, flow.rowid, key)?;
            return Ok(recorded.map(|recorded| Earlier {
                component: stage.component,
                task: stage.task,
                mapped: stage.mapped,
                recorded,
            }));
        }
    }
    Ok(None)
}

/// The positions of a stage's runs that were called, or that ended without being called for any
/// reason but that they were not to be started any more: those after `after`, no more than `limit`.
/// The position -1 is that of a run that is not of a map.
pub(crate) fn told(
    reader: &Connection,
    flow: i64,
    stage: u32,
    after: i64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    // What was never called has no arguments.
    const TOLD: &str = "SELECT idx FROM runs WHERE flow = ? AND stage = ? AND idx > ? \
         AND NOT (state = ? AND arguments = zeroblob(16)) ORDER BY idx LIMIT ?";
    let cancelled = kind_number(StateType::Cancelled);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    reader
        .prepare_cached(TOLD)
        .and_then(|mut select| {
            let row = |row: &rusqlite::Row<'_>| row.get(0);
            select.query_map(params![flow, stage, after, cancelled, limit], row)?.collect()
        })
        .map_err(|error| fault(reader, error))
}

/// The row of a flow run.
pub(crate) fn find(reader: &Connection, flow: RunId) -> Result<FlowRow, StoreError> {
    match FlowRow::find(reader, flow).map_err(|error| fault(reader, error))? {
        Some(Some(row)) if !row.deleted => Ok(row),
        Some(None) => Err(StoreError::corrupt(format!("the record of flow run {flow}"))),
        _ => Err(StoreError::NoSuchFlow { flow }),
    }
}

/// Steps of a flow component's journal.
pub(crate) fn steps(
    reader: &Connection,
    flow: i64,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    // Looked at first: what is written meanwhile makes more of them, never fewer.
    let total = StepRow::count(reader, flow).map_err(|error| fault(reader, error))?;
    let steps = StepRow::from(reader, flow, from, limit).map_err(|error| fault(reader, error))?;
    if from == 0 && (steps.len() as u64) < total.min(limit as u64) {
        return Err(StoreError::corrupt("the index of the journal's steps"));
    }
    let mut read = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            // An index that leads to the steps of another flow is damaged.
            Some(step) if step.flow == flow => read.push((step.seq, step.body)),
            _ => {
                let after = read.last().map_or(from, |(seq, _)| seq + 1);
                return Err(StoreError::corrupt(format!(
                    "a step of the journal, {after} or later"
                )));
            }
        }
    }
    Ok(read)
}
