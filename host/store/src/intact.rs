//! Whether everything that was recorded of a flow run can be found still. What it says is read in
//! `recorded`.

use std::collections::BTreeMap;

use rusqlite::Connection;
use sandmill_wire::RunId;

use crate::StoreError;
use crate::recorded::find;
use crate::rows::{FlowRow, RUN_COLUMNS, RunRow, StageRow, fault};

/// How many rows of the table may lie, for each of a flow's, between its first and its last, for it
/// to be quicker to read them all than to look its own up one by one.
const MAX_SPREAD: u64 = 8;

/// Looks for a run by its place.
const BY_PLACE: &str = "SELECT 1 FROM runs INDEXED BY sqlite_autoindex_runs_2 \
                        WHERE flow = ? AND stage = ? AND idx = ?";

/// Looks for a step by its number, which is asked for twice.
const BY_NUMBER: &str = "SELECT 1 FROM steps INDEXED BY sqlite_autoindex_steps_1 \
                         WHERE flow = ?1 AND seq = ?2 AND seq = ?3";

/// Looks whether everything that was recorded of a flow run can be found: an index that has lost a
/// row would have what is done already done again. It reads no blobs, and of every row only its
/// place, so that a million runs take well under a second; where these do not agree, it reads all
/// that the rows say. Rows that are damaged themselves are no error here, since whoever reads them
/// is told.
pub(crate) fn check(reader: &Connection, flow: RunId) -> Result<(), StoreError> {
    in_one_go(reader, flow, |reader, row| {
        check_runs_of(reader, row)?;
        if steps_found(reader, row.rowid).map_err(|error| fault(reader, error))? == Some(row.steps)
        {
            Ok(())
        } else {
            lost(row, "steps")
        }
    })
}

/// The same without the steps of a flow component, for whoever wants to know how runs ended and
/// nothing else: a flow that is based on this one.
pub(crate) fn check_runs(reader: &Connection, flow: RunId) -> Result<(), StoreError> {
    in_one_go(reader, flow, check_runs_of)
}

