//! The schedule itself. What one task's state is made of is in `stage`; what arguments are made
//! of, in `inputs`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use sandmill_wire::{Failure, RunId, Value};

use super::blame::Blame;
use super::inputs::{self, Inputs, Opening};
use super::marks::Marks;
use super::stage::{Open, Phase, Ready, Stage};
use super::step::{Cause, Conclusion, Ended, Step};
use crate::plan::{Node, NodeId, Plan};

/// Which call of a flow comes next. Told how calls ended, it says what is next, deepest task first
/// so that the results of a long map are used up as they come.
pub struct Schedule {
    plan: Arc<Plan>,
    stages: Vec<Stage>,
    /// For each task, the tasks that wait for it as a whole.
    gated: Vec<Vec<NodeId>>,
    /// For each mapped task, the tasks that map over it.
    piped: Vec<Vec<NodeId>>,
    /// Tasks with something to be done, deepest first, then in the order of the file.
    ready: BTreeSet<(Reverse<u32>, NodeId)>,
    unfinished: usize,
    stopped: bool,
}

impl Schedule {
    /// The start of a plan's run.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let count = plan.nodes.len();
        let mut schedule = Self {
            stages: (0..count).map(|_| Stage::default()).collect(),
            gated: vec![Vec::new(); count],
            piped: vec![Vec::new(); count],
            ready: BTreeSet::new(),
            unfinished: count,
            stopped: false,
            plan: Arc::clone(&plan),
        };
        for (id, node) in plan.nodes.iter().enumerate() {
            node.gates.iter().for_each(|gate| schedule.gated[*gate].push(id));
            node.pipes.iter().for_each(|pipe| schedule.piped[*pipe].push(id));
            for gate in node.gates.iter().filter(|gate| reads(node, **gate)) {
                schedule.stages[*gate].readers += 1;
            }
            schedule.stages[id].waiting = node.gates.len() + node.pipes.len();
        }
        for target in plan.result.targets() {
            schedule.stages[target.node].readers += 1;
        }
        for id in 0..count {
            schedule.due(id);
        }
        schedule
    }

    /// The plan that this is a run of.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Whether every run has ended.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Has no further step: for a flow that is cancelled.
    pub const fn stop(&mut self) {
        self.stopped = true;
    }

    /// What is next, if there is something that can be done before another call ends.
    pub fn next_step(&mut self) -> Option<Step> {
        while !self.stopped {
            let (_, id) = *self.ready.first()?;
            let step = match &mut self.stages[id].phase {
                Phase::Due => self.open(id),
                Phase::Open(open) => match open.take() {
                    Some(index) => Some(self.hand_out(id, index)),
                    None => {
                        self.rest(id);
                        None
                    }
                },
                Phase::Waiting | Phase::Finished => {
                    self.rest(id);
                    None
                }
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// Takes notice that a call which was handed out has ended. False when no such call is under
    /// way: it was not handed out, or has ended before.
    pub fn on_done(&mut self, node: NodeId, index: Option<u64>, run: RunId, ended: Ended) -> bool {
        let _ = run;
        let index = index.unwrap_or(0);
        let Some(Stage { phase: Phase::Open(open), .. }) = self.stages.get_mut(node) else {
            return false;
        };
        if !open.running.remove(&index) {
            return false;
        }
        let ended = match ended {
            Ended::Value(value) => Ok(value),
            // Nothing is in the place of its result.
            Ended::Skipped => Ok(Value::nil()),
            Ended::Failed(blame) => Err(Arc::new(blame)),
        };
        self.end(node, index, ended);
        true
    }

    /// What the flow comes to. Tells the truth once it is finished.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        if let crate::plan::Results::One(target) = &self.plan.result {
            let name = &self.plan.nodes[target.node].name;
            if let Some(blame) = &self.stages[target.node].blame {
                let what = format!("the result task `{name}` did not complete, because of {blame}");
                return Conclusion::Failed(Failure::new(TASK_FAILED, what));
            }
            return match inputs::whole(&self.plan, &self.stages, target, inputs::MAX_RESULT_BYTES) {
                Ok(value) => Conclusion::Value(value),
                Err(failure) => Conclusion::Failed(failure),
            };
        }
        let last = self.plan.nodes.iter().zip(&self.stages).filter(|(node, _)| node.is_terminal());
        let (mut count, mut failed) = (0, Vec::new());
        for (node, stage) in last {
            count += 1;
            failed.extend(stage.blame.as_ref().map(|blame| (&node.name, blame)));
        }
        let Some((name, blame)) = failed.first() else { return Conclusion::Value(Value::nil()) };
        let what = format!(
            "{} of {count} last tasks did not complete; the first is `{name}`, because of {blame}",
            failed.len()
        );
        Conclusion::Failed(Failure::new(TASK_FAILED, what))
    }

    /// Opens a task whose upstream is there: from now on its runs are handed out.
    fn open(&mut self, id: NodeId) -> Option<Step> {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[id];
        let gate = node.gates.iter().find_map(|gate| self.stages[*gate].blame.clone());
        let pipe = || {
            let unsized_ = node.pipes.iter().filter(|pipe| self.stages[**pipe].total.is_none());
            unsized_.filter_map(|pipe| self.stages[*pipe].blame.clone()).next()
        };
        if let Some(blame) = gate.or_else(pipe) {
            self.fail(id, Arc::clone(&blame));
            return Some(Step::End { node: id, index: None, cause: Cause::Upstream(blame) });
        }
        // Where all that is mapped over has ended, the runs can go in order, one by one.
        let in_order = node.pipes.iter().all(|pipe| self.stages[*pipe].is_finished());
        let Opening { inputs, total } = match Inputs::open(&plan, node, &self.stages, in_order) {
            Ok(opening) => opening,
            Err(failure) => {
                let blame = Blame::unstarted(Arc::clone(&node.name), "Failed", failure.to_string());
                self.fail(id, Arc::new(blame));
                return Some(Step::End { node: id, index: None, cause: Cause::Inputs(failure) });
            }
        };
        let ready = if in_order {
            Ready::From(0)
        } else {
            let all = self.stages[node.pipes[0]].ended.iter().take_while(|index| *index < total);
            let ended = |index: &u64| self.piece_ended(&node.pipes, *index);
            Ready::Some(all.filter(ended).collect::<VecDeque<u64>>())
        };
        let (handed, running) = (Marks::default(), BTreeSet::new());
        self.stages[id].total = Some(total);
        self.stages[id].phase =
            Phase::Open(Box::new(Open { total, inputs, ready, handed, running, left: total }));
        self.sized(id);
        if total == 0 {
            self.finish(id);
        }
        self.read(id);
        node.mapped.then_some(Step::Mapped { node: id, total })
    }

    /// Hands out one run of an open task.
    fn hand_out(&mut self, id: NodeId, index: u64) -> Step {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[id];
        let shown = node.mapped.then_some(index);
        let blame =
            node.pipes.iter().find_map(|pipe| self.stages[*pipe].blames.get(&index).cloned());
        // The inputs are held out for the while, because they read the results of other stages.
        let Phase::Open(mut open) = std::mem::take(&mut self.stages[id].phase) else {
            unreachable!("only an open task hands out runs")
        };
        let arguments = open.inputs.arguments(&self.stages, index);
        if blame.is_none() && arguments.is_ok() {
            open.running.insert(index);
        }
        self.stages[id].phase = Phase::Open(open);
        node.pipes.iter().for_each(|pipe| self.release(*pipe, index));
        match (blame, arguments) {
            (Some(blame), _) => {
                self.end(id, index, Err(Arc::clone(&blame)));
                Step::End { node: id, index: shown, cause: Cause::Upstream(blame) }
            }
            (None, Err(failure)) => {
                let name = match shown {
                    Some(index) => format!("{}[{index}]", node.name).into(),
                    None => Arc::clone(&node.name),
                };
                let blame = Blame::unstarted(name, "Failed", failure.to_string());
                self.end(id, index, Err(Arc::new(blame)));
                Step::End { node: id, index: shown, cause: Cause::Inputs(failure) }
            }
            (None, Ok(arguments)) => Step::Run { node: id, index: shown, arguments },
        }
    }

    /// Takes notice of the end of one run.
    fn end(&mut self, id: NodeId, index: u64, ended: Result<Value, Arc<Blame>>) {
        let piped = std::mem::take(&mut self.piped[id]);
        let wanted = piped.iter().any(|other| self.stages[*other].wants(index));
        let stage = &mut self.stages[id];
        match ended {
            Ok(value) if wanted || stage.readers > 0 => {
                stage.results.insert(index, value);
            }
            Ok(_) => {}
            Err(blame) => {
                if wanted {
                    stage.blames.insert(index, Arc::clone(&blame));
                }
                stage.blame.get_or_insert(blame);
            }
        }
        if !piped.is_empty() {
            stage.ended.set(index);
        }
        for other in &piped {
            let plan = Arc::clone(&self.plan);
            if self.piece_ended(&plan.nodes[*other].pipes, index)
                && self.stages[*other].wants(index)
                && let Phase::Open(open) = &mut self.stages[*other].phase
                && let Ready::Some(queue) = &mut open.ready
            {
                queue.push_back(index);
                self.work(*other);
            }
        }
        self.piped[id] = piped;
        if let Phase::Open(open) = &mut self.stages[id].phase {
            open.left -= 1;
            if open.left == 0 {
                self.finish(id);
            }
        }
    }

    /// Whether the runs at a position of all these mapped tasks have ended.
    fn piece_ended(&self, pipes: &[NodeId], index: u64) -> bool {
        pipes.iter().all(|pipe| self.stages[*pipe].ended.has(index))
    }

    /// A task ends before it had any run.
    fn fail(&mut self, id: NodeId, blame: Arc<Blame>) {
        self.stages[id].blame = Some(blame);
        self.finish(id);
        self.sized(id);
        self.read(id);
    }

    /// A task has ended: those that wait for it as a whole may go on.
    fn finish(&mut self, id: NodeId) {
        self.stages[id].phase = Phase::Finished;
        self.unfinished -= 1;
        self.rest(id);
        for other in self.gated[id].clone() {
            self.stages[other].waiting -= 1;
            self.due(other);
        }
        self.forget_unread(id);
    }

    /// How many runs a task has is known, or never will be: those that map over it may go on.
    fn sized(&mut self, id: NodeId) {
        for other in self.piped[id].clone() {
            self.stages[other].waiting -= 1;
            self.due(other);
        }
    }

    /// A task has read what it needs of others as a whole.
    fn read(&mut self, id: NodeId) {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[id];
        for gate in node.gates.iter().filter(|gate| reads(node, **gate)) {
            self.stages[*gate].readers -= 1;
            self.forget_unread(*gate);
        }
        node.pipes.iter().for_each(|pipe| self.forget_unread(*pipe));
    }

    /// Lets go of the results that nobody will read any more.
    fn forget_unread(&mut self, id: NodeId) {
        let mut results = std::mem::take(&mut self.stages[id].results);
        let mut blames = std::mem::take(&mut self.stages[id].blames);
        let wanted =
            |index: &u64| self.piped[id].iter().any(|other| self.stages[*other].wants(*index));
        if self.stages[id].readers == 0 {
            results.retain(|index, _| wanted(index));
        }
        blames.retain(|index, _| wanted(index));
        self.stages[id].results = results;
        self.stages[id].blames = blames;
    }

    /// Lets go of one result if nobody will read it any more.
    fn release(&mut self, id: NodeId, index: u64) {
        if self.piped[id].iter().any(|other| self.stages[*other].wants(index)) {
            return;
        }
        if self.stages[id].readers == 0 {
            self.stages[id].results.remove(&index);
        }
        self.stages[id].blames.remove(&index);
    }

    /// A task that waits for nothing any more is to be looked at.
    fn due(&mut self, id: NodeId) {
        if self.stages[id].waiting == 0 && matches!(self.stages[id].phase, Phase::Waiting) {
            self.stages[id].phase = Phase::Due;
            self.work(id);
        }
    }

    fn work(&mut self, id: NodeId) {
        self.ready.insert((Reverse(self.plan.nodes[id].depth), id));
    }

    fn rest(&mut self, id: NodeId) {
        self.ready.remove(&(Reverse(self.plan.nodes[id].depth), id));
    }

    /// How many results are held for runs to come, over all tasks.
    #[must_use]
    pub fn held(&self) -> usize {
        self.stages.iter().map(|stage| stage.results.len()).sum()
    }

    /// How many runs are known to be ready beyond those that are merely next in a map.
    #[must_use]
    pub fn queued(&self) -> usize {
        let queued = |stage: &Stage| match &stage.phase {
            Phase::Open(open) => match &open.ready {
                Ready::Some(queue) => queue.len(),
                Ready::From(_) => 0,
            },
            _ => 0,
        };
        self.stages.iter().map(queued).sum()
    }
}

/// Whether a task takes the result of another, and does not merely come after it.
fn reads(node: &Node, other: NodeId) -> bool {
    node.inputs.iter().filter_map(|(_, input)| input.target()).any(|target| target.node == other)
}

/// Kind of the failure of a flow whose tasks did not all complete.
const TASK_FAILED: &str = "task-failed";
