//! The board of a flow, brought up to what the flow's own report says: a flow that is resumed has
//! runs that ended before, of which no event tells.

use std::collections::HashMap;
use std::sync::Arc;

use sandmill::flow_file::{FlowReport, StageReport};

use super::board::Board;
use super::stage::Counts;

impl Board {
    /// Takes the counts of ended runs from the report; of what is under way, events know more.
    pub(crate) fn follow(&mut self, report: &FlowReport) {
        self.follow_hooks(report);
        // Stages of one name are one here: a flow component may call a task again and again.
        let mut sums: HashMap<&Arc<str>, (Counts, Option<u64>)> = HashMap::new();
        for stage in &report.stages {
            let (counts, total) = sums.entry(&stage.name).or_insert((Counts::default(), Some(0)));
            *counts = counts.and(&counts_of(stage));
            *total = total.zip(stage.total).map(|(sum, own)| sum + own);
        }
        for stage in &report.stages {
            if let Some((mut counts, total)) = sums.remove(&stage.name) {
                // A result that is used again stands as one from the cache does.
                counts.cached = counts.cached.saturating_sub(counts.reused);
                self.take_ends(&stage.name, &counts, total);
            }
        }
    }
}

/// What a report says of the runs of a stage that have ended.
fn counts_of(stage: &StageReport) -> Counts {
    let named = |name: &str| stage.ended.get(name).copied().unwrap_or(0);
    let (crashed, cancelled) = (named("Crashed") + named("HostLost"), named("Cancelled"));
    Counts {
        // Not those that are running: a report may know of a run before its event is seen here, which
        // would then be counted twice.
        submitted: stage.done(),
        completed: stage.completed,
        cached: named("Cached"),
        reused: stage.reused,
        skipped: named("Skipped"),
        failed: stage.failed().saturating_sub(crashed + cancelled),
        timed_out: named("TimedOut"),
        upstream: named("TriggerFailed"),
        crashed,
        cancelled,
        ..Counts::default()
    }
}
