//! Tests on a store with a flow run of a million runs: what lists and shows it must not look at
//! every run.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use sandmill_core::{State, StateType, Timestamp};
use sandmill_wire::{Digest, RunId};

use super::handle::Live;
use super::lists::statements;
use super::{FlowFilter, Reader, RunFilter, events, find};
use crate::db::{self, HISTORY, MIGRATIONS};
use crate::record::{RunKey, StageRecord};
use crate::rows::{Counters, FLOW_COLUMNS, FlowRow, StageRow};

const RUNS: u64 = 1_000_000;
/// Flow runs beside it.
const OTHERS: u64 = 200;
/// Far more than any of it takes on any machine, and far less than looking at all runs many times.
const LONG: Duration = Duration::from_secs(10);

/// A million runs in one statement: their seals do not fit, and nobody here reads them whole.
const FILL: &str = "
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)
    INSERT INTO runs (flow, stage, idx, run, state, state_name, state_at, created, started,
      attempts, tried, arguments, result, wall_micros, peak_memory, input, output, read_context,
      seal)
    SELECT ?1, 0, n, CAST(printf('%016d', n) AS BLOB),
      CASE WHEN n % 10 = 0 THEN 4 WHEN n % 1000 = 1 THEN 2 ELSE 3 END, 'Any', 30 + n, 10 + n,
      20 + n, 1, 1, zeroblob(16), zeroblob(8), 5, 65536, 10, 8, 0, 0
    FROM numbers";

fn flow_row(number: u64) -> FlowRow {
    FlowRow {
        rowid: 0,
        run: RunId::new(),
        name: "census".to_owned(),
        state: State::running(Timestamp::from_micros(number)),
        created: Timestamp::from_micros(number),
        started: None,
        idempotency_key: None,
        parent: None,
        based_on: None,
        labels: r#"["nightly"]"#.to_owned(),
        session: [7; 16],
        starts: 1,
        stages: 1,
        steps: 0,
        kept: None,
        deleted: false,
    }
}

fn large_store() -> (tempfile::TempDir, FlowRow) {
    let dir = tempfile::tempdir().unwrap();
    let connection = db::open_writer(&dir.path().join(HISTORY), MIGRATIONS).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
    let mut large = flow_row(0);
    for number in 0..OTHERS {
        let mut flow = flow_row(number);
        flow.insert(&connection).unwrap();
        if number == OTHERS / 2 {
            large = flow;
        }
    }
    let (name, task) = ("count".into(), "count".into());
    let component = Some(Digest::of(b"component"));
    let stage = StageRecord { stage: 0, name, component, task, mapped: true, total: Some(RUNS) };
    let by_state = [0, 0, RUNS / 1_000, RUNS - RUNS / 1_000 - RUNS / 10, RUNS / 10, 0, 0, 0, 0];
    let counters = Counters { by_state, ..Counters::default() };
    StageRow { flow: large.rowid, stage, counters }.write(&connection).unwrap();
    connection.execute(FILL, (large.rowid, RUNS.cast_signed())).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    (dir, large)
}

/// What SQLite is going to do, line by line.
fn plan(connection: &Connection, sql: &str) -> String {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![rusqlite::types::Null; explain.parameter_count()];
    let lines = explain
        .query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3))
        .unwrap();
    lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

fn assert_looks_up(connection: &Connection, sql: &str) -> String {
    let plan = plan(connection, sql);
    for table in ["runs", "changes", "notes", "attempts", "stages", "cache"] {
        assert!(!plan.contains(&format!("SCAN {table}")), "{sql}\n{plan}");
    }
    plan
}

#[test]
fn nothing_that_people_ask_for_looks_at_every_run() {
    let (dir, large) = large_store();
    let reader = Reader::open(dir.path()).unwrap();
    let begun = Instant::now();
    let flows = reader.flows(&FlowFilter::default()).unwrap();
    assert_eq!(flows.len(), FlowFilter::default().limit);
    assert_eq!(reader.flow(large.run).unwrap().unwrap().run, large.run);
    let stages = reader.stages(large.run).unwrap();
    assert_eq!(stages[0].counts.all(), RUNS);
    assert_eq!(reader.find_flow("latest").unwrap(), flows[0].run);
    let found = reader.find_run(&format!("{}/count[999999]", large.run)).unwrap();
    assert_eq!(found, (large.run, RunKey { stage: 0, index: Some(RUNS - 1) }));
    assert!(begun.elapsed() < LONG, "it took {:?}", begun.elapsed());

    let connection = Connection::open(dir.path().join(HISTORY)).unwrap();
    // What would look at every run is told by the same words.
    let all = plan(&connection, "SELECT * FROM runs WHERE state_name = ?");
    assert!(all.contains("SCAN runs"), "{all}");
    for sql in [
        find::NEWEST_FLOW,
        find::FLOWS_BETWEEN,
        find::RUNS_BETWEEN,
        find::BY_NAME,
        &format!("SELECT {FLOW_COLUMNS} FROM flows WHERE run = ?"),
        "SELECT * FROM stages WHERE flow = ? ORDER BY stage",
        &events::ends_sql("runs"),
        &events::ends_sql("changes"),
        &events::ends_sql("notes"),
        &events::next_runs_sql(),
    ] {
        assert_looks_up(&connection, sql);
    }
    let some = Some(Timestamp::from_micros(5));
    let flow_filters = [
        FlowFilter::default(),
        FlowFilter {
            states: vec![StateType::Paused, StateType::Failed],
            name: Some("cen*".to_owned()),
            since: some,
            until: some,
            labels: vec!["nightly".to_owned()],
            parent: Some(large.run),
            limit: 7,
        },
    ];
    let any = RunFilter::default;
    let after = Some(RunKey { stage: 0, index: Some(500_000) });
    let states = |states: &[StateType]| RunFilter { states: states.to_vec(), after, ..any() };
    let run_filters = [
        any(),
        RunFilter { after, ..any() },
        RunFilter { stage: Some("count".to_owned()), after, ..any() },
        RunFilter { stage: Some("count".to_owned()), indices: Some(5..10), ..any() },
        states(&[StateType::Failed]),
        states(&[StateType::Failed, StateType::Crashed]),
        states(&[StateType::Completed]),
        states(&[StateType::Running, StateType::Pending]),
        states(&[StateType::Paused]),
    ];
    for flow_filter in &flow_filters {
        for run_filter in &run_filters {
            for live in [Live::Nobody, Live::Unknown, Live::Session([7; 16])] {
                let is_live = live.runs(&large.session);
                let runs = (run_filter, large.rowid, is_live);
                let [flows, runs] = statements(&connection, (flow_filter, live), runs);
                assert_looks_up(&connection, &flows.unwrap());
                let Some(runs) = runs else { continue };
                let plan = assert_looks_up(&connection, &runs);
                // The few that are open may be put in order; nothing else is.
                let sorts = plan.contains("TEMP B-TREE");
                assert!(!sorts || plan.contains("runs_not_ended"), "{runs}\n{plan}");
                let is_failed = run_filter
                    .states
                    .iter()
                    .all(|kind| matches!(kind, StateType::Failed | StateType::Crashed));
                if is_failed && !run_filter.states.is_empty() {
                    assert!(plan.contains("runs_failed"), "{runs}\n{plan}");
                }
            }
        }
    }
}
