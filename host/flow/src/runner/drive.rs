//! One run of a flow, on its thread: what is waited for, in which order, and how it ends. Making
//! calls is in `calls`.

use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::BoxFuture;
use futures_timer::Delay;
use parking_lot::Mutex;
use sandmill_core::future::{AsCompleted, Promise};
use sandmill_core::{CancelToken, Events, Executor, Report, State, TaskFuture, Usage};
use sandmill_store::StoreError;
use sandmill_wire::{End, EndKind, Outcome, RunId};

use super::brake::Brake;
use super::history::History;
use super::paces::{Paces, TaskKey};
use super::stages::Stages;
use super::start::SubFlows;
use super::stop::Stop;
use crate::flow_future::FlowRunFuture;
use crate::policy::Hook;
use crate::script::{Act, Script, StageId};
use crate::signals::Signals;
use crate::summary::FlowReport;

/// Bytes of arguments of calls under way, beyond which no more are made than keep the slots busy: 64 MiB.
pub const FLYING_BYTES: usize = 64 << 20;

/// One run of a flow, on its thread.
pub(super) struct Drive {
    pub(super) name: Arc<str>,
    pub(super) script: Box<dyn Script>,
    pub(super) on_start: Option<Hook>,
    pub(super) on_exit: Option<Hook>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) sub_flows: Option<Arc<dyn SubFlows>>,
    pub(super) history: History,
    pub(super) events: Events,
    pub(super) signals: Arc<Signals>,
    pub(super) promise: Promise,
    pub(super) stages: Stages,
    pub(super) report: Arc<Mutex<FlowReport>>,
    /// Keeps runs from starting at the failure that is one too many.
    pub(super) brake: Arc<Brake>,
    /// The calls under way.
    pub(super) group: AsCompleted,
    /// Which of the flow's runs they are.
    pub(super) flying: HashMap<RunId, Flight>,
    pub(super) window: usize,
    /// Bytes of their arguments.
    pub(super) flying_bytes: usize,
    /// How many of them are runs of flows.
    pub(super) flying_flows: usize,
    /// How long they take.
    pub(super) paces: Paces,
    /// Whether the flow is part of another, which shares the executor with all its parts.
    pub(super) is_part: bool,
    /// When the flow has to have ended.
    pub(super) deadline: Option<Instant>,
    /// The flow's own timeout, where that is what sets the deadline.
    pub(super) timeout: Option<Duration>,
    /// Wakes at the deadline.
    pub(super) timer: Option<Delay>,
    /// Why no further call is made.
    pub(super) stop: Option<Stop>,
    /// Why it is to end before it begins, where it is.
    pub(super) cancelled: Option<Arc<str>>,
    /// Whether something ended otherwise than it would have, because of that.
    pub(super) cut: bool,
    /// What the flows that it called were told.
    pub(super) haste: Haste,
    /// Whether the script has nothing to say any more.
    pub(super) exhausted: bool,
}

/// A call under way.
pub(super) struct Flight {
    pub(super) stage: StageId,
    pub(super) index: Option<u64>,
    pub(super) future: TaskFuture,
    /// Bytes of its arguments.
    pub(super) bytes: usize,
    /// Its task, where it is not a flow's run.
    pub(super) task: Option<TaskKey>,
    /// The same as a flow's run, where it is one.
    pub(super) sub_flow: Option<FlowRunFuture>,
    /// Whether the script had it cancelled.
    pub(super) given_up: bool,
}

/// How a flow that stops was told to do so faster, as far as the flows that it called know.
#[derive(Default)]
pub(super) struct Haste {
    hurry: bool,
    leave: bool,
}

/// What is to be done next.
enum Next {
    /// The flow was asked to stop, and everything that runs has been.
    Stop,
    /// A call has ended.
    Ended(TaskFuture),
    /// The script has an act.
    Act(Act),
    /// Nothing ever again.
    Over,
}

