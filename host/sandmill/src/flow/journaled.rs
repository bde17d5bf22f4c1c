//! Flows that are written down: started, taken up again, and repeated.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandmill_flow::{FlowRunFuture, Rerun, Reuse, StartOptions};
use sandmill_store::{Created, Journal, NewFlow, Reader, Store};
use sandmill_wire::RunId;

use super::error::FlowError;
use super::source::Recipe;
use super::start::{CodedFlow, FlowStart, PlannedFlow, RerunOptions, ResumeOptions, StartedFlow};
use crate::Host;

impl Host {
    /// Starts a flow and writes it down, so that it can be taken up again after whatever ends it.
    /// Its components and its text go to the store first, and the run is there for good when this
    /// returns. When the last handle on the future goes, the flow is cancelled, unless it is
    /// detached; when the host goes, it is interrupted.
    ///
    /// # Errors
    /// When the host has no store, or the store cannot be written.
    pub fn start_flow(
        &self,
        flow: &PlannedFlow,
        start: FlowStart,
    ) -> Result<StartedFlow, FlowError> {
        self.create(Recipe::File(flow.clone()), start, None)
    }

    /// The same for a flow that is code in a component.
    ///
    /// # Errors
    /// As for [`Host::start_flow`], and when the component has no such flow.
    pub fn start_coded_flow(
        &self,
        flow: &CodedFlow,
        start: FlowStart,
    ) -> Result<StartedFlow, FlowError> {
        self.create(Recipe::Code(flow.clone()), start, None)
    }

    /// Takes up a flow run that was interrupted, in whatever way: by a signal, by a crash of its
    /// process, by a host that was closed. It is made again of what the store has of it; runs that
    /// have ended are not run again, and those that were under way go on with the attempts that
    /// they have left.
    ///
    /// # Errors
    /// When the host has no store, there is no such flow run or it has ended, or it cannot be made
    /// again.
    pub fn resume(&self, run: RunId, options: ResumeOptions) -> Result<FlowRunFuture, FlowError> {
        let store = self.history()?;
        let reader = Reader::open(store.dir())?;
        // First, so that nobody else takes it up meanwhile, and what has ended says so.
        let journal = store.take_up(run, self.events().clock().now())?;
        let source = reader.source(run)?;
        let limits = options.limits.clone().unwrap_or_else(|| self.options().limits.clone());
        let flow =
            Recipe::of_source(run, &source, &reader, self.sandbox(), BTreeMap::new(), limits)?;
        let based_on = reader.flow(run)?.and_then(|flow| flow.based_on);
        let rerun = based_on.map(|of| Rerun { of, reuse: reuse(source.reuse_completed) });
        Ok(self.run_journaled(store, &flow, journal, &options, rerun))
    }

    /// Runs a flow again, as a run of its own, of what the store has of it or, where that is asked
    /// for, of what is at its path now: with the same parameters but for those that are given.
    /// Results that still apply are used again (see [`RerunOptions`]).
    ///
    /// # Errors
    /// When the host has no store, there is no such flow run, it cannot be made again, or the store
    /// cannot be written.
    pub fn rerun(&self, run: RunId, options: RerunOptions) -> Result<StartedFlow, FlowError> {
        let RerunOptions { only_failed, fresh, updated, parameters, mut start } = options;
        let store = self.history()?;
        let reader = Reader::open(store.dir())?;
        let source = reader.source(run)?;
        let limits = start.resume.limits.clone().unwrap_or_else(|| self.options().limits.clone());
        let flow = if updated {
            Recipe::as_it_is(run, &source, self, parameters, limits)?
        } else {
            Recipe::of_source(run, &source, &reader, self.sandbox(), parameters, limits)?
        };
        if start.overrides.is_empty() {
            start.overrides = source.overrides;
        }
        let labels = reader.flow(run)?.map(|flow| flow.labels).unwrap_or_default();
        start.labels.extend(labels);
        let rerun = (!fresh).then_some(Rerun { of: run, reuse: reuse(only_failed || updated) });
        self.create(flow, start, rerun)
    }

    fn create(
        &self,
        flow: Recipe,
        start: FlowStart,
        rerun: Option<Rerun>,
    ) -> Result<StartedFlow, FlowError> {
        let FlowStart { run, idempotency_key, mut labels, overrides, resume } = start;
        let store = self.history()?;
        if let Recipe::Code(code) = &flow {
            // Before there is a run of it: what cannot be called leaves no trace.
            self.check_code(code, &resume)?;
        }
        let run = run.unwrap_or_default();
        let completed = rerun.is_some_and(|rerun| rerun.reuse == Reuse::Completed);
        let source = flow.source(run, store, overrides, completed)?;
        labels.extend(flow.labels().iter().cloned());
        labels.sort_unstable();
        labels.dedup();
        let new = NewFlow {
            run,
            name: Arc::clone(flow.name()),
            source,
            parent: None,
            based_on: rerun.map(|rerun| rerun.of),
            idempotency_key,
            labels,
        };
        Ok(match store.create_flow(new, self.events().clock().now())? {
            Created::Exists(run) => StartedFlow::Exists(run),
            Created::New(journal) => {
                StartedFlow::New(self.run_journaled(store, &flow, journal, &resume, rerun))
            }
        })
    }

    fn run_journaled(
        &self,
        store: &Store,
        flow: &Recipe,
        journal: Journal,
        options: &ResumeOptions,
        rerun: Option<Rerun>,
    ) -> FlowRunFuture {
        let start = StartOptions {
            journal: Some(journal),
            rerun,
            timeout: options.timeout,
            deadline: options.deadline,
            granted: options.granted,
            ..StartOptions::default()
        };
        let future = match flow {
            Recipe::File(file) => {
                let runner = self.runner_on(options.executor.as_ref());
                runner.start_with(Arc::clone(&file.plan), start)
            }
            Recipe::Code(code) => self.start_code(code, options, start),
        };
        self.flows().add(store, &future, &self.canceller());
        future
    }
}

/// Which results are used again.
const fn reuse(all_completed: bool) -> Reuse {
    if all_completed { Reuse::Completed } else { Reuse::Pure }
}
