//! A plan's schedule as the script of a flow's run.

use std::sync::Arc;
use std::task::{Context, Poll};

use sandmill_wire::{End, EndKind, Outcome, RunId};

use crate::plan::{NodeId, Plan};
use crate::schedule::{Conclusion, Ended, Schedule, Step};
use crate::script::{Act, FailureLimit, Script, StageId, StageSpec, StageTarget};

/// What a plan does next, by its schedule. Its stages are the plan's tasks, by their position.
pub struct PlanScript {
    schedule: Schedule,
    /// Calls that were handed out and have not ended.
    under_way: usize,
    stopped: Option<Outcome>,
}

impl PlanScript {
    /// The start of a plan's run.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { schedule: Schedule::new(plan), under_way: 0, stopped: None }
    }
}

/// The number of a plan's task as a stage. A flow file has far fewer tasks than numbers.
fn stage_of(node: NodeId) -> StageId {
    StageId::try_from(node).unwrap_or(StageId::MAX)
}

impl Script for PlanScript {
    fn poll_act(&mut self, _: &mut Context<'_>) -> Poll<Option<Act>> {
        // A schedule changes only when it is told of an end, so there is nobody to wake.
        match self.schedule.next_step() {
            None if self.under_way == 0 => Poll::Ready(None),
            None => Poll::Pending,
            Some(step) => Poll::Ready(Some(match step {
                Step::Mapped { node, total } => Act::Sized { stage: stage_of(node), total },
                Step::Run { node, index, arguments } => {
                    self.under_way += 1;
                    Act::Run { stage: stage_of(node), index, arguments }
                }
                Step::Cancel { node, index } => Act::Cancel { stage: stage_of(node), index },
                Step::End { node, index, cause } => {
                    Act::End { stage: stage_of(node), index, cause }
                }
            })),
        }
    }

    fn poll_cancel(&mut self, _: &mut Context<'_>) -> Poll<Act> {
        match self.schedule.next_cancel() {
            Some(Step::Cancel { node, index }) => {
                Poll::Ready(Act::Cancel { stage: stage_of(node), index })
            }
            _ => Poll::Pending,
        }
    }

    fn recalls(&self, stage: StageId) -> bool {
        self.schedule.recalls(stage as NodeId)
    }

    fn recall(&mut self, stage: StageId, index: Option<u64>) {
        self.schedule.recall(stage as NodeId, index);
    }

    fn stage(&self, stage: StageId) -> StageSpec {
        let node = &self.schedule.plan().nodes()[stage as usize];
        StageSpec {
            name: Arc::clone(node.name()),
            target: StageTarget::Task {
                component: node.component().clone(),
                task: Arc::clone(node.task()),
            },
            options: Arc::new(node.options().clone()),
            mapped: node.is_mapped(),
        }
    }

    fn failure_limit(&self, stage: StageId) -> Option<FailureLimit> {
        self.schedule.failure_limit(stage as NodeId)
    }

    fn on_done(&mut self, stage: StageId, index: Option<u64>, run: RunId, ended: Ended) {
        if self.schedule.on_done(stage as NodeId, index, run, ended) {
            self.under_way -= 1;
        }
    }

    fn stop(&mut self, why: &Outcome) {
        self.schedule.stop();
        self.stopped = Some(why.clone());
    }

    fn conclusion(&mut self) -> Outcome {
        if !self.schedule.is_finished() {
            let stuck = "the flow has runs left, and none of them can start";
            let why = self.stopped.clone();
            return why.unwrap_or_else(|| End::new(EndKind::HostError, stuck).into());
        }
        match self.schedule.conclusion() {
            Conclusion::Value(value) => Outcome::Value(value),
            Conclusion::Failed(failure) => Outcome::Failure(failure),
        }
    }

    fn known_stages(&self) -> Vec<StageId> {
        (0..self.schedule.plan().nodes().len()).map(stage_of).collect()
    }
}
