//! The seam between whatever says what a flow does next (the schedule of a plan, a flow
//! component) and the runner, which makes the calls, keeps the journal and waits.

use std::sync::Arc;
use std::task::{Context, Poll};

use sandmill_core::{CallOptions, CancelToken, Component, State, TaskFuture};
use sandmill_wire::{Outcome, RunId, Value};

use crate::schedule::{Blame, Cause, Ended};

/// Number of a stage of a flow's run: the position of a task in a flow file, the number of a
/// command in a flow component. The same in every run of the same flow.
pub type StageId = u32;

/// What the runs of a stage have in common.
#[derive(Debug, Clone)]
pub struct StageSpec {
    /// Its name for people.
    pub name: Arc<str>,
    /// What it calls.
    pub target: StageTarget,
    /// Everything that its calls have in common. The runner adds the parent and the cancel token.
    pub options: Arc<CallOptions>,
    /// Whether it has one run for each element of something.
    pub mapped: bool,
}

/// What the runs of a stage call.
#[derive(Debug, Clone)]
pub enum StageTarget {
    /// A task.
    Task {
        /// The component that holds it.
        component: Component,
        /// Its name there.
        task: Arc<str>,
    },
    /// A flow of a component: the run is a sub-flow, with runs of its own.
    Flow {
        /// The component that holds it.
        component: Component,
        /// Its name there.
        flow: Arc<str>,
    },
}

/// What is next.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// The stage has so many runs. Nothing needs to be done.
    Sized {
        /// The stage.
        stage: StageId,
        /// How many runs it will have.
        total: u64,
    },
    /// Make this call, and say how it ended with [`Script::on_done`].
    Run {
        /// The stage.
        stage: StageId,
        /// Position in the map; none for a stage that is not mapped.
        index: Option<u64>,
        /// The argument map.
        arguments: Value,
    },
    /// This run has ended without being called, and is counted already.
    End {
        /// The stage.
        stage: StageId,
        /// Position in the map; none also for a mapped stage whose size cannot be known.
        index: Option<u64>,
        /// Why.
        cause: Cause,
    },
    /// Cancel what is under way of this stage (of this run of it, where an index is given, or where
    /// the stage is not mapped). Each ends through [`Script::on_done`] as ever.
    Cancel {
        /// The stage.
        stage: StageId,
        /// Which run of it; none for all.
        index: Option<u64>,
    },
}

/// A call that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    /// The run.
    pub run: RunId,
    /// Its name: `count[3]`.
    pub name: &'a str,
    /// Its final state.
    pub state: &'a State,
    /// How it ended.
    pub outcome: &'a Outcome,
}

impl Done<'_> {
    /// What a schedule cares for of it.
    #[must_use]
    pub fn ended(&self) -> Ended {
        match self.outcome {
            Outcome::Value(value) => Ended::Value(value.clone()),
            skipped if skipped.is_skip() => Ended::Skipped,
            Outcome::Failure(_) | Outcome::Ended(_) => {
                Ended::Failed(Blame::new(self.name, Some(self.run), self.state))
            }
        }
    }
}

/// How many failures are the last, where others of their stage or flow are not to start after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureLimit {
    /// With more failed runs than that, none of the stage starts any more.
    pub most: Option<u64>,
    /// Whether after one failure none of the flow does.
    pub halts: bool,
}

/// Says what a flow does next. Called from the runner's thread only.
pub trait Script: Send {
    /// The next act. `Pending`: nothing until a call ends, or until `context` is woken.
    /// `Ready(None)`: nothing ever again; when all calls have ended, the flow has.
    fn poll_act(&mut self, context: &mut Context<'_>) -> Poll<Option<Act>>;

    /// The next [`Act::Cancel`] that cannot wait until there is room for calls: asked for before
    /// [`Script::poll_act`], also while the executor is full. `Pending`: none until `context` is
    /// woken.
    fn poll_cancel(&mut self, _context: &mut Context<'_>) -> Poll<Act> {
        Poll::Pending
    }

    /// Whether a flow that is taken up has to say which runs of a stage its journal has
    /// ([`Script::recall`]): where what is started depends on the order in which calls end.
    fn recalls(&self, _stage: StageId) -> bool {
        false
    }

    /// Says, before the first act, that the journal has this run: that it was called, or ended
    /// without being called for any reason but [`Cause::NotRun`]. By the index of its act.
    fn recall(&mut self, _stage: StageId, _index: Option<u64>) {}

    /// What a stage's runs have in common. Asked once for each stage, before its first act.
    fn stage(&self, stage: StageId) -> StageSpec;

    /// Takes notice that a call has ended.
    fn on_done(&mut self, stage: StageId, index: Option<u64>, run: RunId, ended: Ended);

    /// The id that a run is to have, where the script says it: a new run is called with it
    /// (`Call::as_run`). Flow components need ids that are known before their runs are called, and
    /// are the same whenever the flow is taken up again. None: the runner makes one.
    fn run_id(&self, _stage: StageId, _index: Option<u64>) -> Option<RunId> {
        None
    }

    /// Whether the script has written to the flow's journal itself that this run ended without being
    /// called: then the runner only tells of it. Asked once for each [`Act::End`].
    fn wrote_end(&mut self, _stage: StageId, _index: Option<u64>) -> bool {
        false
    }

    /// A token of its own for the call of a task that is about to be handed to an executor, where
    /// the script wants to cancel it from elsewhere: an executor that runs it on the runner's
    /// thread is not heard of before it has ended. It has to be cancelled with `with`.
    fn cancel_token(
        &mut self,
        _stage: StageId,
        _index: Option<u64>,
        _with: &CancelToken,
    ) -> Option<CancelToken> {
        None
    }

    /// With which failures of a stage's runs others do not start any more, as it is known now. The
    /// script says so itself once it is told of them; the runner holds back meanwhile what it has
    /// submitted already. Nothing: any number.
    fn failure_limit(&self, _stage: StageId) -> Option<FailureLimit> {
        None
    }

    /// Takes notice that a run was handed to an executor: its future tells where it stands. Not
    /// called for runs whose end is recorded already.
    fn on_submitted(&mut self, _stage: StageId, _index: Option<u64>, _future: &TaskFuture) {}

    /// Takes notice that a call has ended, with everything there is to know: what the runner
    /// calls, for runs that have just ended and for recorded ones. By default it tells
    /// [`Script::on_done`] what a schedule cares for.
    fn on_outcome(&mut self, stage: StageId, index: Option<u64>, done: &Done<'_>) {
        self.on_done(stage, index, done.run, done.ended());
    }

    /// Has no further act from now on: the flow is cancelled, has timed out or is interrupted.
    fn stop(&mut self, why: &Outcome);

    /// What the flow comes to, once everything has ended.
    fn conclusion(&mut self) -> Outcome;

    /// Numbers of the stages that are known from the start, for displays.
    fn known_stages(&self) -> Vec<StageId>;
}
