//! What whoever takes a flow run up needs to know of its past, and whether all of it is there
//! still. Reading for people is in `reader`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use sandmill_core::{AttemptEnd, Past, StateType};
use sandmill_wire::{EndKind, RunId};

use crate::StoreError;
use crate::blobs::Blobs;
use crate::record::{Earlier, Recorded, RunKey};
use crate::rows::{
    ATTEMPT_COLUMNS, AttemptRow, FlowRow, RUN_COLUMNS, RunRow, StageRow, StepRow, fault, kind_number,
};

/// How many rows of the table may lie, for each of a flow's, between its first and its last, for it
/// to be quicker to read them all than to look its own up one by one.
const MAX_SPREAD: u64 = 8;

/// How an attempt is recorded that gave a value ([`sandmill_wire::Outcome::name`]).
const VALUE: &str = "value";

/// What is recorded of a run.
pub(crate) fn run(
    reader: &Connection,
    blobs: &Blobs,
    flow: i64,
    key: RunKey,
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
    let row = match RunRow::find(reader, flow, key).map_err(|error| fault(reader, error))? {
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
fn find(reader: &Connection, flow: RunId) -> Result<FlowRow, StoreError> {
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

/// Looks whether everything that was recorded of a flow run can be found: an index that has lost a
/// row would have what is done already done again. It reads no blobs, and of every row only its
/// place, so that a million runs take well under a second; where these do not agree, it reads all
/// that the rows say. Rows that are damaged themselves are no error here, since whoever reads them
/// is told.
pub(crate) fn check(reader: &Connection, flow: RunId) -> Result<(), StoreError> {
    let row = find(reader, flow)?;
    // One transaction, so that nothing moves in between.
    let transaction = reader.unchecked_transaction().map_err(|error| fault(reader, error))?;
    let checked = check_rows(&transaction, &row);
    drop(transaction);
    checked
}

fn check_rows(reader: &Connection, flow: &FlowRow) -> Result<(), StoreError> {
    let fault = |error| fault(reader, error);
    let lost = |what: &str| {
        let run = flow.run;
        Err(StoreError::corrupt(format!("the index of the {what} of flow run {run}")))
    };
    let stages = StageRow::all(reader, flow.rowid).map_err(fault)?;
    if stages.len() as u64 != flow.stages {
        return lost("stages");
    }
    let Some(stages) = stages.into_iter().collect::<Option<Vec<StageRow>>>() else {
        return Err(StoreError::corrupt(format!("a stage of flow run {}", flow.run)));
    };
    if stages.iter().any(|stage| stage.flow != flow.rowid) {
        return lost("stages");
    }
    // Whatever goes wrong in the short way, the long one says what it is.
    if !places_agree(reader, flow.rowid, &stages).unwrap_or(false) {
        for stage in &stages {
            match find_runs(reader, stage).map_err(fault)? {
                Some(found) if found == stage.counters.runs() => {}
                _ => return lost("runs"),
            }
        }
    }
    let steps = StepRow::count(reader, flow.rowid).map_err(fault)?;
    if steps == flow.steps { Ok(()) } else { lost("steps") }
}

/// Whether the index finds every run of a flow, in order, and by the place that its row says: both
/// ways round the same places add up to the same sum. Where the rows of other flows lie in between,
/// it does not look.
fn places_agree(reader: &Connection, flow: i64, stages: &[StageRow]) -> rusqlite::Result<bool> {
    let mut by_index = reader.prepare_cached(
        "SELECT id, stage, idx FROM runs INDEXED BY sqlite_autoindex_runs_2 \
         WHERE flow = ? ORDER BY stage, idx",
    )?;
    let mut rows = by_index.query([flow])?;
    let (mut index, mut last, mut ids) = (Places::default(), None, None);
    let mut found: BTreeMap<i64, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, stage, idx): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if last.is_some_and(|last| last >= (stage, idx)) {
            return Ok(false);
        }
        last = Some((stage, idx));
        index.add(id, stage, idx);
        *found.entry(stage).or_default() += 1;
        let (first, end) = ids.unwrap_or((id, id));
        ids = Some((id.min(first), id.max(end)));
    }
    for stage in stages {
        let found = found.remove(&stage.stage.stage.into()).unwrap_or(0);
        if found != stage.counters.runs() {
            return Ok(false);
        }
    }
    let Some((first, end)) = ids else { return Ok(true) };
    if !found.is_empty() || first.abs_diff(end) / MAX_SPREAD >= index.count {
        return Ok(false);
    }
    let mut by_row = reader.prepare_cached(
        "SELECT id, flow, stage, idx FROM runs NOT INDEXED WHERE id BETWEEN ? AND ?",
    )?;
    let mut rows = by_row.query((first, end))?;
    let mut table = Places::default();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? == flow {
            table.add(row.get(0)?, row.get(2)?, row.get(3)?);
        }
    }
    Ok(table == index)
}

/// The places of many runs, in any order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    count: u64,
    sum: u64,
}

impl Places {
    fn add(&mut self, id: i64, stage: i64, idx: i64) {
        // SplitMix64 over one after the other: against rot, not against anybody.
        let mixed = [id, stage, idx].into_iter().fold(0_u64, |mixed, part| {
            let x = (mixed ^ part.cast_unsigned()).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        });
        self.sum = self.sum.wrapping_add(mixed);
        self.count += 1;
    }
}

/// How many runs of a stage its index finds; none where it finds one by another's place.
fn find_runs(reader: &Connection, stage: &StageRow) -> rusqlite::Result<Option<u64>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM runs INDEXED BY sqlite_autoindex_runs_2 \
         WHERE flow = ? AND stage = ? ORDER BY idx"
    );
    let mut select = reader.prepare_cached(&sql)?;
    let mut rows = select.query((stage.flow, stage.stage.stage))?;
    let (mut found, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        found += 1;
        let idx: i64 = row.get(3)?;
        // Places come in order, each once, or not every one is found by its own.
        if last.is_some_and(|last| last >= idx) {
            return Ok(None);
        }
        last = Some(idx);
        if RunRow::read(row)?.is_none() {
            // Either the row is damaged, or the index has it by a place that is not its own.
            let rowid: i64 = row.get(0)?;
            if matches!(RunRow::get(reader, rowid)?, Some(Some(_)) | None) {
                return Ok(None);
            }
        }
    }
    Ok(Some(found))
}
