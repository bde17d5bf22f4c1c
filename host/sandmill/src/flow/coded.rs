//! Flows that are code in components, on a host.

use std::sync::Arc;

use sandmill_core::{CallOptions, Executor, FlowInvoker};
use sandmill_flow::{
    ComponentFlow, ComponentSubFlows, FlowRunFuture, FlowRunner, StartOptions, SubFlowJournals,
    argument_faults,
};
use sandmill_store::Journal;

use super::error::FlowError;
use super::start::{CodedFlow, ResumeOptions};
use crate::Host;

impl Host {
    /// Runs a flow that is code in a component without writing it down, as [`Host::run_flow`] does
    /// with one of a file.
    ///
    /// # Errors
    /// When the component cannot be run, or has no such flow.
    pub fn run_coded_flow(
        &self,
        flow: &CodedFlow,
        options: &ResumeOptions,
    ) -> Result<FlowRunFuture, FlowError> {
        self.check_code(flow, options)?;
        let start = StartOptions {
            timeout: options.timeout,
            deadline: options.deadline,
            granted: options.granted,
            ..StartOptions::default()
        };
        Ok(self.start_code(flow, options, start))
    }

    /// Whether there is such a flow, and its parameters fit.
    pub(super) fn check_code(
        &self,
        flow: &CodedFlow,
        options: &ResumeOptions,
    ) -> Result<(), FlowError> {
        let info = self.program(flow, options).check().map_err(FlowError::Refused)?;
        let Some(task) = info.task(&flow.flow) else { return Ok(()) };
        let faults = argument_faults(&task.parameters, &flow.arguments);
        if faults.is_empty() {
            return Ok(());
        }
        Err(FlowError::Parameters { flow: flow.flow.to_string(), faults })
    }

    /// The flow with what every call of it may use and reach.
    pub(super) fn program(&self, flow: &CodedFlow, options: &ResumeOptions) -> ComponentFlow {
        let limits = options.limits.clone().unwrap_or_else(|| self.options().limits.clone());
        ComponentFlow {
            component: flow.component.clone(),
            flow: Arc::clone(&flow.flow),
            arguments: flow.arguments.clone(),
            components: flow.components.clone(),
            options: Arc::new(CallOptions { limits, ..CallOptions::clone(self.options()) }),
            invoker: self.flow_invoker(),
            timeout: options.timeout,
        }
    }

    /// Starts a run of it. Its sub-flows are written down where it is.
    pub(super) fn start_code(
        &self,
        flow: &CodedFlow,
        options: &ResumeOptions,
        start: StartOptions,
    ) -> FlowRunFuture {
        let runner = self.runner_on(options.executor.as_ref());
        let journals =
            self.store().map(|store| Arc::new(store.clone()) as Arc<dyn SubFlowJournals>);
        let (invoker, components) = (self.flow_invoker(), flow.components.clone());
        let runner = ComponentSubFlows::new(runner, invoker, components, journals).runner();
        let journal = start.journal.as_ref();
        let run = journal.map(Journal::flow).or(start.id).unwrap_or_default();
        let program = self.program(flow, options).program(run, journal, self.events());
        runner.start_program(program, StartOptions { id: Some(run), ..start })
    }

    fn flow_invoker(&self) -> Arc<dyn FlowInvoker> {
        Arc::new(self.sandbox().clone())
    }

    /// The host's runner, on another executor where there is one.
    pub(super) fn runner_on(&self, executor: Option<&Arc<dyn Executor>>) -> FlowRunner {
        match executor {
            Some(executor) => self.flow_runner().on(Arc::clone(executor)),
            None => self.flow_runner().clone(),
        }
    }
}
