//! The check of a whole flow file: everything that can be wrong with it is noted before it is
//! refused.

use std::sync::Arc;

use sandmill_core::{CachePolicy, CallOptions, Grants, LimitOverrides, Limits};

use super::edges::{self, Edges};
use super::given::{ComponentSource, Given};
use super::names::Names;
use super::{grants, hooks, results};
use crate::fault::Faults;
use crate::file::{FlowFile, TaskSpec};
use crate::graph::{self, Shape};
use crate::plan::{Node, Plan, PlannedComponent};
use crate::policy::MapPolicy;

impl FlowFile {
    /// Checks the file as a whole and makes a plan of it. Loads the components; runs no task.
    ///
    /// # Errors
    /// Everything that is wrong: with the file itself, with how its parts fit together, with its
    /// components, and with what it was given.
    pub fn check(
        &self,
        components: &dyn ComponentSource,
        given: &Given,
    ) -> Result<Arc<Plan>, Faults> {
        let mut names = Names::new(self, components, given);
        let flow_grants = grants::resolve(&mut names, &self.grants);
        let mut nodes = Vec::with_capacity(self.tasks.len());
        let mut upstream = Vec::with_capacity(self.tasks.len());
        for position in 0..self.tasks.len() {
            let edges = edges::check(&mut names, position);
            upstream.push(edges.upstream());
            nodes.push(node(&mut names, position, edges, &flow_grants, &given.limits));
        }
        let depths = depths(&mut names, &upstream);
        let result = results::check(&mut names);
        let header = &self.header;
        let on_start =
            hooks::check(&mut names, header.on_start.as_ref(), &flow_grants, &given.limits);
        let on_exit =
            hooks::check(&mut names, header.on_exit.as_ref(), &flow_grants, &given.limits);
        let faults = Faults::new(self.source.path(), names.faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        // Without faults every task could be made a node.
        let mut nodes: Vec<Node> = nodes.into_iter().flatten().collect();
        for (position, depth) in depths.into_iter().enumerate() {
            nodes[position].depth = depth;
            for above in &upstream[position] {
                nodes[*above].dependants.push(position);
            }
        }
        let planned = |(name, loaded): (&&str, &Option<super::names::Loaded>)| {
            let component = loaded.as_ref()?.component.clone();
            Some(PlannedComponent { name: (*name).to_owned(), component })
        };
        let parameters = self.parameters.iter().filter_map(|spec| {
            let value = names.parameters.get(spec.name.value.as_str())?.clone()?;
            Some((spec.name.value.clone(), value))
        });
        Ok(Arc::new(Plan {
            name: header.name.as_str().into(),
            description: header.description.clone(),
            components: names.components.iter().filter_map(planned).collect(),
            parameters: parameters.collect(),
            nodes,
            result,
            timeout: header.timeout,
            fail_fast: header.fail_fast,
            on_start,
            on_exit,
            labels: header.labels.clone(),
        }))
    }
}

/// One task as a node of the plan. None when it has no component; that was noted.
fn node(
    names: &mut Names<'_>,
    position: usize,
    edges: Edges,
    flow_grants: &Grants,
    limits: &Limits,
) -> Option<Node> {
    let spec = &names.file.tasks[position];
    let own = grants::resolve(names, &spec.grants);
    let over = |base: &Limits, more: &LimitOverrides| more.over(base);
    let component =
        names.components.get(spec.component.value.as_str())?.as_ref()?.component.clone();
    let name: Arc<str> = spec.name.value.as_str().into();
    let grants = flow_grants.clone().and(&own);
    let cache = cache(names, spec, &grants);
    let header = &names.file.header;
    let retries = spec.retries.as_ref().or(header.retries.as_ref());
    Some(Node {
        name: Arc::clone(&name),
        component,
        task: spec.task.value.as_str().into(),
        options: CallOptions {
            name: Some(name),
            limits: over(&over(limits, &names.file.limits), &spec.limits),
            grants,
            retries: retries.cloned().unwrap_or_default(),
            queue_timeout: spec.queue_timeout,
            cache,
            resources: spec.resources.clone(),
            labels: spec.labels.clone(),
            tags: spec.tags.clone(),
            ..CallOptions::default()
        },
        inputs: edges.inputs,
        zip: spec.zip,
        mapped: edges::is_mapped(spec),
        trigger: spec.trigger.as_ref().map(|trigger| trigger.value).unwrap_or_default(),
        skip_with_upstream: spec.skip_with_upstream,
        map_policy: MapPolicy {
            max_failures: spec.max_failures.as_ref().map(|max| max.value),
            fail_fast: spec.fail_fast,
        },
        gates: edges.gates.into_iter().collect(),
        pipes: edges.pipes.into_iter().collect(),
        dependants: Vec::new(),
        depth: 0,
    })
}

/// Whether results of a task may be taken from earlier runs. What the flow says holds for tasks
/// without grants; one with grants has to have a key of its own.
fn cache(names: &mut Names<'_>, spec: &TaskSpec, grants: &Grants) -> Option<CachePolicy> {
    let Some(own) = &spec.cache else {
        let flow = names.file.header.cache.as_ref()?;
        return flow.value.clone().filter(|_| grants.is_empty());
    };
    let policy = own.value.clone()?;
    if !grants.is_empty() && policy.key.is_none() {
        let what = format!(
            "task `{}` has grants ({}), so its results are cached only with a key: what it \
             reaches may change while its arguments do not",
            spec.name.value,
            grants.names().join(", ")
        );
        let hint = "write cache = { key = \"v1\" }, and change the key with what it reaches";
        names.hinted(&own.place, what, hint);
    }
    Some(policy)
}

/// The depths of all tasks; cycles are noted.
fn depths(names: &mut Names<'_>, upstream: &[Vec<usize>]) -> Vec<u32> {
    match graph::shape(upstream) {
        Shape::Layers(depths) => depths,
        Shape::Cycles(cycles) => {
            for cycle in cycles {
                let tasks = &names.file.tasks;
                let shown: Vec<&str> = cycle
                    .iter()
                    .chain(cycle.first())
                    .map(|position| tasks[*position].name.value.as_str())
                    .collect();
                let what = format!("these tasks wait for one another: {}", shown.join(" → "));
                let place = cycle.first().map_or(0..0, |first| tasks[*first].name.place.clone());
                names.fault(&place, what);
            }
            Vec::new()
        }
    }
}
