//! Runs flows on an executor: what an embedder holds. A run itself is in `drive`.

use std::collections::HashMap;
use std::sync::{Arc, Once};
use std::time::Instant;

use parking_lot::Mutex;
use sandmill_core::future::{Promise, as_completed};
use sandmill_core::{Events, Executor};
use sandmill_store::Journal;
use sandmill_wire::RunId;

use super::drive::{Drive, Haste};
use super::history::History;
use super::paces::Paces;
use super::recorder::Recorder;
use super::stages::Stages;
use super::start::{FlowProgram, StartOptions, SubFlows};
use crate::flow_future::FlowRunFuture;
use crate::plan::Plan;
use crate::signals::Signals;
use crate::summary::FlowReport;

/// Calls that a flow has submitted beyond the executor's slots, for each slot: enough that no slot
/// waits for the runner, and few, because a call that waits in the executor's queue is not
/// overtaken by one of a deeper task. More where the executor wants more
/// ([`Executor::wanted`]), of tasks that take [moments](super::MOMENT).
pub const QUEUED_PER_SLOT: usize = 1;
/// The same, for the executor as a whole.
pub const QUEUED_AT_LEAST: usize = 4;

/// Runs flows on an executor. Cheap to clone; for one executor's events there should be one, and
/// clones of it.
#[derive(Clone)]
pub struct FlowRunner {
    executor: Arc<dyn Executor>,
    events: Events,
    sub_flows: Option<Arc<dyn SubFlows>>,
    /// Writes down what happens to runs of flows with journals.
    recorder: Arc<Recorder>,
    /// Whether the recorder listens yet: without journals there is nothing for it to hear.
    listening: Arc<Once>,
}

impl FlowRunner {
    /// A runner on an executor that is started; `events` should be those that it was started with.
    #[must_use]
    pub fn new(executor: Arc<dyn Executor>, events: Events) -> Self {
        let (recorder, listening) = (Arc::default(), Arc::new(Once::new()));
        Self { executor, events, sub_flows: None, recorder, listening }
    }

    /// The same on another executor, which has to tell of its runs to the same events: one that
    /// wraps the first, say.
    #[must_use]
    pub fn on(&self, executor: Arc<dyn Executor>) -> Self {
        Self { executor, ..self.clone() }
    }

    /// The same with something that runs the flows of components. Without it, a run of one ends as
    /// `refused`.
    #[must_use]
    pub fn with_sub_flows(&self, sub_flows: Arc<dyn SubFlows>) -> Self {
        Self { sub_flows: Some(sub_flows), ..self.clone() }
    }

    /// Where the events of its runs go.
    #[must_use]
    pub const fn events(&self) -> &Events {
        &self.events
    }

    /// The executor.
    #[must_use]
    pub const fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// Starts a run of the plan, on a thread of its own, without a journal.
    #[must_use]
    pub fn start(&self, plan: Arc<Plan>) -> FlowRunFuture {
        self.start_with(plan, StartOptions::default())
    }

    /// As [`FlowRunner::start`], for a run that has its id already.
    #[must_use]
    pub fn start_as(&self, id: RunId, plan: Arc<Plan>) -> FlowRunFuture {
        self.start_with(plan, StartOptions { id: Some(id), ..StartOptions::default() })
    }

    /// Starts a run of the plan, on a thread of its own.
    #[must_use]
    pub fn start_with(&self, plan: Arc<Plan>, options: StartOptions) -> FlowRunFuture {
        self.start_program(FlowProgram::of_plan(plan), options)
    }

    /// Starts a run of a flow, on a thread of its own.
    #[must_use]
    pub fn start_program(&self, program: FlowProgram, options: StartOptions) -> FlowRunFuture {
        let StartOptions { id, journal, rerun, timeout, deadline, granted, part, cancelled } =
            options;
        let timeout = timeout.or(program.timeout);
        let id = journal.as_ref().map(Journal::flow).or(id).unwrap_or_default();
        if journal.is_some() {
            let recorder = Arc::clone(&self.recorder);
            self.listening.call_once(|| self.events.observe(recorder));
        }
        let is_part = part.is_some();
        let (promise, future) = match part {
            None => Promise::of_flow(id, &program.name, &self.events),
            Some(part) => Promise::of_part(id, part.submitted, part.cancel.child(), &self.events),
        };
        let signals = Signals::new(promise.cancel_token().clone());
        let report = Arc::new(Mutex::new(FlowReport::new(Arc::clone(&program.name), id)));
        let now = Instant::now();
        let own = timeout.and_then(|timeout| now.checked_add(timeout));
        let clock = self.events.clock().clone();
        let mut drive = Drive {
            name: program.name,
            script: program.script,
            on_start: program.on_start,
            on_exit: program.on_exit,
            window: self
                .executor
                .slots()
                .saturating_mul(1 + QUEUED_PER_SLOT)
                .saturating_add(QUEUED_AT_LEAST),
            executor: Arc::clone(&self.executor),
            sub_flows: self.sub_flows.clone(),
            history: History::new(journal, Arc::clone(&self.recorder), clock, rerun, granted),
            events: self.events.clone(),
            signals: Arc::clone(&signals),
            stages: Stages::new(Arc::clone(&report)),
            report: Arc::clone(&report),
            brake: Arc::default(),
            group: as_completed([], None),
            flying: HashMap::new(),
            flying_bytes: 0,
            flying_flows: 0,
            paces: Paces::default(),
            is_part,
            timer: None,
            timeout: timeout.filter(|_| own <= own.into_iter().chain(deadline).min()),
            deadline: own.into_iter().chain(deadline).min(),
            stop: None,
            cancelled,
            cut: false,
            haste: Haste::default(),
            exhausted: false,
            promise,
        };
        drive.begin();
        // When no thread can be had, the promise goes with the closure, and the run ends with it.
        let name = "sandmill-flow".to_owned();
        let _unjoined = std::thread::Builder::new().name(name).spawn(move || drive.run());
        FlowRunFuture { future, report, signals }
    }
}
