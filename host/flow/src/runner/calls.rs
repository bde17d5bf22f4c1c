//! What a script's acts become: calls, the ends of runs that are never called, and the ends of
//! those that were.

use std::sync::Arc;

use sandmill_core::future::Promise;
use sandmill_core::{
    Call, CallOptions, CancelToken, EventKind, Mapped, Past, Report, State, Submitted, TaskFuture,
};
use sandmill_store::{Recorded, RunKey};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use super::drive::{Drive, Flight};
use super::history::{Before, JOURNAL_MISMATCH, options_for};
use super::stages::Open;
use super::start::{Rerun, SubFlowCall};
use super::stop::Stop;
use crate::flow_future::FlowRunFuture;
use crate::schedule::Cause;
use crate::script::{Act, Done, StageId, StageSpec, StageTarget};

/// A run that is due.
struct Due {
    stage: StageId,
    index: Option<u64>,
    open: Open,
    run: RunId,
    /// What it has behind it, where it was under way before.
    again: Option<Past>,
    name: Arc<str>,
}

impl Drive {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Sized { stage, total } => self.size(stage, total),
            Act::Run { stage, index, arguments } => self.call(stage, index, arguments),
            Act::End { stage, index, cause } => self.end_uncalled(stage, index, cause),
            Act::Cancel { stage, index } => self.cancel_some(stage, index),
        }
    }

    /// A stage's name, target and options; asks the script for them the first time.
    pub(super) fn enter(&mut self, stage: StageId) -> Option<Open> {
        if !self.stages.has(stage) {
            let StageSpec { name, target, options, mapped } = self.script.stage(stage);
            // When the flow is interrupted a sub-flow is too, rather than being cancelled.
            let cancel = match &target {
                StageTarget::Task { .. } => &self.signals.calls,
                StageTarget::Flow { .. } => &self.signals.flow,
            };
            let run = self.promise.run();
            let options = Arc::new(options_for(&options, &name, run, self.deadline, cancel));
            self.stages.add(stage, StageSpec { name, target, options, mapped });
        }
        self.stages.get(stage).cloned()
    }

    /// The same for an act on it: the first one makes it known to the journal.
    fn enter_for(&mut self, stage: StageId, total: Option<u64>) -> Option<Open> {
        let open = self.enter(stage)?;
        if self.stages.is_first(stage) || total.is_some() {
            self.history.stage(stage, &open, total.or((!open.mapped).then_some(1)));
        }
        Some(open)
    }

    fn size(&mut self, stage: StageId, total: u64) {
        let Some(open) = self.enter_for(stage, Some(total)) else { return };
        self.stages.sized(stage, total);
        let name = open.name;
        self.events.emit(self.promise.run(), || EventKind::Mapped(Mapped { stage: name, total }));
    }

    fn call(&mut self, stage: StageId, index: Option<u64>, arguments: Value) {
        let Some(open) = self.enter_for(stage, None) else { return };
        let digest = self.history.digest(&arguments);
        let key = RunKey { stage, index };
        let before = self.history.before(key, &open, &digest, &arguments);
        let name = run_name(&open.name, index);
        let now = self.events.clock().now();
        let run = self.script.run_id(stage, index).unwrap_or_default();
        let mut due = Due { stage, index, open, run, again: None, name };
        let mut rerun = None;
        match before {
            Before::New => {}
            Before::UnderWay { run, past, of } => {
                (due.run, due.again, rerun) = (run, Some(past), of);
            }
            Before::Based { of } => rerun = Some(of),
            Before::Ended { run, outcome } => {
                due.run = run;
                return self.had(&due, &outcome, &State::from_outcome(&outcome, now), true);
            }
            Before::Reused { of, outcome } => {
                let state = State::cached(now, of);
                self.history.had(key, due.run, &due.name, digest, &state, &outcome, Some(of));
                return self.had(&due, &outcome, &state, true);
            }
            Before::Damaged { what } => {
                let what = format!("it has ended before, and how is not known: {what}");
                let outcome = Outcome::Ended(End::new(EndKind::HostError, what));
                let state = State::from_outcome(&outcome, now);
                self.history.had(key, due.run, &due.name, digest, &state, &outcome, None);
                return self.had(&due, &outcome, &state, false);
            }
            Before::Mismatch { what } => {
                return self.stop_with(Stop::failed(JOURNAL_MISMATCH, what));
            }
            Before::Unreadable(error) => {
                return self.stop_with(Stop::unreadable(&error));
            }
        }
        self.history.begins(key, due.run, &due.name, digest, due.again);
        self.submit(due, arguments, rerun);
    }

    fn submit(&mut self, due: Due, arguments: Value, rerun: Option<Rerun>) {
        let Due { stage, index, open, run, again, .. } = due;
        self.report.lock().stages[open.listed].running += 1;
        let bytes = arguments.len_bytes();
        let mut of_task = None;
        let (future, sub_flow) = match open.target {
            StageTarget::Task { component, task } => {
                let key = (component.digest(), Arc::clone(&task));
                self.paces.begins(&key);
                of_task = Some(key);
                let mut call = Call::new(&component, task, arguments)
                    .with_options(self.options_of(stage, index, open.options))
                    .taken_up(run, again.unwrap_or_default());
                call.map_index = index;
                (self.submit_within_limit(stage, call), None)
            }
            StageTarget::Flow { component, flow } => {
                let sub_flow = self.start_sub_flow(SubFlowCall {
                    component,
                    flow,
                    arguments,
                    options: open.options,
                    index,
                    run,
                    journaled: self.history.journal().is_some(),
                    taken_up: again.is_some(),
                    rerun,
                    granted: self.history.is_granted(),
                });
                (sub_flow.as_task().clone(), Some(sub_flow))
            }
        };
        self.flying_bytes += bytes;
        self.flying_flows += usize::from(sub_flow.is_some());
        let future_of_it = future.clone();
        let flight = Flight {
            stage,
            index,
            future: future_of_it,
            bytes,
            task: of_task,
            sub_flow,
            given_up: false,
        };
        self.flying.insert(future.id(), flight);
        self.script.on_submitted(stage, index, &future);
        self.group.add_new(future);
    }

    /// Submits a call; not to be started, where too many others have failed.
    fn submit_within_limit(&self, stage: StageId, call: Call) -> TaskFuture {
        let Some(limit) = self.script.failure_limit(stage) else {
            return self.executor.submit(call);
        };
        self.brake.submit(stage, limit, |stopped| {
            if !stopped {
                return self.executor.submit(call);
            }
            let cancel = CancelToken::new();
            cancel.cancel();
            let options = CallOptions { cancel: Some(cancel), ..CallOptions::clone(&call.options) };
            self.executor.submit(call.with_options(options))
        })
    }

    /// What one call is made with.
    fn options_of(
        &mut self,
        stage: StageId,
        index: Option<u64>,
        options: Arc<CallOptions>,
    ) -> Arc<CallOptions> {
        match self.script.cancel_token(stage, index, &self.signals.calls) {
            None => options,
            cancel => Arc::new(CallOptions { cancel, ..CallOptions::clone(&options) }),
        }
    }

    fn start_sub_flow(&self, call: SubFlowCall) -> FlowRunFuture {
        if let Some(sub_flows) = &self.sub_flows {
            return sub_flows.start(call);
        }
        let cancel = call.options.cancel.clone().unwrap_or_default();
        let (promise, future) = Promise::of_part(call.run, call.submitted(), cancel, &self.events);
        let what = format!("nothing here runs the flow `{}` of a component", call.flow);
        let refused = FlowRunFuture::of_refused(future, &call.flow, promise.cancel_token());
        promise.finish(Report::unstarted(End::new(EndKind::Refused, what)));
        refused
    }

    /// Takes in a run that was not called for its end: it is told of as if it had just happened.
    fn had(&mut self, due: &Due, outcome: &Outcome, state: &State, reused: bool) {
        self.tell(due, state);
        self.count(due, state, reused);
        if let Some(limit) = self.script.failure_limit(due.stage) {
            self.brake.count(due.stage, limit, outcome);
        }
        self.done(due, state, outcome);
    }

    /// Tells the script of an end.
    fn done(&mut self, due: &Due, state: &State, outcome: &Outcome) {
        let done = Done { run: due.run, name: &due.name, state, outcome };
        self.script.on_outcome(due.stage, due.index, &done);
    }

    fn tell(&self, due: &Due, state: &State) {
        let run = due.run;
        self.events.emit(run, || EventKind::Submitted(self.submitted(due)));
        self.events.emit(run, || EventKind::State(state.clone()));
    }

    fn submitted(&self, due: &Due) -> Submitted {
        let (StageTarget::Task { component, .. } | StageTarget::Flow { component, .. }) =
            &due.open.target;
        Submitted {
            name: Arc::clone(&due.name),
            stage: Arc::clone(&due.open.name),
            map_index: due.index,
            parent: Some(self.promise.run()),
            component: Some(component.digest()),
        }
    }

    fn count(&mut self, due: &Due, state: &State, reused: bool) {
        let mut report = self.report.lock();
        report.stages[due.open.listed].reused += u64::from(reused);
        report.ended(due.open.listed, due.run, &due.name, state.clone());
        drop(report);
        self.stages.ended(due.stage);
    }

    /// Makes a run that never starts visible: it is submitted and has ended.
    fn end_uncalled(&mut self, stage: StageId, index: Option<u64>, cause: Cause) {
        let Some(open) = self.enter_for(stage, None) else { return };
        let key = RunKey { stage, index };
        let whole = open.mapped && index.is_none();
        let name = run_name(&open.name, index);
        let run = self.script.run_id(stage, index).unwrap_or_default();
        let mut due = Due { stage, index, open, run, again: None, name };
        let own = matches!(cause, Cause::Inputs(_));
        let mut outcome = cause.outcome();
        if let Some(limit) = self.script.failure_limit(stage).filter(|_| own) {
            self.brake.count(stage, limit, &outcome);
        }
        let mut reused = false;
        let written = self.script.wrote_end(stage, index);
        let recorded = if written { Ok(None) } else { self.history.recorded(key) };
        match recorded {
            Ok(None | Some(Recorded::Corrupt { .. })) => {}
            Ok(Some(Recorded::Unfinished { run, attempts })) => {
                (due.run, due.again) = (run, Some(Past { attempts, ..Past::default() }));
            }
            Ok(Some(Recorded::Ended { run, outcome: recorded, .. })) => {
                (due.run, outcome, reused) = (run, recorded, true);
            }
            Err(error) => return self.stop_with(Stop::unreadable(&error)),
        }
        let state = State::from_outcome(&outcome, self.events.clock().now());
        if !reused && !written {
            let begun = due.again.is_some();
            self.history.never_called(key, due.run, &due.name, begun, &state, &outcome);
        }
        self.tell(&due, &state);
        if whole {
            self.stages.stands_for_all(stage);
        }
        self.count(&due, &state, reused);
    }

    fn cancel_some(&mut self, stage: StageId, index: Option<u64>) {
        let of_it = |flight: &&mut Flight| {
            flight.stage == stage && (index.is_none() || flight.index == index)
        };
        for flight in self.flying.values_mut().filter(of_it) {
            flight.given_up = true;
            flight.future.cancel();
        }
    }

    /// Takes notice that a call has ended.
    pub(super) fn settle(&mut self, future: &TaskFuture) {
        let (Some(flight), Some(outcome)) = (self.flying.remove(&future.id()), future.outcome())
        else {
            return;
        };
        let Flight { stage, index, given_up, bytes, task, sub_flow, .. } = flight;
        if let Some(task) = &task {
            self.paces.ends(task, future.usage().map(|usage| usage.wall_micros));
        }
        self.flying_bytes -= bytes;
        self.flying_flows -= usize::from(sub_flow.is_some());
        let Some(open) = self.stages.get(stage).cloned() else { return };
        // Before anything else: whether it ended because the flow stops.
        self.notice();
        let key = RunKey { stage, index };
        let state = future.state();
        self.report.lock().stages[open.listed].running -= 1;
        let name: Arc<str> = future.name().into();
        let due = Due { stage, index, open, run: future.id(), again: None, name };
        if let Some(stop) = &self.stop
            && was_cut(&outcome)
        {
            // Before the end of the first run that is cut off: whoever takes the flow up after a kill
            // finds runs that are cancelled for good, and the flow is to be with them.
            if !std::mem::replace(&mut self.cut, true) && !stop.is_interruption() {
                self.history.decide(stop.outcome());
            }
            if stop.is_interruption() && !given_up {
                self.history.interrupted(key, due.run, &stop.message());
                return self.count(&due, &state, false);
            }
        }
        self.history.ended(key, future, &outcome);
        self.count(&due, &state, false);
        self.done(&due, &state, &outcome);
    }
}

/// Whether a run of a flow that stops ended before it was done, by its flow's word. An executor that
/// is closed with the flow's host refuses what comes too late; whatever else is refused had not
/// started either, so nothing is lost.
fn was_cut(outcome: &Outcome) -> bool {
    let kinds = [EndKind::Cancelled, EndKind::TimedOut, EndKind::Refused];
    matches!(outcome, Outcome::Ended(end) if kinds.contains(&end.kind))
}

/// The name of a run for people: `count`, or `count[17]` in a map.
fn run_name(stage: &Arc<str>, index: Option<u64>) -> Arc<str> {
    match index {
        Some(index) => format!("{stage}[{index}]").into(),
        None => Arc::clone(stage),
    }
}
