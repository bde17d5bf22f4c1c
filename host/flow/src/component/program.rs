//! A flow of a component as something that the runner can run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{CallOptions, Component, ComponentInfo, Events, FlowInvoker, Grants};
use sandmill_store::Journal;
use sandmill_wire::{End, EndKind, RunId, Value};

use super::book::Book;
use super::calls::ComponentCalls;
use super::history::FlowHistory;
use super::resolve::Resolver;
use super::script::{ComponentScript, Instance};
use super::shared::Shared;
use crate::runner::FlowProgram;
use crate::script::Script;

/// A flow of a component, with everything that a run of it needs.
#[derive(Clone)]
pub struct ComponentFlow {
    /// The component that holds it.
    pub component: Component,
    /// Its name there.
    pub flow: Arc<str>,
    /// One MessagePack map by parameter name.
    pub arguments: Value,
    /// Other components whose tasks and flows it may call, by its names for them. Its own needs no
    /// name.
    pub components: BTreeMap<String, Component>,
    /// What each call of the flow may use and reach unless it says otherwise. The flow's own
    /// instance has the same limits, where `timeout` is how long it may compute; nothing is
    /// granted to it, because it has to do the same whenever it is taken up again.
    pub options: Arc<CallOptions>,
    /// Runs its instance.
    pub invoker: Arc<dyn FlowInvoker>,
    /// How long a run may take, each time that it is started or taken up again.
    pub timeout: Option<Duration>,
}

impl ComponentFlow {
    /// What is known of the component, which holds a flow of that name.
    ///
    /// # Errors
    /// An end of kind `refused` when the component cannot be run, or has no such flow.
    pub fn check(&self) -> Result<Arc<ComponentInfo>, End> {
        let info = self.invoker.prepare(&self.component)?;
        if info.is_flow(&self.flow) {
            return Ok(info);
        }
        let what =
            if info.task(&self.flow).is_some() { "is a task and no flow" } else { "is not there" };
        let known = match info.flows.is_empty() {
            true => "the component has no flows".to_owned(),
            false => format!("its flows are {}", info.flows.join(", ")),
        };
        let message = format!("`{}` {what} in {}: {known}", self.flow, self.component.origin());
        Err(End::new(EndKind::Refused, message))
    }

    /// The program of one run of it: `run` is the run's id (that of the journal, where there is
    /// one), `events` are the runner's. A journal that was taken up says what the flow was told
    /// before: it is told the same again.
    #[must_use]
    pub fn program(self, run: RunId, journal: Option<&Journal>, events: &Events) -> FlowProgram {
        let history = journal.map(|journal| Arc::new(journal.clone()) as Arc<dyn FlowHistory>);
        FlowProgram {
            name: Arc::clone(&self.flow),
            timeout: self.timeout,
            on_start: None,
            on_exit: None,
            script: self.script(run, history, events),
        }
    }

    /// What the flow does next, for a runner of one's own and a journal of one's own.
    #[must_use]
    pub fn script(
        self,
        run: RunId,
        history: Option<Arc<dyn FlowHistory>>,
        events: &Events,
    ) -> Box<dyn Script> {
        let Self { component, flow, arguments, components, options, invoker, timeout: _ } = self;
        let clock = events.clock().clone();
        let shared = Shared::new(Book::new(run, clock.clone(), history.clone()));
        let own = CallOptions {
            name: None,
            limits: options.limits.clone(),
            grants: Grants::default(),
            ..CallOptions::default()
        };
        let resolver = Resolver::new(component.clone(), components, Arc::clone(&invoker), options);
        let calls = ComponentCalls::new(Arc::clone(&shared), history, resolver, clock);
        let instance = Instance {
            run,
            component,
            flow,
            arguments,
            options: Arc::new(own),
            events: events.clone(),
            invoker,
            calls,
        };
        Box::new(ComponentScript::new(instance, shared))
    }
}
