//! What follows from the end of a run: who may go on, which maps end early, and which results are
//! let go of.

use std::borrow::Cow;
use std::sync::Arc;

use sandmill_core::StateType;
use sandmill_wire::{RunId, Value};

use super::blame::Blame;
use super::marks::Marks;
use super::schedule::Schedule;
use super::stage::{Phase, Ready};
use super::step::{Cause, Step};
use crate::plan::NodeId;

/// How a run ended, with or without having been called.
#[derive(Clone)]
pub(super) enum Over {
    Value(Value),
    Skipped,
    Failed(Arc<Blame>),
}

impl Schedule {
    /// What a run comes to that ends for this reason without being called.
    pub(super) fn over(&self, id: NodeId, index: Option<u64>, cause: &Cause) -> Over {
        let name = || self.name(id, index);
        Over::Failed(Arc::new(match cause {
            Cause::Skipped(_) => return Over::Skipped,
            // Blame goes to where it began.
            Cause::Upstream(blame) => return Over::Failed(Arc::clone(blame)),
            Cause::Inputs(failure) => Blame::unstarted(name(), "Failed", failure.to_string()),
            Cause::Refused(why) => Blame::unstarted(name(), "Refused", Arc::clone(why)),
            Cause::Unmet(why) => Blame::unstarted(name(), "TriggerFailed", Arc::clone(why)),
            Cause::NotRun(why) => Blame {
                kind: StateType::Cancelled,
                state: Cow::Borrowed("Cancelled"),
                ..Blame::unstarted(name(), "", Arc::clone(why))
            },
        }))
    }

    /// Takes notice of the end of one run. `own` says whether it failed, and not because of others.
    pub(super) fn end(
        &mut self,
        id: NodeId,
        index: u64,
        run: Option<RunId>,
        over: Over,
        own: bool,
    ) {
        let piped = Arc::clone(&self.piped[id]);
        let wanted = piped.iter().any(|other| self.stages[*other].wants(index));
        let again = u64::from(self.stages[id].started.has(index));
        let stage = &mut self.stages[id];
        let kept = wanted || stage.readers > 0;
        stage.failures += u64::from(own);
        if let Some(run) = run.filter(|_| kept && stage.told) {
            stage.runs.insert(index, run);
        }
        let failed = match over {
            Over::Value(value) => {
                stage.tally.succeeded += 1;
                if kept {
                    stage.results.insert(index, value);
                }
                None
            }
            Over::Skipped => {
                stage.tally.skipped += 1;
                if kept {
                    stage.skipped.set(index);
                }
                None
            }
            Over::Failed(blame) => {
                stage.tally.failed += 1;
                if wanted || (kept && stage.told) {
                    stage.blames.insert(index, Arc::clone(&blame));
                }
                stage.take_blame(index, &blame);
                Some(blame)
            }
        };
        if !piped.is_empty() {
            stage.ended.set(index);
        }
        piped.iter().for_each(|other| self.offer(*other, index));
        if let Phase::Open(open) = &mut self.stages[id].phase {
            open.left -= 1;
            if open.left == 0 {
                self.finish(id);
            }
        }
        if let Some(blame) = failed {
            self.failed(id, &blame, own);
        }
        // What it may have stopped does not start because of this.
        self.recalled(id, again.min(self.stages[id].started_left));
    }

    /// Puts a run into the queue of a task, if what it maps over has ended and it waits for that.
    fn offer(&mut self, id: NodeId, index: u64) {
        let plan = Arc::clone(&self.plan);
        if self.piece_ended(&plan.nodes[id].pipes, index)
            && self.stages[id].wants(index)
            && let Phase::Open(open) = &mut self.stages[id].phase
            && let Ready::Some(queue) = &mut open.ready
        {
            queue.push_back(index);
            self.work(id);
        }
    }

