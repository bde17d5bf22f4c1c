//! What a reader gives and what it is asked for: plain data.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sandmill_core::{State, StateType, Timestamp};
use sandmill_wire::RunId;
use serde::Serialize;

use crate::StoreError;
use crate::record::{RunKey, StageRecord};
use crate::rows::{Counters, StageRow};

/// Flow runs that a list gives by default.
pub const DEFAULT_FLOW_LIST: usize = 50;
/// Runs that a page gives by default.
pub const DEFAULT_RUN_PAGE: usize = 1_000;
/// Most that one list or page gives.
pub const MAX_LIST: usize = 10_000;

/// Flow runs that were asked for.
#[derive(Debug, Default)]
pub struct FlowList {
    /// Those that are whole, the newest first.
    pub flows: Vec<FlowRecord>,
    /// One error for each that is damaged, which names it ([`StoreError::Corrupt`]). They count for
    /// the limit of the list.
    pub damaged: Vec<StoreError>,
}

/// What is known of a flow run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowRecord {
    /// Its id.
    pub run: RunId,
    /// The flow's name.
    pub name: Arc<str>,
    /// Where it stands. One that was under way when its process went away is `Interrupted`,
    /// whether anybody has written that down by now or not.
    pub state: State,
    /// When it was made.
    pub created: Timestamp,
    /// When it was first running.
    pub started: Option<Timestamp>,
    /// When it ended for good.
    pub ended: Option<Timestamp>,
    /// No other flow run has the same one.
    pub idempotency_key: Option<String>,
    /// The flow run that it is part of.
    pub parent: Option<RunId>,
    /// The flow run whose results it uses again.
    pub based_on: Option<RunId>,
    /// Words by which it can be found.
    pub labels: Vec<String>,
    /// How many processes have run it.
    pub starts: u32,
}

/// Which flow runs: those that fit everything that is set. The newest of all by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowFilter {
    /// Only those in one of these states, as [`FlowRecord::state`] has it; any when empty.
    pub states: Vec<StateType>,
    /// Only those of flows with this name, or with a name that fits this pattern (`*`, `?`,
    /// `[…]`).
    pub name: Option<String>,
    /// Only those that were made then or later.
    pub since: Option<Timestamp>,
    /// Only those that were made before.
    pub until: Option<Timestamp>,
    /// Only those with all of these labels.
    pub labels: Vec<String>,
    /// Only those that are part of this flow run.
    pub parent: Option<RunId>,
    /// How many at most, up to [`MAX_LIST`].
    pub limit: usize,
}

impl Default for FlowFilter {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            name: None,
            since: None,
            until: None,
            labels: Vec::new(),
            parent: None,
            limit: DEFAULT_FLOW_LIST,
        }
    }
}

/// Which runs of a flow run: those that fit everything that is set, by stage and position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of the stage with this name.
    pub stage: Option<String>,
    /// Only those in one of these states; any when empty.
    pub states: Vec<StateType>,
    /// Only those at these positions of a map.
    pub indices: Option<Range<u64>>,
    /// Only those that come after: the key of the last run of the page before.
    pub after: Option<RunKey>,
    /// How many at most, up to [`MAX_LIST`].
    pub limit: usize,
}

impl Default for RunFilter {
    fn default() -> Self {
        let (stage, states, indices, after) = (None, Vec::new(), None, None);
        Self { stage, states, indices, after, limit: DEFAULT_RUN_PAGE }
    }
}

/// Runs by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StateCounts {
    /// Those that will run at some time.
    pub scheduled: u64,
    /// Those that wait for a slot.
    pub pending: u64,
    /// Those that are running.
    pub running: u64,
    /// Those that returned a value, or were skipped.
    pub completed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that their host failed.
    pub crashed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Those that were asked to stop.
    pub cancelling: u64,
    /// Those that wait to be let go on, the interrupted ones included.
    pub paused: u64,
}

impl StateCounts {
    /// How many there are.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.ended().saturating_add(self.open())
    }

    /// How many have ended for good.
    #[must_use]
    pub fn ended(&self) -> u64 {
        sum([self.completed, self.failed, self.crashed, self.cancelled])
    }

    /// How many have not.
    #[must_use]
    pub fn open(&self) -> u64 {
        sum([self.scheduled, self.pending, self.running, self.cancelling, self.paused])
    }
}

fn sum<const N: usize>(counts: [u64; N]) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// What is known of a stage of a flow run, and what its runs add up to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageSummary {
    /// What it is.
    #[serde(flatten)]
    pub stage: StageRecord,
    /// Its runs by state.
    pub counts: StateCounts,
    /// Its ended runs by the name of their state (`Completed`, `TimedOut`, …).
    pub names: BTreeMap<String, u64>,
    /// Of the completed, those that were skipped.
    pub skipped: u64,
    /// Of the completed, those with a result from the cache.
    pub cached: u64,
    /// Of the ended, those with the value of an earlier run.
    pub reused: u64,
    /// Attempts beyond the first, of all runs.
    pub retried: u64,
    /// When the first of its runs started.
    pub first_started: Option<Timestamp>,
    /// When the last of its runs ended.
    pub last_ended: Option<Timestamp>,
    /// Microseconds that the last attempts of its ended runs took, summed up.
    pub busy_micros: u64,
    /// Microseconds of the slowest one.
    pub slowest_micros: u64,
    /// The run that took so long.
    pub slowest: Option<RunId>,
    /// The most bytes of memory that one run used.
    pub peak_memory: u64,
    /// Bytes of all arguments.
    pub input: u64,
    /// Bytes of all results.
    pub output: u64,
    /// Fuel in all, where it was metered.
    pub fuel: u64,
}

impl StageSummary {
    /// What a row says. Where nobody runs the flow any more, no run of it is under way either.
    pub(super) fn of(row: StageRow, is_live: bool) -> Self {
        let StageRow { stage, counters, .. } = row;
        let Counters { by_state, .. } = &counters;
        // In the order of the numbers that stand for states: see the schema.
        let &[
            scheduled,
            pending,
            running,
            completed,
            failed,
            crashed,
            cancelled,
            cancelling,
            paused,
        ] = by_state;
        let ended = StateCounts { completed, failed, crashed, cancelled, ..StateCounts::default() };
        let counts = if is_live {
            StateCounts { scheduled, pending, running, cancelling, paused, ..ended }
        } else {
            let paused = sum([scheduled, pending, running, cancelling, paused]);
            StateCounts { paused, ..ended }
        };
        Self {
            stage,
            counts,
            names: counters.names,
            skipped: counters.skipped,
            cached: counters.cached,
            reused: counters.reused,
            retried: counters.retried,
            first_started: counters.first_started,
            last_ended: counters.last_ended,
            busy_micros: counters.busy_micros,
            slowest_micros: counters.slowest_micros,
            slowest: counters.slowest,
            peak_memory: counters.peak_memory,
            input: counters.input,
            output: counters.output,
            fuel: counters.fuel,
        }
    }
}
