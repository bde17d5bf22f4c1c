//! What the writer knows by heart of the flows that it writes to: their rows, and those of their
//! stages. All of it is forgotten when a transaction fails.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use sandmill_core::State;

use crate::StoreError;
use crate::record::{RunKey, StageRecord};
use crate::rows::{ChangeRow, FlowRow, RunRow, StageRow, fault};

/// The flows that are known by heart.
#[derive(Default)]
pub(super) struct Ledger(HashMap<i64, OpenFlow>);

/// A flow and those of its stages that something was written to.
pub(super) struct OpenFlow {
    pub(super) row: FlowRow,
    pub(super) row_changed: bool,
    stages: BTreeMap<u32, OpenStage>,
    /// Nobody will write to it any more.
    pub(super) over: bool,
}

struct OpenStage {
    row: StageRow,
    changed: bool,
    /// Whether a damaged row was thrown away, which nobody knows how to count out.
    recount: bool,
}

impl Ledger {
    /// The flow of this row; none when there is none any more.
    pub(super) fn flow(
        &mut self,
        connection: &Connection,
        flow: i64,
    ) -> Result<Option<&mut OpenFlow>, StoreError> {
        use std::collections::hash_map::Entry;
        match self.0.entry(flow) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(place) => {
                let read = FlowRow::get(connection, flow);
                match read.map_err(|error| fault(connection, error))? {
                    None => Ok(None),
                    Some(None) => Err(StoreError::corrupt(format!("the record of flow {flow}"))),
                    Some(Some(row)) if row.deleted => Ok(None),
                    Some(Some(row)) => Ok(Some(place.insert(OpenFlow {
                        row,
                        row_changed: false,
                        stages: BTreeMap::new(),
                        over: false,
                    }))),
                }
            }
        }
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for flow in self.0.values_mut() {
            flow.write(connection)?;
        }
        Ok(())
    }

    /// Forgets the flows that nobody will write to any more.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|_, flow| !flow.over);
    }

    /// Forgets a flow whose rows were changed in another way. What has changed must be written.
    pub(super) fn forget(&mut self, flow: i64) {
        self.0.remove(&flow);
    }

    /// Forgets everything: what it was based on was not committed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl OpenFlow {
    /// The flow went to this state.
    pub(super) fn go_to(
        &mut self,
        connection: &Connection,
        state: State,
    ) -> Result<(), StoreError> {
        let change = ChangeRow { flow: self.row.rowid, run: None, state: state.clone() };
        change.insert(connection).map_err(|error| fault(connection, error))?;
        if state.kind == sandmill_core::StateType::Running {
            self.row.started.get_or_insert(state.at);
        }
        self.row.state = state;
        self.row_changed = true;
        Ok(())
    }

    /// More is known of a stage.
    pub(super) fn declare(
        &mut self,
        connection: &Connection,
        stage: &StageRecord,
    ) -> Result<(), StoreError> {
        let known = self.stage(connection, stage.stage, || stage.clone())?;
        known.changed |= known.row.stage != *stage;
        known.row.stage = stage.clone();
        Ok(())
    }

    /// The name of a stage; the run's own where nobody has said what its stage is.
    pub(super) fn stage_name(
        &mut self,
        connection: &Connection,
        key: RunKey,
        name: &str,
    ) -> Result<&str, StoreError> {
        Ok(&self.stage_of(connection, key, name)?.row.stage.name)
    }

    /// Counts a run out as it was, and in as it is.
    pub(super) fn count(
        &mut self,
        connection: &Connection,
        key: RunKey,
        before: Option<&RunRow>,
        after: &RunRow,
    ) -> Result<(), StoreError> {
        let stage = self.stage_of(connection, key, "")?;
        if let Some(before) = before {
            stage.row.counters.remove(before);
        }
        stage.row.counters.add(after);
        stage.changed = true;
        Ok(())
    }

    /// A row of the stage was thrown away without being read.
    pub(super) fn recount(
        &mut self,
        connection: &Connection,
        key: RunKey,
    ) -> Result<(), StoreError> {
        let stage = self.stage_of(connection, key, "")?;
        (stage.changed, stage.recount) = (true, true);
        Ok(())
    }

    fn stage_of(
        &mut self,
        connection: &Connection,
        key: RunKey,
        name: &str,
    ) -> Result<&mut OpenStage, StoreError> {
        self.stage(connection, key.stage, || StageRecord {
            stage: key.stage,
            name: name.into(),
            component: None,
            task: "".into(),
            mapped: key.index.is_some(),
            total: None,
        })
    }

    fn stage(
        &mut self,
        connection: &Connection,
        number: u32,
        new: impl FnOnce() -> StageRecord,
    ) -> Result<&mut OpenStage, StoreError> {
        use std::collections::btree_map::Entry;
        let flow = self.row.rowid;
        match self.stages.entry(number) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let read = StageRow::find(connection, flow, number);
                let (row, changed) = match read.map_err(|error| fault(connection, error))? {
                    Some(Some(row)) => (row, false),
                    Some(None) => {
                        let run = self.row.run;
                        let what = format!("the record of stage {number} of flow run {run}");
                        return Err(StoreError::corrupt(what));
                    }
                    None => {
                        self.row.stages += 1;
                        self.row_changed = true;
                        let counters = crate::rows::Counters::default();
                        (StageRow { flow, stage: new(), counters }, true)
                    }
                };
                Ok(place.insert(OpenStage { row, changed, recount: false }))
            }
        }
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let fault = |error| fault(connection, error);
        for stage in self.stages.values_mut() {
            if stage.recount {
                stage.row.counters = count_rows(connection, &stage.row).map_err(fault)?;
            }
            if stage.changed {
                stage.row.write(connection).map_err(fault)?;
            }
            (stage.changed, stage.recount) = (false, false);
        }
        if self.row_changed {
            self.row.update(connection).map_err(fault)?;
            self.row_changed = false;
        }
        Ok(())
    }
}

/// Counts the rows of a stage one by one: only after one of them was lost.
fn count_rows(
    connection: &Connection,
    stage: &StageRow,
) -> rusqlite::Result<crate::rows::Counters> {
    let columns = crate::rows::RUN_COLUMNS;
    let sql = format!("SELECT {columns} FROM runs WHERE flow = ? AND stage = ?");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query((stage.flow, stage.stage.stage))?;
    let mut counters = crate::rows::Counters::default();
    while let Some(row) = rows.next()? {
        // Another one that is damaged is counted when it is thrown away in its turn.
        if let Some(run) = RunRow::read(row)? {
            counters.add(&run);
        }
    }
    Ok(counters)
}
