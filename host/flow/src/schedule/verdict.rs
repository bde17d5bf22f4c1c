//! Whether a task, or one of its runs, starts at all: by what became of the runs that it waits for.
//!
//! The order is that of Prefect 0.x (`prefect.engine.task_runner`): what was skipped upstream is
//! looked at before the trigger is.

use std::sync::Arc;

use super::inputs;
use super::piece::Piece;
use super::schedule::Schedule;
use super::step::Cause;
use super::trigger::Tally;
use crate::plan::{Input, List, Node, NodeId};
use crate::policy::{ErrorsMode, Trigger};

impl Schedule {
    /// Why a task does not start as a whole, once all is there that it waits for as a whole.
    pub(super) fn verdict(&self, id: NodeId) -> Option<Cause> {
        let node = &self.plan.nodes[id];
        let whole = || {
            let unsized_ = node.pipes.iter().filter(|pipe| self.stages[**pipe].is_unsized());
            node.gates.iter().chain(unsized_).copied()
        };
        let skipped =
            whole().find(|other| self.stages[*other].tally.skipped > 0 && self.skips(id, *other));
        if let Some(other) = skipped {
            return Some(self.skipped_with(other, None));
        }
        // What maps over something that is not there, and is to do without it.
        for (_, input) in &node.inputs {
            if let Input::Each(List::Of(target)) | Input::EachOfEach(List::Of(target)) = input
                && target.errors == ErrorsMode::Skip
                && !self.is_piped(node, target.node)
                && !inputs::is_there(&self.plan, &self.stages, target)
            {
                let what = format!("`{}` is not there to be mapped over", target.text);
                return Some(Cause::Skipped(what.into()));
            }
        }
        let tally = self.base(id);
        let decided = node.pipes.iter().all(|pipe| self.stages[*pipe].is_unsized());
        let fails = if decided || node.pipes.iter().any(|pipe| self.stages[*pipe].is_unsized()) {
            !node.trigger.holds(tally)
        } else {
            node.trigger.is_lost(tally)
        };
        if !fails {
            return None;
        }
        let blame = (node.trigger == Trigger::AllSuccessful)
            .then(|| {
                let mut counted = whole().filter(|other| !self.links[id][other].accounts());
                counted.find_map(|other| self.stages[other].blame.clone())
            })
            .flatten();
        Some(match blame {
            Some(blame) => Cause::Upstream(blame),
            None => Cause::Unmet(node.trigger.why_not(tally).into()),
        })
    }

    /// Why one run of an open task does not start, once the runs that it maps over have ended.
    pub(super) fn verdict_at(&self, id: NodeId, index: u64) -> Option<Cause> {
        let node = &self.plan.nodes[id];
        if node.pipes.is_empty() {
            return None;
        }
        let mut tally = self.base(id);
        let (mut blame, mut skip, mut left_out) = (None, None, None);
        for pipe in &node.pipes {
            let link = self.links[id][pipe];
            let piece = self.stages[*pipe].piece(index);
            if link.skips && !piece.is_value() {
                left_out.get_or_insert(*pipe);
            }
            let counts = node.trigger != Trigger::AllSuccessful || !link.accounts();
            match piece {
                Piece::Value(_) => tally.succeeded += 1,
                Piece::Skipped => {
                    tally.skipped += 1;
                    if self.skips(id, *pipe) {
                        skip.get_or_insert(*pipe);
                    }
                }
                Piece::Failed(why) if counts => {
                    tally.failed += 1;
                    blame.get_or_insert(why);
                }
                Piece::Failed(_) => {}
            }
        }
        if let Some(pipe) = skip {
            return Some(self.skipped_with(pipe, Some(index)));
        }
        if let Some(pipe) = left_out {
            let name = &self.plan.nodes[pipe].name;
            let what = format!("`{name}[{index}]` did not complete, and is left out");
            return Some(Cause::Skipped(what.into()));
        }
        if node.trigger.holds(tally) {
            return None;
        }
        Some(match blame {
            Some(blame) if node.trigger == Trigger::AllSuccessful => Cause::Upstream(blame),
            _ => Cause::Unmet(node.trigger.why_not(tally).into()),
        })
    }

    /// How the runs ended that a task waits for as a whole, as far as its trigger counts them. A
    /// task that ended before it had any runs counts as one.
    fn base(&self, id: NodeId) -> Tally {
        let node = &self.plan.nodes[id];
        let unsized_ = node.pipes.iter().filter(|pipe| self.stages[**pipe].is_unsized());
        node.gates.iter().chain(unsized_).fold(Tally::default(), |sum, other| {
            let tally = self.stages[*other].tally;
            // What arguments do without is no reason not to run, unless the trigger asks for it.
            let excused =
                node.trigger == Trigger::AllSuccessful && self.links[id][other].accounts();
            sum.and(if excused { Tally { failed: 0, ..tally } } else { tally })
        })
    }

    /// Whether a task is skipped when a run of this one was.
    pub(super) fn skips(&self, id: NodeId, other: NodeId) -> bool {
        self.plan.nodes[id].skip_with_upstream && !self.links[id][&other].accounts()
    }

    /// Whether each run of `node` waits for one of `other`.
    fn is_piped(&self, node: &Node, other: NodeId) -> bool {
        node.pipes.contains(&other) && !self.stages[other].is_unsized()
    }

    pub(super) fn skipped_with(&self, other: NodeId, index: Option<u64>) -> Cause {
        let name = self.name(other, index);
        Cause::Skipped(
            format!("`{name}` was skipped; skip_on_upstream_skip = false would let it run").into(),
        )
    }

    /// The name of a run for people.
    pub(super) fn name(&self, id: NodeId, index: Option<u64>) -> Arc<str> {
        let name = &self.plan.nodes[id].name;
        index.map_or_else(|| Arc::clone(name), |index| format!("{name}[{index}]").into())
    }
}
