//! Flows that are taken up again: what was told of before is told of again, and before anything
//! else is handed out. Where failures end a map or the flow, what is started depends on the order in
//! which calls end; so without this a flow could come to something else than it was about to, and
//! calls that have ended would not be asked for any more.
//!
//! What is recalled are runs, and not why others were not started. So where several things could
//! have kept a run from being started (a map that fails too often and maps over another such one, or
//! a flow that fails fast), those that were not may end for another of these reasons than before.

use super::schedule::Schedule;
use super::stage::{Phase, Ready};
use crate::plan::NodeId;
use crate::policy::MapPolicy;

impl Schedule {
    /// Whether the runs of a task have to be recalled when a flow is taken up: those that failures
    /// of others may keep from being started.
    #[must_use]
    pub fn recalls(&self, node: NodeId) -> bool {
        let policy = self.plan.nodes.get(node).map(|node| node.map_policy);
        policy.is_some_and(|policy| self.plan.fail_fast || policy != MapPolicy::default())
    }

    /// Says that a run was told of before the flow was taken up: that it was handed out, or had
    /// ended without being called; by the index of its step. To be said of all such runs of the
    /// tasks that want it ([`Schedule::recalls`]), but not of those that were never started
    /// ([`Cause::NotRun`](super::Cause::NotRun)), before the first step. Each of them comes again,
    /// and others wait until they have ended.
    pub fn recall(&mut self, node: NodeId, index: Option<u64>) {
        if !self.recalls(node) || !matches!(self.stages[node].phase, Phase::Waiting | Phase::Due) {
            return;
        }
        let stage = &mut self.stages[node];
        let index = match index {
            None if self.plan.nodes[node].mapped => {
                if !std::mem::replace(&mut stage.whole_left, true) {
                    stage.started_left += 1;
                    self.recalled += 1;
                }
                self.spare(node);
                return;
            }
            index => index.unwrap_or(0),
        };
        if !stage.started.has(index) {
            stage.started.set(index);
            stage.started_left += 1;
            self.recalled += 1;
            self.spare(node);
        }
    }

    /// A task and those before it are not ended because the flow stops: they came to what was told
    /// of, and will again.
    fn spare(&mut self, node: NodeId) {
        let mut spared = vec![node];
        while let Some(id) = spared.pop() {
            if !std::mem::replace(&mut self.stages[id].spared, true) {
                let node = &self.plan.nodes[id];
                spared.extend(node.gates.iter().chain(&node.pipes));
            }
        }
    }

    /// A task has been opened: if something was told of all its runs, it is told of no longer.
    pub(super) fn opened(&mut self, id: NodeId) {
        if std::mem::take(&mut self.stages[id].whole_left) {
            self.recalled(id, 1);
        }
    }

    /// Whether a task hands out only what it has before.
    pub(super) fn is_held_back(&self, id: NodeId) -> bool {
        if self.plan.fail_fast { self.recalled > 0 } else { self.stages[id].started_left > 0 }
    }

    /// So many runs of a task that were handed out before have ended, or never come.
    pub(super) fn recalled(&mut self, id: NodeId, count: u64) {
        if count == 0 {
            return;
        }
        self.stages[id].started_left -= count;
        self.recalled -= count;
        let of = if self.plan.fail_fast { 0..self.stages.len() } else { id..id + 1 };
        for id in of {
            if !self.is_held_back(id)
                && let Phase::Open(open) = &mut self.stages[id].phase
                && let Ready::Some(queue) = &mut open.ready
                && !open.deferred.is_empty()
            {
                queue.append(&mut open.deferred);
                self.work(id);
            }
        }
    }

    /// Waits no longer for what was handed out before, because it does not come: the flow is
    /// another one than it was. Whether there was something to wait for.
    pub(super) fn wait_no_longer(&mut self) -> bool {
        if self.recalled == 0 || self.under_way > 0 {
            return false;
        }
        for id in 0..self.stages.len() {
            self.stages[id].started = super::marks::Marks::default();
            self.stages[id].spared = false;
            self.stages[id].whole_left = false;
            self.recalled(id, self.stages[id].started_left);
        }
        self.stop_the_rest();
        true
    }
}
