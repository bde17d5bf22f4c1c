//! A plan: a flow that was checked, with everything in it that does not depend on results. It
//! never changes; where its run stands is in `schedule`.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{CallOptions, Component, Grants, Limits};
use sandmill_wire::Value;

use crate::argument::Zip;
use crate::policy::{ErrorsMode, Hook, MapPolicy, Trigger};
use crate::reference::Reference;

/// A task of a plan, by its position in it.
pub type NodeId = usize;

/// A flow that was checked, ready to run any number of times.
#[derive(Debug)]
pub struct Plan {
    pub(crate) name: Arc<str>,
    pub(crate) description: Option<String>,
    pub(crate) components: Vec<PlannedComponent>,
    pub(crate) parameters: Vec<(String, Value)>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) result: Results,
    /// How long a run of the flow may take, each time it is started or taken up again.
    pub(crate) timeout: Option<Duration>,
    /// The first task that fails stops the flow.
    pub(crate) fail_fast: bool,
    pub(crate) on_start: Option<Hook>,
    pub(crate) on_exit: Option<Hook>,
    /// What a flow's runs are labelled with, besides what a run itself is given.
    pub(crate) labels: Vec<String>,
}

/// A component of a plan.
#[derive(Debug, Clone)]
pub struct PlannedComponent {
    /// The flow's name for it.
    pub name: String,
    /// Its bytes.
    pub component: Component,
}

/// A task of a plan: one run, or one for each element of what it maps over.
#[derive(Debug)]
pub struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) component: Component,
    pub(crate) task: Arc<str>,
    /// Without a parent: the run of the flow sets it.
    pub(crate) options: CallOptions,
    pub(crate) inputs: Vec<(String, Input)>,
    pub(crate) zip: Zip,
    pub(crate) mapped: bool,
    pub(crate) trigger: Trigger,
    /// Whether it is skipped when something that it depends on was; else it runs, with nil in the
    /// place of the result (Prefect 0.x, `skip_on_upstream_skip`).
    pub(crate) skip_with_upstream: bool,
    pub(crate) map_policy: MapPolicy,
    /// What it waits for as a whole: it takes their results whole, or comes `after` them.
    pub(crate) gates: Vec<NodeId>,
    /// Mapped tasks that it maps over: each of its runs waits for one of theirs.
    pub(crate) pipes: Vec<NodeId>,
    /// What waits for it.
    pub(crate) dependants: Vec<NodeId>,
    pub(crate) depth: u32,
}

/// Where the value of an argument comes from.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// It is known.
    Known(Value),
    /// A task's result, or the list of a mapped task's.
    Whole(Target),
    /// One run for each element.
    Each(List),
    /// One run for each element of each element.
    EachOfEach(List),
}

/// What is mapped over.
#[derive(Debug, Clone)]
pub(crate) enum List {
    /// A known array.
    Known(Value),
    /// A task's result, or what is in the results of a mapped task.
    Of(Target),
}

impl Input {
    /// The task whose result it takes.
    pub(crate) const fn target(&self) -> Option<&Target> {
        match self {
            Self::Known(_) | Self::Each(List::Known(_)) | Self::EachOfEach(List::Known(_)) => None,
            Self::Whole(target)
            | Self::Each(List::Of(target))
            | Self::EachOfEach(List::Of(target)) => Some(target),
        }
    }
}

/// A task's result, or what is at some path in it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) node: NodeId,
    /// Fields and indices, with dots between them; empty for the result itself.
    pub(crate) path: String,
    /// The reference as the file writes it.
    pub(crate) text: Arc<str>,
    /// What is made of results that are not there.
    pub(crate) errors: ErrorsMode,
}

impl Target {
    /// What a reference to a task's result stands for.
    pub(crate) fn new(node: NodeId, reference: &Reference, errors: ErrorsMode) -> Self {
        let (path, text) = (reference.path.join("."), reference.to_string().into());
        Self { node, path, text, errors }
    }
}

/// What a flow comes to (the reference tasks of Prefect 0.x).
#[derive(Debug)]
pub(crate) enum Results {
    /// Nothing; its state follows the tasks that no other depends on.
    Last,
    /// This.
    One(Target),
    /// The list of these.
    List(Vec<Target>),
}

impl Results {
    pub(crate) fn targets(&self) -> &[Target] {
        match self {
            Self::Last => &[],
            Self::One(target) => std::slice::from_ref(target),
            Self::List(targets) => targets,
        }
    }
}

impl Plan {
    /// The flow's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the flow does.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Its components.
    #[must_use]
    pub fn components(&self) -> &[PlannedComponent] {
        &self.components
    }

    /// The values of its parameters, given and by default, in the order of the file.
    #[must_use]
    pub fn parameters(&self) -> &[(String, Value)] {
        &self.parameters
    }

    /// Its tasks, in the order of the file. Each is one stage of the flow's run.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The names of the tasks that `node` waits for, in the order of the file.
    pub fn depends_on(&self, node: &Node) -> impl Iterator<Item = &Arc<str>> {
        let mut all: Vec<NodeId> = node.gates.iter().chain(&node.pipes).copied().collect();
        all.sort_unstable();
        all.into_iter().map(|id| &self.nodes[id].name)
    }

    /// How long a run of the flow may take.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// What is called before the first task.
    #[must_use]
    pub const fn on_start(&self) -> Option<&Hook> {
        self.on_start.as_ref()
    }

    /// What is called after everything, however the flow ended.
    #[must_use]
    pub const fn on_exit(&self) -> Option<&Hook> {
        self.on_exit.as_ref()
    }

    /// Words by which the flow's runs can be found.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The task whose result is the flow's, where it is one task's.
    #[must_use]
    pub fn result(&self) -> Option<NodeId> {
        match &self.result {
            Results::One(target) => Some(target.node),
            Results::Last | Results::List(_) => None,
        }
    }

    /// Whether the first task that fails stops the flow.
    #[must_use]
    pub const fn is_fail_fast(&self) -> bool {
        self.fail_fast
    }
}

impl Node {
    /// Its name: the stage's name in events.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The component that holds its task.
    #[must_use]
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The task's name in the component.
    #[must_use]
    pub fn task(&self) -> &Arc<str> {
        &self.task
    }

    /// Whether it runs once for each element of something.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.mapped
    }

    /// The length of the longest path that leads to it.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// What each of its runs may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// What each of its runs may reach: the flow's grants and its own.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.options.grants
    }

    /// By how the tasks before it ended, whether it runs.
    #[must_use]
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Whether it is skipped when something that it depends on was.
    #[must_use]
    pub const fn is_skipped_with_upstream(&self) -> bool {
        self.skip_with_upstream
    }

    /// When the failures of a map end it.
    #[must_use]
    pub const fn map_policy(&self) -> MapPolicy {
        self.map_policy
    }

    /// Everything its calls have in common.
    #[must_use]
    pub fn options(&self) -> &CallOptions {
        &self.options
    }

    /// Whether nothing waits for it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.dependants.is_empty()
    }
}
