//! The schedule itself: what is handed out next. Whether a run starts at all is in `verdict`, what
//! follows from its end in `ending`; what one task's state is made of is in `stage`, what arguments
//! are made of in `inputs`, and what the flow comes to in `conclusion`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sandmill_wire::RunId;

use super::ending::Over;
use super::inputs::{Inputs, Opening};
use super::links::{self, Link};
use super::marks::Marks;
use super::stage::{Open, Phase, Ready, Stage};
use super::step::{Cause, Ended, Step};
use crate::plan::{NodeId, Plan};
use crate::script::FailureLimit;

/// Which call of a flow comes next. Told how calls ended, it says what is next, deepest task first
/// so that the results of a long map are used up as they come.
pub struct Schedule {
    pub(super) plan: Arc<Plan>,
    pub(super) stages: Vec<Stage>,
    /// For each task, the tasks that wait for it as a whole.
    pub(super) gated: Vec<Arc<[NodeId]>>,
    /// For each mapped task, the tasks that map over it.
    pub(super) piped: Vec<Arc<[NodeId]>>,
    /// For each task, what it takes of those that it waits for.
    pub(super) links: Vec<BTreeMap<NodeId, Link>>,
    /// For each task, whether somebody makes something of its failures.
    pub(super) accounted: Vec<bool>,
    /// Tasks with something to be done, deepest first, then in the order of the file.
    ready: BTreeSet<(Reverse<u32>, NodeId)>,
    /// Steps that follow from the end of a run: at most a few for each task.
    pub(super) pending: VecDeque<Step>,
    pub(super) unfinished: usize,
    /// Nothing is handed out any more, because a run failed that nobody accounts for: why.
    pub(super) halted: Option<Arc<str>>,
    /// How many runs were told of before the flow was taken up and have not ended again.
    pub(super) recalled: u64,
    /// How many runs were handed out and have not ended.
    pub(super) under_way: u64,
    stopped: bool,
}

