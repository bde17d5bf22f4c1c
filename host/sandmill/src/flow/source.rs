//! Flows as a store keeps them: with everything that their plans are made of again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandmill_core::{Component, Limits};
use sandmill_flow::{ComponentSpec, FlowFile, Given};
use sandmill_store::{FlowSource, Reader, SourceComponent, Store};
use sandmill_wire::value::ValueError;
use sandmill_wire::{RunId, Value};

use super::error::FlowError;
use super::start::PlannedFlow;
use crate::Host;

impl PlannedFlow {
    /// What the store keeps of it; the bytes of its components go there now.
    pub(super) fn source(
        &self,
        run: RunId,
        store: &Store,
        overrides: String,
        reuse_completed: bool,
    ) -> Result<FlowSource, FlowError> {
        let components = self.plan.components().iter().map(|planned| {
            let digest = store.put_blob(planned.component.bytes())?;
            let origin = planned.component.origin().to_owned();
            Ok(SourceComponent { name: planned.name.clone(), digest, origin })
        });
        let parameters = self.plan.parameters();
        let parameters =
            Value::map_from(parameters.iter().map(|(name, value)| (name.as_str(), value)))
                .map_err(|error: ValueError| FlowError::Source { run, why: error.to_string() })?;
        Ok(FlowSource {
            text: Some(self.text.clone()),
            path: absolute(&self.path),
            flow: None,
            parameters,
            components: components.collect::<Result<_, FlowError>>()?,
            overrides,
            reuse_completed,
        })
    }

    /// The flow of a run of the store, made of what is kept there and of nothing else. `over` has
    /// parameters in place of those that it had.
    pub(super) fn of_source(
        run: RunId,
        source: &FlowSource,
        reader: &Reader,
        host: &Host,
        over: BTreeMap<String, Value>,
        limits: Limits,
    ) -> Result<Self, FlowError> {
        let fault = |why: String| FlowError::Source { run, why };
        let Some(text) = &source.text else {
            return Err(fault("it is no flow file's".to_owned()));
        };
        let entries = source.parameters.entries().map_err(|error| fault(error.to_string()))?;
        let mut parameters: BTreeMap<String, Value> = entries
            .filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value)))
            .collect();
        parameters.extend(over);
        let load = |spec: &ComponentSpec| {
            let name = &spec.name.value;
            let kept = source.components.iter().find(|component| component.name == *name);
            let kept = kept.ok_or_else(|| "the store has no component of that name".to_owned())?;
            let bytes = reader.blob(&kept.digest).map_err(|error| error.to_string())?;
            let component = Component::new(bytes, kept.origin.as_str());
            let info = host.inspect(&component).map_err(|error| error.to_string())?;
            Ok((component, info))
        };
        let path = Path::new(&source.path);
        let given = Given::new().parameters(parameters).limits(limits);
        let plan = FlowFile::read(path, text).check(&load, &given)?;
        Ok(Self { plan: Arc::clone(&plan), text: text.clone(), path: path.to_owned() })
    }
}

/// Where a file is, whatever the working directory of whoever reads this.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().into_owned()
}
