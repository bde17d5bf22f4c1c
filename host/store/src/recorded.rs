//! What whoever takes a flow run up needs to know of its past, and whether all of it is there
//! still. Reading for people is in `reader`.

use rusqlite::Connection;
use sandmill_wire::RunId;

use crate::StoreError;
use crate::blobs::Blobs;
use crate::record::{Earlier, Recorded, RunKey};
use crate::rows::{FlowRow, RUN_COLUMNS, RunRow, StageRow, StepRow, fault};

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
    let steps = StepRow::from(reader, flow, from, limit).map_err(|error| fault(reader, error))?;
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
/// row would have what is done already done again. It reads every row of the flow, but no blobs:
/// about a second for each million runs. Rows that are damaged themselves are no error here, since
/// whoever reads them is told.
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
    for stage in stages {
        let Some(stage) = stage else {
            return Err(StoreError::corrupt(format!("a stage of flow run {}", flow.run)));
        };
        if stage.flow != flow.rowid {
            return lost("stages");
        }
        match find_runs(reader, &stage).map_err(fault)? {
            Some(found) if found == stage.counters.runs() => {}
            _ => return lost("runs"),
        }
    }
    let steps = StepRow::count(reader, flow.rowid).map_err(fault)?;
    if steps == flow.steps { Ok(()) } else { lost("steps") }
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