/// Looks at a flow run in one transaction, so that nothing moves in between.
fn in_one_go(
    reader: &Connection,
    flow: RunId,
    look: impl FnOnce(&Connection, &FlowRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let transaction = reader.unchecked_transaction().map_err(|error| fault(reader, error))?;
    // What it says of itself too: the writer may be at the last of what the run said.
    let looked = find(&transaction, flow).and_then(|row| look(&transaction, &row));
    drop(transaction);
    looked
}

fn lost(flow: &FlowRow, what: &str) -> Result<(), StoreError> {
    Err(StoreError::corrupt(format!("the index of the {what} of flow run {}", flow.run)))
}

fn check_runs_of(reader: &Connection, flow: &FlowRow) -> Result<(), StoreError> {
    let fault = |error| fault(reader, error);
    let lost = |what| lost(flow, what);
    let stages = StageRow::all(reader, flow.rowid).map_err(fault)?;
    if stages.len() as u64 != flow.stages {
        return lost("stages");
    }
    let Some(stages) = stages.into_iter().collect::<Option<Vec<StageRow>>>() else {
        return Err(StoreError::corrupt(format!("a stage of flow run {}", flow.run)));
    };
    let in_order = stages.is_sorted_by(|one, next| one.stage.stage < next.stage.stage);
    if !in_order || stages.iter().any(|stage| stage.flow != flow.rowid) {
        return lost("stages");
    }
    for stage in stages.first().into_iter().chain(stages.last()) {
        let found = StageRow::find(reader, flow.rowid, stage.stage.stage).map_err(fault)?;
        if !matches!(found, Some(Some(_))) {
            return lost("stages");
        }
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
    Ok(())
}

/// Whether the index finds every run of a flow, in order, and by the place that its row says: both
/// ways round the same places add up to the same sum. Where the rows of other flows lie in between,
/// it does not look.
fn places_agree(reader: &Connection, flow: i64, stages: &[StageRow]) -> rusqlite::Result<bool> {
    let mut by_index = reader.prepare_cached(
        "SELECT id, stage, idx, flow FROM runs INDEXED BY sqlite_autoindex_runs_2 \
         WHERE flow = ? ORDER BY stage, idx",
    )?;
    let mut rows = by_index.query([flow])?;
    let (mut index, mut ids) = (Places::default(), None);
    let (mut first, mut last) = (None, None);
    let mut found: BTreeMap<i64, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, stage, idx): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // A search for all that is of a flow goes on until something comes that is beyond it: what
        // comes before that need not be of the flow.
        let is_own = row.get::<_, i64>(3)? == flow;
        if !is_own || last.is_some_and(|last| last >= (stage, idx)) {
            return Ok(false);
        }
        first.get_or_insert((stage, idx));
        last = Some((stage, idx));
        index.add(id, stage, idx);
        *found.entry(stage).or_default() += 1;
        let (low, high) = ids.unwrap_or((id, id));
        ids = Some((id.min(low), id.max(high)));
    }
    if !ends_found(reader, BY_PLACE, flow, [first, last])? {
        return Ok(false);
    }
    for stage in stages {
        let found = found.remove(&stage.stage.stage.into()).unwrap_or(0);
        if found != stage.counters.runs() {
            return Ok(false);
        }
    }
    let Some((low, high)) = ids else { return Ok(true) };
    if !found.is_empty() || low.abs_diff(high) / MAX_SPREAD >= index.count {
        return Ok(false);
    }
    let mut by_row = reader.prepare_cached(
        "SELECT id, flow, stage, idx FROM runs NOT INDEXED WHERE id BETWEEN ? AND ?",
    )?;
    let mut rows = by_row.query((low, high))?;
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
    let (mut found, mut first, mut last) = (0, None, None);
    let number = i64::from(stage.stage.stage);
    while let Some(row) = rows.next()? {
        found += 1;
        let idx: i64 = row.get(3)?;
        // Places come in order, each once, or not every one is found by its own.
        if last.is_some_and(|last| last >= idx) {
            return Ok(None);
        }
        first.get_or_insert((number, idx));
        last = Some(idx);
        if RunRow::read(row)?.is_none() {
            // Either the row is damaged, or the index has it by a place that is not its own.
            let rowid: i64 = row.get(0)?;
            if matches!(RunRow::get(reader, rowid)?, Some(Some(_)) | None) {
                return Ok(None);
            }
        }
    }
    let ends = [first, last.map(|last| (number, last))];
    Ok(ends_found(reader, BY_PLACE, stage.flow, ends)?.then_some(found))
}

/// How many steps the index of a flow finds, one by one and by number alike; none where they are
/// not in order.
fn steps_found(reader: &Connection, flow: i64) -> rusqlite::Result<Option<u64>> {
    let mut select = reader.prepare_cached(
        "SELECT flow, seq FROM steps INDEXED BY sqlite_autoindex_steps_1 \
         WHERE flow = ? ORDER BY seq",
    )?;
    let mut rows = select.query([flow])?;
    let (mut found, mut first, mut last) = (0, None, None);
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(1)?;
        if row.get::<_, i64>(0)? != flow || last.is_some_and(|last| last >= seq) {
            return Ok(None);
        }
        found += 1;
        first.get_or_insert(seq);
        last = Some(seq);
    }
    let ends = [first, last].map(|seq| seq.map(|seq| (seq, seq)));
    Ok(ends_found(reader, BY_NUMBER, flow, ends)?.then_some(found))
}

/// Whether the first and the last of many places of a flow, which an index has in order, are found
/// from its top. What leads to any other place in between leads past the same entries: one of
/// another flow, further up, that misleads a search for a place also misleads that for the first,
/// if it comes before all of them, or that for the last, if it comes after.
fn ends_found(
    reader: &Connection,
    sql: &str,
    flow: i64,
    ends: [Option<(i64, i64)>; 2],
) -> rusqlite::Result<bool> {
    let mut find = reader.prepare_cached(sql)?;
    for (stage, place) in ends.into_iter().flatten() {
        if !find.exists((flow, stage, place))? {
            return Ok(false);
        }
    }
    Ok(true)
}