    /// Stops what is to stop because of a failed run.
    fn failed(&mut self, id: NodeId, blame: &Blame, own: bool) {
        if self.plan.fail_fast && !self.accounted[id] {
            self.halt(blame);
            return;
        }
        let policy = self.plan.nodes[id].map_policy;
        let (Phase::Open(open), true) = (&self.stages[id].phase, own) else { return };
        let failures = self.stages[id].failures;
        let allowed = policy.max_failures.map(|most| most.of(open.total));
        let many = allowed.is_some_and(|allowed| failures > allowed);
        if self.stages[id].closed || !many && !policy.fail_fast {
            return;
        }
        let running = !open.running.is_empty();
        // The words are the same in whatever order runs end, as they may be told to other tasks,
        // which have to be called in the same way when the flow is taken up.
        let why = match allowed.filter(|_| !policy.fail_fast) {
            Some(allowed) => format!("more than {allowed} of {} runs failed", open.total),
            None => "another run of the task failed, and it has fail_fast".to_owned(),
        };
        self.stages[id].closed = true;
        self.cut(id, None, &Cause::NotRun(why.into()));
        if policy.fail_fast && running {
            self.pending.push_back(Step::Cancel { node: id, index: None });
        }
    }

    /// Stops the whole flow, because of this run.
    fn halt(&mut self, blame: &Blame) {
        if self.halted.is_none() {
            self.halted = Some(format!("the flow stops at its first failure, {blame}").into());
            self.stop_the_rest();
        }
    }

    /// Ends and cancels everything, if the flow is to stop; but for what was told of before the
    /// flow was taken up.
    pub(super) fn stop_the_rest(&mut self) {
        let Some(why) = self.halted.clone() else { return };
        for id in 0..self.stages.len() {
            let cause = Cause::NotRun(Arc::clone(&why));
            match &self.stages[id].phase {
                Phase::Waiting | Phase::Due if !self.stages[id].spared => {
                    self.end_unopened(id, &cause);
                    self.pending.push_back(Step::End { node: id, index: None, cause });
                }
                Phase::Waiting | Phase::Due | Phase::Finished => {}
                Phase::Open(open) => {
                    if !open.running.is_empty() {
                        self.pending.push_back(Step::Cancel { node: id, index: None });
                    }
                    self.cut(id, None, &cause);
                }
            }
        }
    }

    /// Ends runs of an open task that were not handed out, all at once: all of them, or those at
    /// certain positions. One step tells of them.
    pub(super) fn cut(&mut self, id: NodeId, among: Option<&Marks>, cause: &Cause) {
        let over = self.over(id, None, cause);
        let stage = &mut self.stages[id];
        let Phase::Open(open) = &mut stage.phase else { return };
        let mut gone = open.handed.missing(open.total, among);
        gone.remove(&stage.started);
        let count = gone.len();
        if count == 0 {
            return;
        }
        let total = open.total;
        open.handed.add(&gone);
        open.left -= count;
        if let Ready::Some(queue) = &mut open.ready {
            queue.retain(|index| !gone.has(*index));
            open.deferred.retain(|index| !gone.has(*index));
        }
        match &over {
            Over::Failed(blame) => {
                stage.tally.failed += count;
                stage.cut.failed.add(&gone);
                stage.cut.blame.get_or_insert_with(|| Arc::clone(blame));
                stage.take_blame(u64::MAX, blame);
            }
            Over::Value(_) | Over::Skipped => {
                stage.tally.skipped += count;
                stage.cut.skipped.add(&gone);
            }
        }
        let cause = match cause {
            Cause::NotRun(why) => {
                Cause::NotRun(format!("{count} of {total} runs were not started: {why}").into())
            }
            other => other.clone(),
        };
        self.pending.push_back(Step::End { node: id, index: None, cause });
        let plan = Arc::clone(&self.plan);
        plan.nodes[id].pipes.iter().for_each(|pipe| self.forget_unread(*pipe));
        let piped = Arc::clone(&self.piped[id]);
        if !piped.is_empty() {
            self.stages[id].ended.add(&gone);
        }
        for other in piped.iter() {
            self.follow(*other, id, &gone, &over);
            for index in gone.iter() {
                self.offer(*other, index);
            }
        }
        if let Phase::Open(open) = &self.stages[id].phase
            && open.left == 0
        {
            self.finish(id);
        }
        if let Over::Failed(blame) = &over
            && self.plan.fail_fast
            && !self.accounted[id]
        {
            self.halt(blame);
        }
    }

