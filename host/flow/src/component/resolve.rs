//! What a flow's calls are calls of: names of components and tasks looked up, and the options of a
//! call put over those of the flow's run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sandmill_core::{CallOptions, Component, FlowInvoker, FlowTarget};
use sandmill_wire::Digest;
use serde_json::Value as Json;

use crate::file::resource_of_tag;
use crate::script::{StageSpec, StageTarget};

/// Tasks whose parameters are remembered.
const MAX_REMEMBERED: usize = 1_000;
/// Bytes of a list of names that a refusal shows.
const MAX_LISTED_BYTES: usize = 500;

/// Looks up what a flow calls.
pub(super) struct Resolver {
    pub(super) own: Component,
    /// The other components, by the flow's name for them.
    pub(super) components: BTreeMap<String, Component>,
    pub(super) invoker: Arc<dyn FlowInvoker>,
    /// What every call may use and reach, unless it says otherwise.
    pub(super) options: Arc<CallOptions>,
    remembered: HashMap<(Digest, String), Parameters>,
}

/// What a task says of the names of its parameters.
#[derive(Clone, Default)]
struct Parameters {
    /// None: any name may be given.
    known: Option<Vec<String>>,
    required: Vec<String>,
}

/// What a call is a call of.
pub(super) struct Resolved {
    pub(super) spec: StageSpec,
    /// The component; none when there is none of that name.
    pub(super) digest: Option<Digest>,
    /// Why it cannot be called.
    pub(super) refusal: Option<Arc<str>>,
}

impl Resolver {
    pub(super) fn new(
        own: Component,
        components: BTreeMap<String, Component>,
        invoker: Arc<dyn FlowInvoker>,
        options: Arc<CallOptions>,
    ) -> Self {
        Self { own, components, invoker, options, remembered: HashMap::new() }
    }

    /// What a call is of; `names` are those of its arguments.
    pub(super) fn resolve(
        &mut self,
        target: &FlowTarget,
        mapped: bool,
        names: &[&str],
    ) -> Resolved {
        let component = match &target.component {
            None => Some(self.own.clone()),
            Some(name) => self.components.get(name).cloned(),
        };
        let task: Arc<str> = Arc::from(&*target.task);
        let (is_flow, refusal) = match &component {
            None => (false, Some(self.no_component(target.component.as_deref().unwrap_or("")))),
            Some(component) => match self.look_up(component, &target.task, names) {
                Ok(is_flow) => (is_flow, None),
                Err(why) => (false, Some(why)),
            },
        };
        let digest = component.as_ref().map(Component::digest);
        let component = component.unwrap_or_else(|| self.own.clone());
        let stage_target = match is_flow {
            true => StageTarget::Flow { component, flow: Arc::clone(&task) },
            false => StageTarget::Task { component, task: Arc::clone(&task) },
        };
        let name = match &target.options.name {
            Some(name) if !name.is_empty() => Arc::from(&**name),
            _ => task,
        };
        let (options, fault) = match self.options_of(target, &name) {
            Ok(options) => (options, None),
            Err(why) => (CallOptions::clone(&self.options), Some(Arc::from(why))),
        };
        let spec = StageSpec { name, target: stage_target, options: Arc::new(options), mapped };
        Resolved { spec, digest, refusal: refusal.or(fault) }
    }

    fn no_component(&self, name: &str) -> Arc<str> {
        let known = listed(self.components.keys().map(String::as_str));
        format!("the flow has no component `{name}`; it has {known}, and its own without a name")
            .into()
    }

    /// Whether a task is a flow, or why it cannot be called.
    fn look_up(
        &mut self,
        component: &Component,
        task: &str,
        names: &[&str],
    ) -> Result<bool, Arc<str>> {
        let info = self.invoker.prepare(component).map_err(|end| Arc::from(end.message))?;
        let Some(descriptor) = info.task(task) else {
            let known = listed(info.tasks.iter().map(|task| &*task.name));
            let what = format!("`{}` has no task `{task}`; it has {known}", component.origin());
            return Err(what.into());
        };
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
        }
        let parameters = self
            .remembered
            .entry((component.digest(), task.to_owned()))
            .or_insert_with(|| Parameters::read(&descriptor.parameters));
        parameters.check(task, names)?;
        Ok(info.is_flow(task))
    }

    fn options_of(&self, target: &FlowTarget, name: &Arc<str>) -> Result<CallOptions, String> {
        let own = &target.options;
        let mut options = CallOptions::clone(&self.options);
        options.name = Some(Arc::clone(name));
        if let Some(retries) = &own.retries {
            options.retries = retries.clone();
        }
        if let Some(timeout) = own.timeout {
            options.limits.timeout = timeout;
        }
        if let Some(memory) = own.memory {
            options.limits.memory = memory;
        }
        if own.queue_timeout.is_some() {
            options.queue_timeout = own.queue_timeout;
        }
        if own.cache.is_some() {
            options.cache.clone_from(&own.cache);
        }
        for tag in &own.tags {
            if let Some((resource, amount)) =
                resource_of_tag(tag).map_err(|error| error.to_string())?
            {
                options.resources.insert(resource, amount);
            }
        }
        options.tags.extend(own.tags.iter().cloned());
        options.labels.extend(own.labels.iter().cloned());
        options.resources.extend(own.resources.clone());
        options.detach = own.detach;
        Ok(options)
    }
}

impl Parameters {
    /// Reads a JSON Schema as far as it speaks of names; what it leaves open fits everything.
    fn read(schema: &str) -> Self {
        let Ok(schema) = serde_json::from_str::<Json>(schema) else { return Self::default() };
        let names = |list: Option<&Json>| -> Vec<String> {
            let list = list.and_then(Json::as_array).into_iter().flatten();
            list.filter_map(Json::as_str).map(str::to_owned).collect()
        };
        let is_closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        let known = is_closed.then(|| {
            let known = schema.get("properties").and_then(Json::as_object);
            known.into_iter().flat_map(|map| map.keys().cloned()).collect()
        });
        Self { known, required: names(schema.get("required")) }
    }

    fn check(&self, task: &str, names: &[&str]) -> Result<(), Arc<str>> {
        if let Some(known) = &self.known
            && let Some(name) = names.iter().find(|name| !known.iter().any(|other| other == *name))
        {
            let known = listed(known.iter().map(String::as_str));
            return Err(format!("`{task}` has no parameter `{name}`; it has {known}").into());
        }
        match self.required.iter().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(format!("the parameter `{name}` of `{task}` is not given").into()),
            None => Ok(()),
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for name in names {
        if text.len() > MAX_LISTED_BYTES {
            text.push_str(", …");
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('`');
        text.push_str(name);
        text.push('`');
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_checked_as_far_as_the_schema_says() {
        let open = Parameters::read("{}");
        assert!(open.check("t", &["anything"]).is_ok());
        let closed = Parameters::read(
            r#"{"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": false}"#,
        );
        assert!(closed.check("t", &["a"]).is_ok() && closed.check("t", &["b", "a"]).is_ok());
        let missing = closed.check("t", &["b"]).unwrap_err();
        assert!(missing.contains("`a` of `t` is not given"), "{missing}");
        let unknown = closed.check("t", &["a", "c"]).unwrap_err();
        assert!(unknown.contains("no parameter `c`; it has `a`, `b`"), "{unknown}");
        assert!(Parameters::read("not json").check("t", &[]).is_ok());
    }
}
