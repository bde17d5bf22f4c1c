//! Flows of components that other flows call: each is a flow run of its own, with a journal of its
//! own where the outer one has one, and is taken up with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandmill_core::future::Promise;
use sandmill_core::{Component, FlowInvoker, Report, Timestamp};
use sandmill_store::{
    Created, FlowSource, Journal, NewFlow, Reader, SourceComponent, Store, StoreError,
};
use sandmill_wire::{End, EndKind, Outcome};

use super::program::ComponentFlow;
use crate::flow_future::FlowRunFuture;
use crate::runner::{FlowRunner, Part, Reuse, StartOptions, SubFlowCall, SubFlows};

/// How deep flows may be inside one another: the outermost has depth 0.
pub const MAX_FLOW_DEPTH: u32 = 16;

/// The name of the component that holds a flow, among the components of its source in a store: no
/// other can have it.
pub const OWN_COMPONENT: &str = ".";

/// What the journal of a sub-flow says.
pub enum SubFlowJournal {
    /// It goes on with this.
    Open(Journal),
    /// It has ended: its outer flow did not come to write that down.
    Ended(Outcome),
}

/// Keeps the journals of sub-flows.
pub trait SubFlowJournals: Send + Sync {
    /// The journal of a sub-flow's run, made or taken up.
    ///
    /// # Errors
    /// It can be neither; in words.
    fn open(
        &self,
        call: &SubFlowCall,
        components: &BTreeMap<String, Component>,
        at: Timestamp,
    ) -> Result<SubFlowJournal, String>;
}

/// Runs flows of components as parts of other flows, on a runner.
#[derive(Clone)]
pub struct ComponentSubFlows {
    runner: FlowRunner,
    invoker: Arc<dyn FlowInvoker>,
    components: BTreeMap<String, Component>,
    journals: Option<Arc<dyn SubFlowJournals>>,
    depth: u32,
}

impl ComponentSubFlows {
    /// For the sub-flows of outermost flows. `components` are what they may call by name, besides
    /// what is their own; without `journals` those of outer flows with a journal are refused.
    #[must_use]
    pub fn new(
        runner: FlowRunner,
        invoker: Arc<dyn FlowInvoker>,
        components: BTreeMap<String, Component>,
        journals: Option<Arc<dyn SubFlowJournals>>,
    ) -> Self {
        Self { runner, invoker, components, journals, depth: 1 }
    }

    /// The runner for the outermost flows.
    #[must_use]
    pub fn runner(&self) -> FlowRunner {
        self.runner.with_sub_flows(Arc::new(self.clone()))
    }

    fn begin(&self, call: &SubFlowCall) -> Result<Option<SubFlowJournal>, End> {
        if self.depth >= MAX_FLOW_DEPTH {
            let what = format!("flows are {MAX_FLOW_DEPTH} deep inside one another");
            return Err(End::new(EndKind::Refused, what));
        }
        if !call.journaled {
            return Ok(None);
        }
        let refused = |what: String| End::new(EndKind::HostError, what);
        let Some(journals) = &self.journals else {
            return Err(refused("there is nothing to write the flow down in".to_owned()));
        };
        let now = self.runner.events().clock().now();
        let journal = journals.open(call, &self.components, now);
        journal.map(Some).map_err(|error| refused(format!("its history cannot be opened: {error}")))
    }

    /// A run that has ended already.
    fn over(&self, call: &SubFlowCall, outcome: Outcome) -> FlowRunFuture {
        let cancel = call.options.cancel.clone().unwrap_or_default();
        let events = self.runner.events();
        let (promise, future) = Promise::of_part(call.run, call.submitted(), cancel, events);
        let over = FlowRunFuture::of_refused(future, &call.flow, promise.cancel_token());
        promise.finish(Report::new(outcome, sandmill_core::Usage::default()));
        over
    }
}

impl SubFlows for ComponentSubFlows {
    fn start(&self, call: SubFlowCall) -> FlowRunFuture {
        let journal = match self.begin(&call) {
            Ok(Some(SubFlowJournal::Ended(outcome))) => return self.over(&call, outcome),
            Ok(Some(SubFlowJournal::Open(journal))) => Some(journal),
            Ok(None) => None,
            Err(end) => return self.over(&call, end.into()),
        };
        let inner = Arc::new(Self { depth: self.depth + 1, ..self.clone() });
        let runner = self.runner.with_sub_flows(inner);
        let flow = ComponentFlow {
            component: call.component.clone(),
            flow: Arc::clone(&call.flow),
            arguments: call.arguments.clone(),
            components: self.components.clone(),
            options: Arc::new(sandmill_core::CallOptions {
                // The outer flow's word for this run is not that for its own calls.
                name: None,
                parent: None,
                cancel: None,
                cache: None,
                ..sandmill_core::CallOptions::clone(&call.options)
            }),
            invoker: Arc::clone(&self.invoker),
            timeout: None,
        };
        let program = flow.program(call.run, journal.as_ref(), runner.events());
        let part = Part {
            submitted: call.submitted(),
            cancel: call.options.cancel.clone().unwrap_or_default(),
        };
        let options = StartOptions {
            id: Some(call.run),
            journal,
            rerun: call.rerun,
            deadline: call.options.deadline,
            granted: call.granted,
            part: Some(part),
            ..StartOptions::default()
        };
        runner.start_program(program, options)
    }
}

impl SubFlowJournals for Store {
    fn open(
        &self,
        call: &SubFlowCall,
        components: &BTreeMap<String, Component>,
        at: Timestamp,
    ) -> Result<SubFlowJournal, String> {
        if call.taken_up {
            match self.take_up(call.run, at) {
                Ok(journal) => return Ok(SubFlowJournal::Open(journal)),
                Err(StoreError::NoSuchFlow { .. }) => {}
                Err(StoreError::Ended { .. }) => {
                    let outcome = recorded_outcome(self.dir(), call);
                    return outcome.map(SubFlowJournal::Ended);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let words = |error: StoreError| error.to_string();
        let own = std::iter::once((OWN_COMPONENT, &call.component));
        let others = components.iter().map(|(name, component)| (name.as_str(), component));
        let all = own.chain(others).map(|(name, component)| {
            let digest = self.put_blob(component.bytes()).map_err(words)?;
            let origin = component.origin().to_owned();
            Ok(SourceComponent { name: name.to_owned(), digest, origin })
        });
        let new = NewFlow {
            run: call.run,
            name: Arc::clone(&call.flow),
            source: FlowSource {
                text: None,
                path: call.component.origin().to_owned(),
                flow: Some(call.flow.to_string()),
                parameters: call.arguments.clone(),
                components: all.collect::<Result<_, String>>()?,
                overrides: String::new(),
                reuse_completed: call.rerun.is_some_and(|rerun| rerun.reuse == Reuse::Completed),
            },
            parent: call.options.parent,
            based_on: call.rerun.map(|rerun| rerun.of),
            idempotency_key: None,
            labels: Vec::new(),
        };
        match self.create_flow(new, at).map_err(words)? {
            Created::New(journal) => Ok(SubFlowJournal::Open(journal)),
            Created::Exists(other) => Err(format!("there is a flow run {other} in its place")),
        }
    }
}

fn recorded_outcome(dir: &Path, call: &SubFlowCall) -> Result<Outcome, String> {
    let reader = Reader::open(dir).map_err(|error| error.to_string())?;
    let outcome = reader.flow_outcome(call.run).map_err(|error| error.to_string())?;
    outcome.ok_or_else(|| "it has ended, and how is not recorded".to_owned())
}
