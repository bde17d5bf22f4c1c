//! What a store says of a flow run: how far it is, and, once it has ended, whether every run of it
//! ended exactly once and well.

use std::collections::BTreeMap;
use std::path::Path;

use sandmill_core::StateType;
use sandmill_store::{
    FlowFilter, FlowRecord, HistoryKind, MAX_EVENT_PAGE, MAX_LIST, Reader, RunFilter, RunRecord,
};

/// What was found in a store where every run ended once, and well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Runs of the stage.
    pub runs: u64,
    /// Attempts beyond the first.
    pub retried: u64,
    /// Processes that ran the flow.
    pub starts: u32,
}

/// The one flow run of a store.
///
/// # Panics
/// When there is none, or another.
#[must_use]
pub fn flow(store: &Path) -> (Reader, FlowRecord) {
    let reader = Reader::open(store).expect("the store can be read");
    let mut flows = reader.flows(&FlowFilter::default()).expect("the store can be read");
    assert_eq!(flows.len(), 1, "there is one flow run: {flows:?}");
    let flow = flows.remove(0);
    (reader, flow)
}

/// All runs of a stage.
///
/// # Panics
/// When the store cannot be read.
#[must_use]
pub fn runs(
    reader: &Reader,
    flow: &FlowRecord,
    stage: &str,
    states: &[StateType],
) -> Vec<RunRecord> {
    let mut runs: Vec<RunRecord> = Vec::new();
    loop {
        let filter = RunFilter {
            stage: Some(stage.to_owned()),
            states: states.to_vec(),
            after: runs.last().map(|run| run.key),
            limit: MAX_LIST,
            ..RunFilter::default()
        };
        let page = reader.runs(flow.run, &filter).expect("the runs can be read");
        let is_last = page.len() < MAX_LIST;
        runs.extend(page);
        if is_last {
            return runs;
        }
    }
}

/// The positions of those runs of a stage that are completed.
///
/// # Panics
/// When the store cannot be read.
#[must_use]
pub fn completed(store: &Path, stage: &str) -> Vec<u64> {
    let (reader, flow) = flow(store);
    let runs = runs(&reader, &flow, stage, &[StateType::Completed]);
    runs.iter().filter_map(|run| run.key.index).collect()
}

/// Looks at a flow run that has ended.
///
/// # Panics
/// When a run of the stage is missing, is there twice, ended in another way than well, or ended more
/// than once.
#[must_use]
pub fn whole(store: &Path, stage: &str, count: u64) -> Whole {
    let (reader, flow) = flow(store);
    assert_eq!(flow.state.kind, StateType::Completed, "{:?}", flow.state);
    let runs = runs(&reader, &flow, stage, &[]);
    let positions: Vec<u64> = runs.iter().filter_map(|run| run.key.index).collect();
    assert!(positions.iter().copied().eq(0..count), "runs are missing or there twice");
    for run in &runs {
        assert_eq!(run.state.kind, StateType::Completed, "{run:?}");
    }
    let mut ends: BTreeMap<_, u32> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let (events, next) =
            reader.events(flow.run, cursor, MAX_EVENT_PAGE).expect("the events can be read");
        for event in &events {
            if let (Some((run, _)), HistoryKind::State(state)) = (&event.run, &event.kind)
                && state.is_final()
            {
                *ends.entry(*run).or_default() += 1;
            }
        }
        if next.is_at_end() {
            break;
        }
        cursor = Some(next);
    }
    for run in &runs {
        assert_eq!(ends.get(&run.run), Some(&1), "a run has one outcome: {run:?}");
    }
    let retried = runs.iter().map(|run| u64::from(run.attempts.saturating_sub(1))).sum();
    Whole { runs: count, retried, starts: flow.starts }
}
