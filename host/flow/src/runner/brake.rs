//! Stops a map, or a whole flow, at the failure that is one too many: there and then, on the thread
//! on which that run ends. The schedule hears of it a moment later, on the flow's own thread, and by
//! then slots would have started more of what waits for them. What is said of it to the schedule and
//! to the journal is theirs; here only what has not started is kept from starting.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures::FutureExt as _;
use parking_lot::Mutex;
use sandmill_core::TaskFuture;
use sandmill_wire::{EndKind, Outcome, RunId};

use crate::script::{FailureLimit, StageId};

/// The failures of one flow's run, as they happen, and the runs that they may keep from starting.
#[derive(Default)]
pub(super) struct Brake(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    failures: HashMap<StageId, u64>,
    /// Stages of which nothing starts any more.
    stopped: HashSet<StageId>,
    /// Whether nothing of the flow starts any more.
    halted: bool,
    /// What was submitted and has not ended: no more than the runner has under way.
    open: HashMap<RunId, (StageId, TaskFuture)>,
}

impl Brake {
    /// Submits a run of a stage with a limit. `submit` is told whether it must not start.
    pub(super) fn submit(
        self: &Arc<Self>,
        stage: StageId,
        limit: FailureLimit,
        submit: impl FnOnce(bool) -> TaskFuture,
    ) -> TaskFuture {
        // Held meanwhile: a failure is either seen here, or sees this run.
        let mut inner = self.0.lock();
        let future = submit(inner.is_stopped(stage));
        if !future.is_done() {
            inner.open.insert(future.id(), (stage, future.clone()));
        }
        drop(inner);
        let ends = Arc::new(Ends { brake: Arc::clone(self), stage, limit, run: future.id() });
        // A waker is woken on the thread that ends the run, before that takes up another.
        let waker = Waker::from(Arc::clone(&ends));
        if future.clone().poll_unpin(&mut Context::from_waker(&waker)).is_ready() {
            match future.outcome() {
                Some(outcome) => self.ended(future.id(), stage, limit, &outcome),
                None => ends.wake(),
            }
        }
        future
    }

    /// Takes notice of a run that ended without being submitted: it failed before, say.
    pub(super) fn count(&self, stage: StageId, limit: FailureLimit, outcome: &Outcome) {
        let mut inner = self.0.lock();
        let failed = !outcome.is_success() && !outcome.is_skip();
        let stops = failed && inner.failed(stage, limit);
        // Also where another thread saw it first: it may not have come to all of them yet, and this
        // one takes up the next as soon as it can. Not for each of those that it ends itself.
        let stopped = if stops || !is_cancelled(outcome) { inner.stopped() } else { Vec::new() };
        drop(inner);
        stopped.iter().for_each(|future| _ = future.cancel_unstarted());
    }

    fn ended(&self, run: RunId, stage: StageId, limit: FailureLimit, outcome: &Outcome) {
        let known = self.0.lock().open.remove(&run);
        self.count(stage, limit, outcome);
        // Not before: nobody else may hold on to it, and its end may wake others.
        drop(known);
    }
}

impl Inner {
    fn is_stopped(&self, stage: StageId) -> bool {
        self.halted || self.stopped.contains(&stage)
    }

    /// Counts a failure; whether something is stopped by it.
    fn failed(&mut self, stage: StageId, limit: FailureLimit) -> bool {
        let failures = self.failures.entry(stage).or_default();
        *failures += 1;
        let many = limit.most.is_some_and(|most| *failures > most);
        let halts = limit.halts && !std::mem::replace(&mut self.halted, true);
        many && self.stopped.insert(stage) || halts
    }

    /// What must not start any more.
    fn stopped(&self) -> Vec<TaskFuture> {
        if !self.halted && self.stopped.is_empty() {
            return Vec::new();
        }
        let open = self.open.values().filter(|(stage, _)| self.is_stopped(*stage));
        open.map(|(_, future)| future.clone()).collect()
    }
}

fn is_cancelled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ended(end) if end.kind == EndKind::Cancelled)
}

/// Is woken when a run has ended.
struct Ends {
    brake: Arc<Brake>,
    stage: StageId,
    limit: FailureLimit,
    run: RunId,
}

impl Wake for Ends {
    fn wake(self: Arc<Self>) {
        let found = self.brake.0.lock().open.get(&self.run).map(|(_, future)| future.clone());
        // Woken once for each time that it was polled: what is gone was counted.
        if let Some(outcome) = found.as_ref().and_then(TaskFuture::outcome) {
            self.brake.ended(self.run, self.stage, self.limit, &outcome);
        }
    }
}