    /// Ends the runs of an open task whose counterparts were cut, where it is plain what becomes of
    /// them whatever else they wait for.
    fn follow(&mut self, id: NodeId, pipe: NodeId, gone: &Marks, over: &Over) {
        if self.halted.is_some() {
            return;
        }
        let link = self.links[id][&pipe];
        let cause = match over {
            Over::Skipped if self.skips(id, pipe) => self.skipped_with(pipe, None),
            _ if link.skips => {
                let name = &self.plan.nodes[pipe].name;
                Cause::Skipped(
                    format!("runs of `{name}` were not started, and are left out").into(),
                )
            }
            // Whatever the trigger makes of it, what it takes is not there.
            Over::Failed(blame) if !link.accounts() => Cause::Upstream(Arc::clone(blame)),
            _ => return,
        };
        self.cut(id, Some(gone), &cause);
    }

    /// The same for a task that was just opened.
    pub(super) fn follow_cuts(&mut self, id: NodeId, pipe: NodeId) {
        let cut = &self.stages[pipe].cut;
        let (failed, skipped) = (cut.failed.clone(), cut.skipped.clone());
        if let Some(blame) = cut.blame.clone() {
            self.follow(id, pipe, &failed, &Over::Failed(blame));
        }
        if !skipped.is_empty() {
            self.follow(id, pipe, &skipped, &Over::Skipped);
        }
    }

    /// A task ends before it had any run.
    pub(super) fn end_unopened(&mut self, id: NodeId, cause: &Cause) {
        let over = self.over(id, None, cause);
        let stage = &mut self.stages[id];
        let failed = match over {
            Over::Failed(blame) => {
                stage.tally.failed += 1;
                stage.take_blame(0, &blame);
                Some(blame)
            }
            Over::Value(_) | Over::Skipped => {
                stage.tally.skipped += 1;
                stage.skipped.set(0);
                None
            }
        };
        self.finish(id);
        self.sized(id);
        self.read(id);
        if let Some(blame) = failed
            && self.plan.fail_fast
            && !self.accounted[id]
        {
            self.halt(&blame);
        }
    }

    /// A task has ended: those that wait for it as a whole may go on.
    pub(super) fn finish(&mut self, id: NodeId) {
        self.stages[id].phase = Phase::Finished;
        self.unfinished -= 1;
        self.rest(id);
        // Those that never came were of another flow.
        self.stages[id].whole_left = false;
        self.recalled(id, self.stages[id].started_left);
        for other in self.gated[id].clone().iter() {
            self.stages[*other].waiting -= 1;
            self.due(*other);
        }
        self.forget_unread(id);
    }

    /// How many runs a task has is known, or never will be: those that map over it may go on.
    pub(super) fn sized(&mut self, id: NodeId) {
        for other in self.piped[id].clone().iter() {
            self.stages[*other].waiting -= 1;
            self.due(*other);
        }
    }

    /// A task has read what it needs of others as a whole.
    pub(super) fn read(&mut self, id: NodeId) {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[id];
        for gate in node.gates.iter().filter(|gate| self.links[id][*gate].reads) {
            self.stages[*gate].readers -= 1;
        }
        node.gates.iter().chain(&node.pipes).for_each(|other| self.forget_unread(*other));
    }

    /// Lets go of the results that nobody will read any more.
    fn forget_unread(&mut self, id: NodeId) {
        let stage = &mut self.stages[id];
        let (mut results, mut blames, mut runs) = (
            std::mem::take(&mut stage.results),
            std::mem::take(&mut stage.blames),
            std::mem::take(&mut stage.runs),
        );
        let (read, told) = (stage.readers > 0, stage.readers > 0 && stage.told);
        let piped = &self.piped[id];
        let wanted = |index: &u64| piped.iter().any(|other| self.stages[*other].wants(*index));
        results.retain(|index, _| read || wanted(index));
        blames.retain(|index, _| told || wanted(index));
        runs.retain(|index, _| told || wanted(index));
        let stage = &mut self.stages[id];
        (stage.results, stage.blames, stage.runs) = (results, blames, runs);
    }

    /// Lets go of one result if nobody will read it any more.
    pub(super) fn release(&mut self, id: NodeId, index: u64) {
        if self.piped[id].iter().any(|other| self.stages[*other].wants(index)) {
            return;
        }
        let stage = &mut self.stages[id];
        if stage.readers == 0 {
            stage.results.remove(&index);
        }
        if stage.readers == 0 || !stage.told {
            stage.blames.remove(&index);
            stage.runs.remove(&index);
        }
    }
}