impl Schedule {
    /// The start of a plan's run.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let count = plan.nodes.len();
        let links = links::links(&plan);
        let (mut gated, mut piped) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        let mut stages: Vec<Stage> = (0..count).map(|_| Stage::default()).collect();
        for (id, node) in plan.nodes.iter().enumerate() {
            node.gates.iter().for_each(|gate| gated[*gate].push(id));
            node.pipes.iter().for_each(|pipe| piped[*pipe].push(id));
            for gate in node.gates.iter().filter(|gate| links[id][*gate].reads) {
                stages[*gate].readers += 1;
            }
            links[id].iter().for_each(|(other, link)| stages[*other].told |= link.told);
            stages[id].waiting = node.gates.len() + node.pipes.len();
        }
        for target in plan.result.targets() {
            stages[target.node].readers += 1;
            stages[target.node].told |= target.errors == crate::policy::ErrorsMode::States;
        }
        let mut schedule = Self {
            stages,
            gated: gated.into_iter().map(Arc::from).collect(),
            piped: piped.into_iter().map(Arc::from).collect(),
            accounted: links::accounted(&plan, &links),
            links,
            ready: BTreeSet::new(),
            pending: VecDeque::new(),
            unfinished: count,
            halted: None,
            recalled: 0,
            under_way: 0,
            stopped: false,
            plan,
        };
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
            if let Some(step) = self.pending.pop_front() {
                return Some(step);
            }
            let Some((_, id)) = self.ready.first().copied() else {
                if self.wait_no_longer() {
                    continue;
                }
                return None;
            };
            let held_back = self.is_held_back(id);
            let stage = &mut self.stages[id];
            let step = match &mut stage.phase {
                Phase::Due => self.open(id),
                Phase::Open(open) => match open.take(held_back.then_some(&stage.started)) {
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

    /// Takes notice that a call which was handed out has ended as this run. False when no such call
    /// is under way: it was not handed out, or has ended before.
    pub fn on_done(&mut self, node: NodeId, index: Option<u64>, run: RunId, ended: Ended) -> bool {
        let index = index.unwrap_or(0);
        let Some(Stage { phase: Phase::Open(open), .. }) = self.stages.get_mut(node) else {
            return false;
        };
        if !open.running.remove(&index) {
            return false;
        }
        let over = match ended {
            Ended::Value(value) => Over::Value(value),
            Ended::Skipped => Over::Skipped,
            Ended::Failed(blame) => Over::Failed(Arc::new(blame)),
        };
        self.under_way -= 1;
        let own = matches!(over, Over::Failed(_));
        self.end(node, index, Some(run), over, own);
        true
    }

    /// Opens a task whose upstream is there: from now on its runs are handed out.
    fn open(&mut self, id: NodeId) -> Option<Step> {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[id];
        // Where all that is mapped over has ended, the runs can go in order, one by one.
        let in_order = !self.is_held_back(id)
            && node.pipes.iter().all(|pipe| self.stages[*pipe].is_finished());
        let opening = match self.verdict(id) {
            Some(cause) => Err(cause),
            None => Inputs::open(&plan, node, &self.stages, in_order).map_err(Cause::from),
        };
        let Opening { inputs, total } = match opening {
            Ok(opening) => opening,
            Err(cause) => {
                self.end_unopened(id, &cause);
                return Some(Step::End { node: id, index: None, cause });
            }
        };
        let ready = if in_order {
            Ready::From(0)
        } else {
            let ended = |index: &u64| self.piece_ended(&node.pipes, *index);
            Ready::Some((0..total).filter(ended).collect::<VecDeque<u64>>())
        };
        let (handed, running, deferred) = (Marks::default(), BTreeSet::new(), VecDeque::new());
        self.stages[id].total = Some(total);
        self.stages[id].phase = Phase::Open(Box::new(Open {
            total,
            inputs,
            ready,
            handed,
            running,
            left: total,
            deferred,
        }));
        self.sized(id);
        self.opened(id);
        if total == 0 {
            self.finish(id);
        }
        for pipe in &node.pipes {
            self.follow_cuts(id, *pipe);
        }
        if let Some(why) = self.halted.clone() {
            self.cut(id, None, &Cause::NotRun(why));
        }
        self.read(id);
        node.mapped.then_some(Step::Mapped { node: id, total })
    }

    /// Hands out one run of an open task.
    fn hand_out(&mut self, id: NodeId, index: u64) -> Step {
        let plan = Arc::clone(&self.plan);
        let node = &plan.nodes[id];
        let shown = node.mapped.then_some(index);
        let verdict = self.verdict_at(id, index);
        // The inputs are held out for the while, because they read the results of other stages.
        let Phase::Open(mut open) = std::mem::take(&mut self.stages[id].phase) else {
            unreachable!("only an open task hands out runs")
        };
        let arguments = match verdict {
            Some(cause) => Err(cause),
            None => open.inputs.arguments(&self.stages, index).map_err(Cause::from),
        };
        if arguments.is_ok() {
            open.running.insert(index);
        }
        self.stages[id].phase = Phase::Open(open);
        node.pipes.iter().for_each(|pipe| self.release(*pipe, index));
        match arguments {
            Ok(arguments) => {
                self.under_way += 1;
                Step::Run { node: id, index: shown, arguments }
            }
            Err(cause) => {
                let over = self.over(id, shown, &cause);
                self.end(id, index, None, over, matches!(cause, Cause::Inputs(_)));
                Step::End { node: id, index: shown, cause }
            }
        }
    }

    /// Whether the runs at a position of all these mapped tasks have ended.
    pub(super) fn piece_ended(&self, pipes: &[NodeId], index: u64) -> bool {
        pipes.iter().all(|pipe| self.stages[*pipe].ended.has(index))
    }

    /// A task that waits for nothing any more is to be looked at.
    pub(super) fn due(&mut self, id: NodeId) {
        if self.stages[id].waiting == 0 && matches!(self.stages[id].phase, Phase::Waiting) {
            self.stages[id].phase = Phase::Due;
            self.work(id);
        }
    }

    pub(super) fn work(&mut self, id: NodeId) {
        self.ready.insert((Reverse(self.plan.nodes[id].depth), id));
    }

    pub(super) fn rest(&mut self, id: NodeId) {
        self.ready.remove(&(Reverse(self.plan.nodes[id].depth), id));
    }

    /// The next step, if it is to cancel something: that needs no room for a call.
    pub fn next_cancel(&mut self) -> Option<Step> {
        let at = self.pending.iter().position(|step| matches!(step, Step::Cancel { .. }))?;
        if self.stopped { None } else { self.pending.remove(at) }
    }

    /// How many failures of a task's runs are the last: what was handed out after that and has not
    /// started must not. Nothing where there may be any number.
    #[must_use]
    pub fn failure_limit(&self, node: NodeId) -> Option<FailureLimit> {
        let (policy, stage) = (self.plan.nodes.get(node)?.map_policy, &self.stages[node]);
        let most = match (policy.max_failures, stage.total) {
            _ if policy.fail_fast => Some(0),
            (Some(most), Some(total)) => Some(most.of(total)),
            _ => None,
        };
        let halts = self.plan.fail_fast && !self.accounted[node];
        (most.is_some() || self.plan.fail_fast).then_some(FailureLimit { most, halts })
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