impl Drive {
    /// Says that the flow runs: before its future is in anybody's hands, so that nobody can end it
    /// on the way to its thread.
    pub(super) fn begin(&mut self) {
        if !self.promise.start() {
            // What it is part of was cancelled meanwhile.
            self.stop_with(Stop::cancelled());
        }
        self.history.flow_state(&State::running(self.events.clock().now()));
        self.timer =
            self.deadline.map(|at| Delay::new(at.saturating_duration_since(Instant::now())));
        for stage in self.script.known_stages() {
            self.enter(stage);
        }
    }

    /// Says to the script what the journal has, where what it does next depends on all of that.
    fn recall(&mut self) {
        let Self { script, history, .. } = self;
        for stage in script.known_stages() {
            if script.recalls(stage)
                && let Err(error) = history.told(stage, |index| script.recall(stage, index))
            {
                return self.stop_with(Stop::unreadable(&error));
            }
        }
    }

    pub(super) fn run(mut self) {
        self.recall();
        match self.history.decided() {
            Ok(None) => match self.cancelled.take() {
                Some(why) => self.end_early(Stop::cancelled_for(&why)),
                None => self.call_on_start(),
            },
            Ok(Some(outcome)) => self.end_early(Stop::Ends(outcome)),
            Err(error) => self.stop_with(Stop::unreadable(&error)),
        }
        loop {
            match self.next() {
                Next::Stop => {}
                Next::Ended(future) => self.settle(&future),
                // What follows from a read that failed is not to be done.
                Next::Act(_) if self.history.unreadable().is_some() => self.notice(),
                Next::Act(act) => self.act(act),
                Next::Over => break,
            }
        }
        let outcome = self.conclude();
        let outcome = match self.stop.as_ref().is_some_and(Stop::is_interruption) {
            true => outcome,
            false => self.call_on_exit(outcome),
        };
        self.end(outcome);
    }

    /// Waits until there is something to do.
    fn next(&mut self) -> Next {
        let executor = Arc::clone(&self.executor);
        let mut room = None;
        block_on(poll_fn(|context| self.poll_next(context, &*executor, &mut room)))
    }

