//! Lists of flow runs and of runs, a page at a time. Nothing here reads more of the table of runs
//! than what it gives, unless it is asked for runs in a state that hardly any has.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use sandmill_core::StateType;
use sandmill_wire::RunId;

use super::handle::{Live, Reader, flow_record, known_flow, run_record};
use super::records::{FlowFilter, FlowList, FlowRecord, MAX_LIST, RunFilter};
use crate::StoreError;
use crate::deletion::tree;
use crate::record::RunRecord;
use crate::rows::{
    FLOW_COLUMNS, FlowRow, RUN_COLUMNS, RunRow, fault, idx, kind_number, micros, run_id,
};

/// A condition that grows part by part, with what goes into it.
struct Condition {
    sql: String,
    values: Vec<Sql>,
}

impl Condition {
    fn new(sql: &str, value: Option<Sql>) -> Self {
        Self { sql: sql.to_owned(), values: value.into_iter().collect() }
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Sql>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

impl Reader {
    /// Flow runs that fit, the newest first.
    ///
    /// # Errors
    /// What is recorded of one is damaged (the error names it), or the store cannot be read.
    pub fn flows(&self, filter: &FlowFilter) -> Result<Vec<FlowRecord>, StoreError> {
        let FlowList { flows, damaged } = self.list_flows(filter)?;
        damaged.into_iter().next().map_or(Ok(flows), Err)
    }

    /// Flow runs that fit, the newest first, and which of them cannot be shown.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list_flows(&self, filter: &FlowFilter) -> Result<FlowList, StoreError> {
        let live = self.live()?;
        let condition = flow_condition(filter, live);
        let sql = flows_sql(&condition.sql);
        let rows = self.read(|connection| {
            let values = with_limit(condition.values, filter.limit);
            let read = connection.prepare_cached(&sql).and_then(|mut select| {
                let rows = select.query_map(params_from_iter(values), |row| {
                    Ok((row.get::<_, i64>(0)?, run_id(row, 1).ok(), FlowRow::read(row)?))
                })?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            });
            read.map_err(|error| fault(connection, error))
        })?;
        let mut list = FlowList::default();
        for (rowid, run, row) in rows {
            let damaged = || {
                // As the row has it: this may itself be what is wrong in it.
                let id = run.map(|run| format!(" ({run})")).unwrap_or_default();
                StoreError::corrupt(format!("flow run number {rowid}{id}"))
            };
            match row.ok_or_else(damaged).and_then(|row| flow_record(row, live)) {
                Ok(flow) => list.flows.push(flow),
                Err(error) => list.damaged.push(error),
            }
        }
        Ok(list)
    }

    /// A flow run and all the sub-flows below it, also those whose records are damaged: what goes
    /// with it when it is deleted. It comes first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn flow_tree(&self, root: RunId) -> Result<Vec<RunId>, StoreError> {
        self.read(|connection| tree(connection, root).map_err(|error| fault(connection, error)))
    }

    /// Runs of a flow run that fit, by stage and position. The next page begins after the key of
    /// the last run of this one.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded of one of its runs is damaged (the error names
    /// it), or the store cannot be read.
    pub fn runs(&self, id: RunId, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let live = self.live()?;
        self.read(|connection| {
            let flow = known_flow(connection, id)?;
            let is_live = live.runs(&flow.session);
            let Some(condition) = run_condition(connection, filter, flow.rowid, is_live)? else {
                return Ok(Vec::new());
            };
            let sql = runs_sql(&condition.sql);
            let values = with_limit(condition.values, filter.limit);
            let rows = connection.prepare_cached(&sql).and_then(|mut select| {
                let rows = select.query_map(params_from_iter(values), |row| {
                    Ok((row.get::<_, u32>(2)?, row.get::<_, i64>(3)?, RunRow::read(row)?))
                })?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            });
            let record = |(stage, index, row): (u32, i64, Option<RunRow>)| {
                let damaged = || {
                    let what = format!("run {index} of task {stage} of flow run {id}");
                    StoreError::corrupt(what)
                };
                let row = row.filter(|row| row.flow == flow.rowid);
                row.map(|row| run_record(&row, is_live)).ok_or_else(damaged)
            };
            rows.map_err(|error| fault(connection, error))?.into_iter().map(record).collect()
        })
    }
}

fn flows_sql(condition: &str) -> String {
    format!("SELECT {FLOW_COLUMNS} FROM flows WHERE {condition} ORDER BY id DESC LIMIT ?")
}

fn runs_sql(condition: &str) -> String {
    format!("SELECT {RUN_COLUMNS} FROM runs WHERE {condition} ORDER BY stage, idx LIMIT ?")
}

fn with_limit(mut values: Vec<Sql>, limit: usize) -> Vec<Sql> {
    values.push(Sql::Integer(i64::try_from(limit.min(MAX_LIST)).unwrap_or(i64::MAX)));
    values
}

/// Kinds of states as a list of SQL.
fn list<'a>(kinds: impl IntoIterator<Item = &'a StateType>) -> String {
    let numbers: Vec<String> =
        kinds.into_iter().map(|kind| kind_number(*kind).to_string()).collect();
    format!("({})", numbers.join(", "))
}

