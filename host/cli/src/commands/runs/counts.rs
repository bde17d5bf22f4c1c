//! Runs by how they stand: of a stage, or of a whole flow run.

use std::sync::Arc;
use std::time::Instant;

use sandmill::RunId;
use sandmill::core::Timestamp;
use sandmill::flow_file::HOOK_START;
use sandmill::store::{Reader, StageSummary};
use serde::Serialize;

use crate::error::Result;
use crate::output::moment;
use crate::output::progress::{Counts, StageView, is_hook};
use crate::stores::store_error;

/// Runs by how they stand, in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct RunCounts {
    pub(super) total: Option<u64>,
    pub(super) done: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) crashed: u64,
    pub(super) cancelled: u64,
    pub(super) running: u64,
    pub(super) waiting: u64,
    pub(super) interrupted: u64,
    pub(super) cached: u64,
    pub(super) reused: u64,
    pub(super) skipped: u64,
    pub(super) retries: u64,
}

impl RunCounts {
    /// Those of a stage. `rerun`: whether its flow run uses results of another one again. Results
    /// of the cache and of the other flow run are not told apart there, and count as the latter.
    pub(super) fn of(stage: &StageSummary, rerun: bool) -> Self {
        let counts = &stage.counts;
        let (cached, reused) = match rerun {
            true => (stage.cached.saturating_sub(stage.reused), stage.reused),
            false => (stage.cached, stage.reused.saturating_sub(stage.cached)),
        };
        let total = stage.stage.total.or((!stage.stage.mapped).then_some(1));
        Self {
            total,
            done: counts.ended(),
            completed: counts.completed,
            failed: counts.failed,
            crashed: counts.crashed,
            cancelled: counts.cancelled,
            running: counts.running + counts.cancelling,
            waiting: counts.scheduled + counts.pending,
            interrupted: counts.paused,
            cached,
            reused,
            skipped: stage.skipped,
            retries: stage.retried,
        }
    }

    /// Those of all stages together, but for hooks, which are none of the flow's own.
    pub(super) fn of_all(stages: &[StageSummary], rerun: bool) -> Self {
        let none = Self { total: Some(0), ..Self::default() };
        stages
            .iter()
            .filter(|stage| !is_hook(stage.stage.stage))
            .map(|stage| Self::of(stage, rerun))
            .fold(none, |sum, stage| Self {
                total: sum.total.zip(stage.total).map(|(sum, own)| sum + own),
                done: sum.done + stage.done,
                completed: sum.completed + stage.completed,
                failed: sum.failed + stage.failed,
                crashed: sum.crashed + stage.crashed,
                cancelled: sum.cancelled + stage.cancelled,
                running: sum.running + stage.running,
                waiting: sum.waiting + stage.waiting,
                interrupted: sum.interrupted + stage.interrupted,
                cached: sum.cached + stage.cached,
                reused: sum.reused + stage.reused,
                skipped: sum.skipped + stage.skipped,
                retries: sum.retries + stage.retries,
            })
    }

    /// Runs that failed or crashed.
    pub(super) const fn bad(&self) -> u64 {
        self.failed + self.crashed
    }
}

/// The stages of a flow run as they come one after the other: `on_start` first, then the tasks, then
/// `on_exit`.
pub(super) fn in_order(reader: &Reader, flow: RunId) -> Result<Vec<StageSummary>> {
    let mut stages = reader.stages(flow).map_err(|error| store_error(&error))?;
    // The hooks' numbers are the highest ones.
    let hooks = stages.partition_point(|stage| stage.stage.stage < HOOK_START);
    if stages.get(hooks).is_some_and(|stage| stage.stage.stage == HOOK_START) {
        stages[..=hooks].rotate_right(1);
    }
    Ok(stages)
}

/// A stage as displays and summaries show it.
pub(super) fn view(stage: &StageSummary, rerun: bool) -> StageView {
    let counts = RunCounts::of(stage, rerun);
    let named = |name: &str| stage.names.get(name).copied().unwrap_or(0);
    StageView {
        is_hook: is_hook(stage.stage.stage),
        total: counts.total,
        counts: Counts {
            submitted: stage.counts.all(),
            running: counts.running,
            waiting: stage.counts.scheduled,
            retries: counts.retries,
            completed: counts.completed,
            cached: counts.cached,
            reused: counts.reused,
            skipped: counts.skipped,
            failed: counts.failed,
            timed_out: named("TimedOut"),
            upstream: named("TriggerFailed"),
            crashed: counts.crashed,
            // What was interrupted is told as what was cancelled is, by another word.
            cancelled: counts.cancelled + counts.interrupted,
        },
        started: stage.first_started.map(instant),
        ended: stage.last_ended.map(instant),
        busy_micros: stage.busy_micros,
        slowest_micros: stage.slowest_micros,
        peak_memory: stage.peak_memory,
        ..StageView::new(Arc::clone(&stage.stage.name))
    }
}

/// A moment on this process's own clock, as far as that goes back.
pub(super) fn instant(at: Timestamp) -> Instant {
    let now = Instant::now();
    now.checked_sub(moment::between(at, moment::now())).unwrap_or(now)
}