    fn poll_next<'a>(
        &mut self,
        context: &mut Context<'_>,
        executor: &'a dyn Executor,
        room: &mut Option<BoxFuture<'a, ()>>,
    ) -> Poll<Next> {
        if self.stop.is_none() && self.poll_stop(context) {
            return Poll::Ready(Next::Stop);
        }
        self.pass_on_haste(context);
        self.cancel_single(context);
        // What has ended comes first: what follows from it may be deeper than what is next, and an
        // executor that runs calls right here has ended its own already.
        if let Poll::Ready(Some(Ok(future))) = self.group.poll_completed(context) {
            return Poll::Ready(Next::Ended(future));
        }
        // A cancel needs no room, and may be what makes some.
        if self.stop.is_none()
            && let Poll::Ready(act) = self.script.poll_cancel(context)
        {
            return Poll::Ready(Next::Act(act));
        }
        if self.stop.is_some() || self.exhausted {
            return if self.flying.is_empty() { Poll::Ready(Next::Over) } else { Poll::Pending };
        }
        if self.is_full() {
            return Poll::Pending;
        }
        if let Some(journal) = self.history.journal()
            && journal.poll_room(context).is_pending()
        {
            return Poll::Pending;
        }
        if room.get_or_insert_with(|| executor.room()).as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        // A future that was ready must not be asked again.
        *room = None;
        match self.script.poll_act(context) {
            Poll::Ready(Some(act)) => Poll::Ready(Next::Act(act)),
            Poll::Ready(None) => {
                self.exhausted = true;
                if self.flying.is_empty() { Poll::Ready(Next::Over) } else { Poll::Pending }
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether as many calls are under way as may be.
    fn is_full(&self) -> bool {
        let flying = self.flying.len();
        // An executor with hosts far away wants more than slots; but what takes long, and what is held here
        // meanwhile, is to be little.
        flying >= self.window
            && (self.is_part
                || self.flying_flows > 0
                || self.paces.long() >= self.window
                || self.flying_bytes >= FLYING_BYTES
                || flying >= self.executor.wanted())
    }

    /// Whether the flow has to stop: something asked it to, its time is over, or nothing is
    /// recorded any more. Else it is woken when one of these happens.
    fn poll_stop(&mut self, context: &mut Context<'_>) -> bool {
        // Registered before the look at them.
        let _woken_later = self.signals.interrupt.poll_cancelled(context);
        let _woken_later = self.signals.flow.poll_cancelled(context);
        if self.timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(context).is_ready()) {
            // Timers may be a little early, and must not be asked again.
            (self.timer, self.deadline) = (None, Some(Instant::now()));
        }
        self.notice();
        self.stop.is_some()
    }

    /// Has the flows that it called hurry and leave when it is to itself, since it waits for them.
    /// Else it is woken when it is told to.
    fn pass_on_haste(&mut self, context: &mut Context<'_>) {
        if self.stop.is_none() {
            return;
        }
        let Signals { hurry, leave, .. } = &*self.signals;
        let flows = || self.flying.values().filter_map(|flight| flight.sub_flow.as_ref());
        if !self.haste.hurry && hurry.poll_cancelled(context).is_ready() {
            self.haste.hurry = true;
            flows().for_each(|flow| _ = flow.signals.hurry.cancel());
        }
        if !self.haste.leave && leave.poll_cancelled(context).is_ready() {
            self.haste.leave = true;
            flows().for_each(|flow| _ = flow.signals.leave.cancel());
        }
    }

    /// Cancels the runs that somebody asked to cancel by themselves; what is not this flow's own may
    /// be that of a flow that it called.
    fn cancel_single(&self, context: &Context<'_>) {
        for run in self.signals.take_single(context) {
            match self.flying.get(&run) {
                Some(flight) => flight.future.cancel(),
                None => {
                    let flows = self.flying.values().filter_map(|flight| flight.sub_flow.as_ref());
                    flows.for_each(|flow| flow.signals.cancel_run(run));
                }
            }
        }
    }

    /// Takes notice of what stops the flow, and stops what runs because of it. Whoever sees that a
    /// call ended looks first whether it was because of that.
    pub(super) fn notice(&mut self) {
        if self.stop.is_some() {
            return;
        }
        self.stop = if self.signals.interrupt.is_cancelled() {
            Some(Stop::interrupted(&self.signals.why()))
        } else if self.signals.flow.is_cancelled() {
            Some(Stop::cancelled())
        } else if self.deadline.is_some_and(|at| Instant::now() >= at) {
            Some(Stop::timed_out(self.timeout))
        } else if let Some(error) = self.history.unreadable() {
            Some(Stop::unreadable(&error))
        } else {
            let lost = |error| format!("the history cannot be written any more: {error}");
            self.history.failure().map(|error| Stop::crashed(lost(error)))
        };
        if let Some(stop) = &self.stop {
            self.script.stop(stop.outcome());
            // Here, because nobody takes notice a second time: flows that it calls, and calls of
            // a flow whose journal failed, know nothing of it otherwise.
            self.stop_what_runs();
        }
    }

    /// Stops the flow by its own word.
    pub(super) fn stop_with(&mut self, stop: Stop) {
        self.notice();
        if self.stop.is_none() {
            self.script.stop(stop.outcome());
            self.stop = Some(stop);
        }
        // Whatever the script comes to now, it has not had its way.
        self.cut = true;
        self.stop_what_runs();
    }

    /// Stops a flow that has just been taken up: the runs that it left behind end as it does.
    fn end_early(&mut self, stop: Stop) {
        self.stop_with(stop);
        let Some(Stop::Ends(outcome)) = self.stop.clone() else { return };
        for stage in self.script.known_stages() {
            let now = self.events.clock().now();
            if let Err(error) = self.history.end_unfinished(stage, &outcome, now) {
                // Ended it would hold runs that have not: it is left for when they can be read.
                self.stop = Some(Stop::unreadable(&error));
                return;
            }
        }
    }

    fn stop_what_runs(&mut self) {
        if let Some(Stop::Interrupted(_)) = &self.stop {
            let why = self.signals.why();
            let flows = self.flying.values().filter_map(|flight| flight.sub_flow.as_ref());
            flows.for_each(|flow| flow.interrupt(Arc::clone(&why)));
        }
        self.signals.calls.cancel();
        let tasks = self.flying.values().filter(|flight| match &self.stop {
            Some(Stop::Interrupted(_)) => flight.sub_flow.is_none(),
            _ => true,
        });
        tasks.for_each(|flight| flight.future.cancel());
    }

    /// What the flow comes to.
    fn conclude(&mut self) -> Outcome {
        if self.history.unreadable().is_some() {
            // It may be only the script's last act that came to nothing.
            self.notice();
            self.cut = true;
        }
        if let Some(stop) = &self.stop {
            // A hook that is yet to be called has to be: later.
            let left = stop.is_interruption() && self.on_exit.is_some();
            if self.cut || left {
                return stop.outcome().clone();
            }
        }
        // Everything may have been done when the flow was to stop: the script knows.
        let outcome = self.script.conclusion();
        if self.stop.as_ref().is_some_and(|stop| *stop.outcome() != outcome) {
            self.stop = None;
        }
        outcome
    }

    /// Ends the run: everything is on disk before anybody is told.
    fn end(self, outcome: Outcome) {
        let Self { script, sub_flows, flying, history, stop, promise, signals, events, .. } = self;
        // They may hold on to the journal too.
        drop((script, sub_flows, flying));
        let now = events.clock().now();
        let mut told = outcome;
        if let Some(journal) = history.journal() {
            match &stop {
                Some(Stop::Interrupted(outcome)) => {
                    let why = State::from_outcome(outcome, now).message.unwrap_or_default();
                    journal.flow_state(&State::interrupted(now, why));
                }
                _ => journal.flow_ended(&State::from_outcome(&told, now), &told),
            }
            let interrupted = matches!(stop, Some(Stop::Interrupted(_)));
            let leave = signals.leave.child();
            if interrupted {
                cancel_after(leave.clone(), LAST_WRITE);
            }
            match journal.sync(Some(&leave)) {
                // Whoever opens the store next finds out by itself that the flow was interrupted.
                Err(StoreError::Cancelled) if interrupted => {}
                Err(error) => told = unwritten(&error, &told),
                Ok(()) => {}
            }
        }
        // Whoever waits for the end may take the flow up at once: the journal is let go before.
        drop(history);
        promise.finish(Report::new(told, Usage::default()));
    }
}

/// How long an interrupted flow waits for room on a full disk to write down that it is.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Cancels a token after some time.
fn cancel_after(token: CancelToken, time: Duration) {
    // Where no thread can be had, whoever waits can still be told to leave.
    let _unjoined =
        std::thread::Builder::new().name("sandmill-last-write".to_owned()).spawn(move || {
            std::thread::sleep(time);
            token.cancel();
        });
}

/// Longest result, as JSON, that the error of a run whose history was not written shows.
const SHOWN_RESULT: usize = 500;

/// How a flow ends whose history could not be written.
fn unwritten(error: &sandmill_store::StoreError, outcome: &Outcome) -> Outcome {
    let result = match outcome {
        Outcome::Value(value) => {
            let json = value.to_json_string();
            if json.len() <= SHOWN_RESULT {
                format!("its result was {json}")
            } else {
                String::from("it had completed, with a long result")
            }
        }
        Outcome::Failure(failure) => format!("it had failed: {failure}"),
        Outcome::Ended(end) => format!("it had ended: {end}"),
    };
    let what = format!("the history of the flow could not be written: {error}; {result}");
    End::new(EndKind::HostError, what).into()
}