fn flow_condition(filter: &FlowFilter, live: Live) -> Condition {
    let mut condition = Condition::new("deleted = 0", None);
    if !filter.states.is_empty() {
        // The state as it is shown: what nobody runs is paused unless it has ended.
        let states = list(&filter.states);
        let stale = "CASE WHEN state IN (3, 4, 5, 6) THEN state ELSE 8 END";
        match live {
            Live::Unknown => condition.and(&format!("state IN {states}"), []),
            Live::Nobody => condition.and(&format!("{stale} IN {states}"), []),
            Live::Session(session) => condition.and(
                &format!("CASE WHEN session = ? THEN state ELSE {stale} END IN {states}"),
                [Sql::Blob(session.to_vec())],
            ),
        }
    }
    if let Some(name) = &filter.name {
        let is_pattern = name.contains(['*', '?', '[']);
        let sql = if is_pattern { "name GLOB ?" } else { "name = ?" };
        condition.and(sql, [Sql::Text(name.clone())]);
    }
    if let Some(since) = filter.since {
        condition.and("created >= ?", [Sql::Integer(micros(since))]);
    }
    if let Some(until) = filter.until {
        condition.and("created < ?", [Sql::Integer(micros(until))]);
    }
    for label in &filter.labels {
        // Labels that are no JSON are damage: the list is to say so rather than fail here.
        let sql = "CASE WHEN json_valid(labels)
                   THEN EXISTS (SELECT 1 FROM json_each(labels) WHERE value = ?) ELSE 1 END";
        condition.and(sql, [Sql::Text(label.clone())]);
    }
    if let Some(parent) = filter.parent {
        condition.and("parent = ?", [Sql::Blob(parent.as_uuid().as_bytes().to_vec())]);
    }
    condition
}

/// None where nothing can fit.
fn run_condition(
    connection: &Connection,
    filter: &RunFilter,
    flow: i64,
    is_live: bool,
) -> Result<Option<Condition>, StoreError> {
    let mut condition = Condition::new("flow = ?", Some(Sql::Integer(flow)));
    if let Some(name) = &filter.stage {
        let sql = "SELECT stage FROM stages WHERE flow = ? AND name = ?";
        let stages: Vec<u32> = connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_map((flow, name), |row| row.get(0))?.collect())
            .map_err(|error| fault(connection, error))?;
        match &*stages {
            [] => return Ok(None),
            [stage] => condition.and("stage = ?", [Sql::Integer((*stage).into())]),
            stages => {
                let numbers: Vec<String> = stages.iter().map(u32::to_string).collect();
                condition.and(&format!("stage IN ({})", numbers.join(", ")), []);
            }
        }
    }
    if !filter.states.is_empty() && !state_condition(&mut condition, &filter.states, is_live) {
        return Ok(None);
    }
    if let Some(indices) = &filter.indices {
        let bound = |index: u64| Sql::Integer(i64::try_from(index).unwrap_or(i64::MAX));
        condition.and("idx >= ?", [bound(indices.start)]);
        condition.and("idx < ?", [bound(indices.end)]);
    }
    if let Some(after) = filter.after {
        let place = [Sql::Integer(after.stage.into()), Sql::Integer(idx(after))];
        condition.and("(stage, idx) > (?, ?)", place);
    }
    Ok(Some(condition))
}

/// Whether anything can be in one of these states, as they are shown.
fn state_condition(condition: &mut Condition, states: &[StateType], is_live: bool) -> bool {
    // In words that SQLite finds in the definitions of its partial indexes.
    const FAILED: &str = "state IN (4, 5)";
    const OPEN: &str = "state NOT IN (3, 4, 5, 6)";
    let ended: Vec<&StateType> = states.iter().filter(|kind| kind.is_final()).collect();
    if !is_live {
        let has_open = states.contains(&StateType::Paused);
        match (has_open, ended.is_empty()) {
            (false, true) => return false,
            (true, true) => condition.and(OPEN, []),
            (true, false) => condition.and(&format!("({OPEN} OR state IN {})", list(ended)), []),
            (false, false) => condition.and(&format!("state IN {}", list(ended)), []),
        }
    } else {
        condition.and(&format!("state IN {}", list(states)), []);
        if ended.is_empty() {
            condition.and(OPEN, []);
        }
    }
    if states.iter().all(|kind| matches!(kind, StateType::Failed | StateType::Crashed)) {
        condition.and(FAILED, []);
    }
    true
}

/// The statements that a list of flow runs and a page of runs make of these filters.
#[cfg(test)]
pub(super) fn statements(
    connection: &Connection,
    (flows, live): (&FlowFilter, Live),
    (runs, flow, is_live): (&RunFilter, i64, bool),
) -> [Option<String>; 2] {
    let runs = run_condition(connection, runs, flow, is_live).unwrap();
    let runs = runs.map(|condition| runs_sql(&condition.sql));
    [Some(flows_sql(&flow_condition(flows, live).sql)), runs]
}
