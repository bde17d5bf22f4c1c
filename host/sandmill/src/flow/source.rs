//! Flows as a store keeps them: with everything that they are made of again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandmill_core::{Component, Invoker as _, Limits};
use sandmill_flow::{ComponentSpec, FlowFile, Given, OWN_COMPONENT, may_have_parameter};
use sandmill_sandbox::Sandbox;
use sandmill_store::{FlowSource, Reader, SourceComponent, Store};
use sandmill_wire::{Digest, RunId, Value};

use super::error::FlowError;
use super::start::{CodedFlow, PlannedFlow};
use crate::{Host, HostError, load_component};

/// A flow of either kind.
pub(super) enum Recipe {
    /// A flow file's.
    File(PlannedFlow),
    /// One that is code in a component.
    Code(CodedFlow),
}

impl Recipe {
    /// The flow's name.
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::File(file) => file.plan.name(),
            Self::Code(code) => &code.flow,
        }
    }

    /// Words by which the flow's runs can be found.
    pub(super) fn labels(&self) -> &[String] {
        match self {
            Self::File(file) => file.plan.labels(),
            Self::Code(_) => &[],
        }
    }

    /// What the store keeps of it; the bytes of its components go there now.
    pub(super) fn source(
        &self,
        run: RunId,
        store: &Store,
        overrides: String,
        reuse_completed: bool,
    ) -> Result<FlowSource, FlowError> {
        let keep = |(name, component): (&str, &Component)| {
            let digest = store.put_blob(component.bytes())?;
            let origin = match self {
                Self::File(_) => component.origin().to_owned(),
                // As it was typed: whoever looks for it later may do so from elsewhere.
                Self::Code(_) => whereabouts(component),
            };
            Ok(SourceComponent { name: name.to_owned(), digest, origin })
        };
        Ok(match self {
            Self::File(PlannedFlow { plan, text, path }) => {
                let named = plan.components().iter();
                let components = named.map(|of| keep((&of.name, &of.component)));
                let parameters = plan.parameters().iter();
                FlowSource {
                    text: Some(text.clone()),
                    path: absolute(path),
                    flow: None,
                    parameters: map(run, parameters.map(|(name, value)| (name.as_str(), value)))?,
                    components: components.collect::<Result<_, FlowError>>()?,
                    overrides,
                    reuse_completed,
                }
            }
            Self::Code(CodedFlow { component, flow, arguments, components }) => {
                let others = components.iter().map(|(name, other)| (name.as_str(), other));
                let components =
                    std::iter::once((OWN_COMPONENT, component)).chain(others).map(keep);
                FlowSource {
                    text: None,
                    path: whereabouts(component),
                    flow: Some(flow.to_string()),
                    parameters: arguments.clone(),
                    components: components.collect::<Result<_, FlowError>>()?,
                    overrides,
                    reuse_completed,
                }
            }
        })
    }

    /// The flow of a run of the store as it is now, where it was then.
    pub(super) fn as_it_is(
        run: RunId,
        source: &FlowSource,
        host: &Host,
        over: BTreeMap<String, Value>,
        limits: Limits,
    ) -> Result<Self, FlowError> {
        let fault = |why: String| FlowError::Source { run, why };
        let load = |path: &str| {
            load_component(path).map_err(|error| match error {
                HostError::Read { path, source } => FlowError::Read { path, source },
                other => fault(other.to_string()),
            })
        };
        let entries = source.parameters.entries().map_err(|error| fault(error.to_string()))?;
        let mut parameters: BTreeMap<String, Value> =
            entries.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect();
        match (&source.text, &source.flow) {
            (Some(_), _) => {
                let path = Path::new(&source.path);
                let text = std::fs::read_to_string(path)
                    .map_err(|source| FlowError::Read { path: path.to_owned(), source })?;
                let file = FlowFile::read(path, &text);
                let known = |name: &str| file.parameters().iter().any(|of| of.name.value == name);
                parameters.retain(|name, _| known(name));
                parameters.extend(over);
                let given = Given::new().parameters(parameters).limits(limits);
                Ok(Self::File(host.plan_flow(path, &given)?))
            }
            (None, Some(flow)) => {
                let component = load(&source.path)?;
                let mut components = BTreeMap::new();
                for of in source.components.iter().filter(|of| of.name != OWN_COMPONENT) {
                    components.insert(of.name.clone(), load(&of.origin)?);
                }
                let info = host.sandbox().prepare(&component).map_err(FlowError::Refused)?;
                let schema = info.task(flow).map(|task| task.parameters.as_str());
                parameters.retain(|name, _| schema.is_none_or(|of| may_have_parameter(of, name)));
                parameters.extend(over);
                let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value));
                let (flow, arguments) = (flow.as_str().into(), map(run, parameters)?);
                Ok(Self::Code(CodedFlow { component, flow, arguments, components }))
            }
            (None, None) => Err(fault("the store has neither its text nor its name".to_owned())),
        }
    }

    /// The flow of a run of the store, made of what is kept there and of nothing else. `over` has
    /// parameters in place of those that it had.
    pub(super) fn of_source(
        run: RunId,
        source: &FlowSource,
        reader: &Reader,
        sandbox: &Sandbox,
        over: BTreeMap<String, Value>,
        limits: Limits,
    ) -> Result<Self, FlowError> {
        let fault = |why: String| FlowError::Source { run, why };
        let entries = source.parameters.entries().map_err(|error| fault(error.to_string()))?;
        let mut parameters: BTreeMap<String, Value> =
            entries.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect();
        parameters.extend(over);
        let kept = |digest: &Digest, origin: &str| -> Result<Component, String> {
            let bytes = reader.blob(digest).map_err(|error| error.to_string())?;
            Ok(Component::new(bytes, origin))
        };
        match (&source.text, &source.flow) {
            (Some(text), _) => {
                let load = |spec: &ComponentSpec| {
                    let name = &spec.name.value;
                    let found = source.components.iter().find(|of| of.name == *name);
                    let found = found.ok_or("the store has no component of that name")?;
                    let component = kept(&found.digest, &found.origin)?;
                    let info = sandbox.prepare(&component).map_err(|end| end.message)?;
                    Ok((component, info))
                };
                let path = Path::new(&source.path);
                let given = Given::new().parameters(parameters).limits(limits);
                let plan = FlowFile::read(path, text).check(&load, &given)?;
                Ok(Self::File(PlannedFlow { plan, text: text.clone(), path: path.to_owned() }))
            }
            (None, Some(flow)) => {
                let mut components = BTreeMap::new();
                for of in &source.components {
                    let component = kept(&of.digest, &of.origin).map_err(fault)?;
                    components.insert(of.name.clone(), component);
                }
                let own = components.remove(OWN_COMPONENT);
                let component =
                    own.ok_or_else(|| fault("the store does not have its component".to_owned()))?;
                let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value));
                let (flow, arguments) = (flow.as_str().into(), map(run, parameters)?);
                Ok(Self::Code(CodedFlow { component, flow, arguments, components }))
            }
            (None, None) => Err(fault("the store has neither its text nor its name".to_owned())),
        }
    }
}

fn map<'a>(
    run: RunId,
    entries: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<Value, FlowError> {
    let entries: Vec<(&str, &Value)> = entries.collect();
    Value::map_from(entries).map_err(|error| FlowError::Source { run, why: error.to_string() })
}

/// Where a file is, whatever the working directory of whoever reads this.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().into_owned()
}

/// Where a component came from: an absolute path, where it is a file's.
fn whereabouts(component: &Component) -> String {
    let path = Path::new(component.origin());
    if path.exists() { absolute(path) } else { component.origin().to_owned() }
}
