//! What the names in a flow file stand for: components, parameters, tasks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandmill_core::{Component, ComponentInfo};
use sandmill_wire::Value;

use super::given::{ComponentSource, Given};
use crate::argument::Located;
use crate::fault::{Fault, Place};
use crate::file::{ComponentSpec, FlowFile};
use crate::literal::Literal;
use crate::parameter::{ParameterSpec, ParameterType, complete};
use crate::reference::{Reference, Root};

/// A component that could be loaded.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) component: Component,
    pub(super) info: Arc<ComponentInfo>,
}

/// What the names stand for. A name with nothing behind it has its fault already.
pub(super) struct Names<'a> {
    pub(super) file: &'a FlowFile,
    pub(super) components: BTreeMap<&'a str, Option<Loaded>>,
    pub(super) parameters: BTreeMap<&'a str, Option<Value>>,
    pub(super) tasks: BTreeMap<&'a str, Option<usize>>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Names<'a> {
    pub(super) fn new(file: &'a FlowFile, source: &dyn ComponentSource, given: &Given) -> Self {
        let mut names = Self {
            file,
            components: unread(&file.unread_components),
            parameters: unread(&file.unread_parameters),
            tasks: unread(&file.unread_tasks),
            faults: file.faults.clone(),
        };
        for spec in &file.components {
            let loaded = names.load(spec, source);
            names.components.insert(&spec.name.value, loaded);
        }
        for spec in &file.parameters {
            let value = names.parameter(spec, given);
            names.parameters.insert(&spec.name.value, value);
        }
        for (position, spec) in file.tasks.iter().enumerate() {
            names.tasks.insert(&spec.name.value, Some(position));
        }
        for name in given.parameters.keys() {
            if !names.parameters.contains_key(name.as_str()) {
                let fault = Fault::outside(format!("the flow has no parameter `{name}`"));
                let known: Vec<&str> = names.parameters.keys().copied().collect();
                names.faults.push(fault.suggest(name, known));
            }
        }
        names
    }

    pub(super) fn fault(&mut self, place: &Place, what: impl Into<String>) {
        let fault = self.file.source.fault(place, what);
        self.faults.push(fault);
    }

    pub(super) fn hinted(
        &mut self,
        place: &Place,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let fault = self.file.source.fault(place, what).hint(hint);
        self.faults.push(fault);
    }

    /// Notes that something has to be there and is not; after a syntax error it may be there.
    pub(super) fn missing(&mut self, fault: Fault) {
        if !self.file.broken {
            self.faults.push(fault);
        }
    }

    fn load(&mut self, spec: &ComponentSpec, source: &dyn ComponentSource) -> Option<Loaded> {
        let name = &spec.name.value;
        match source.load(spec) {
            Err(why) => {
                self.fault(&spec.path.place, format!("component `{name}` cannot be used: {why}"));
                None
            }
            Ok((component, info)) => {
                if let Some(pin) = &spec.digest
                    && pin.value != component.digest()
                {
                    let what = format!("component `{name}` is not the one that is pinned");
                    let hint = format!("pinned {}, found {}", pin.value, component.digest());
                    self.hinted(&pin.place, what, hint);
                }
                Some(Loaded { component, info })
            }
        }
    }

    fn parameter(&mut self, spec: &ParameterSpec, given: &Given) -> Option<Value> {
        let name = &spec.name.value;
        if let Some(value) = given.parameters.get(name) {
            if !spec.kind.takes(value) {
                let what = format!(
                    "parameter `{name}` is of type {}, but was given a value of kind {}",
                    spec.kind.name(),
                    value.kind()
                );
                self.fault(&spec.name.place, what);
                return None;
            }
            return match (spec.kind, value.as_str()) {
                (ParameterType::Path, Some(text)) => {
                    let path = complete(text, &given.directory, &given.variable);
                    self.path_value(&spec.name.place, path)
                }
                _ => Some(value.clone()),
            };
        }
        let Some(default) = &spec.default else {
            let what = format!("parameter `{name}` is required and was not given");
            let fault = self.file.source.fault(&spec.name.place, what);
            self.missing(fault.hint(format!("give it with -p {name}=VALUE")));
            return None;
        };
        if spec.kind == ParameterType::Path {
            return self.default_path(name, default, given);
        }
        let value = self.literal(default)?;
        if !spec.kind.takes(&value) {
            let found = default.value.kind_name();
            let what = format!(
                "parameter `{name}` is of type {}, its default is {found}",
                spec.kind.name()
            );
            self.fault(&default.place, what);
            return None;
        }
        Some(value)
    }

    fn default_path(
        &mut self,
        name: &str,
        default: &Located<Literal>,
        given: &Given,
    ) -> Option<Value> {
        let base = crate::file::directory(self.file.source.path());
        match &default.value {
            Literal::String(text) => {
                let path = complete(text, &base, &given.variable);
                self.path_value(&default.place, path)
            }
            Literal::Array(items)
                if items.iter().all(|item| matches!(item, Literal::String(_))) =>
            {
                let texts = items.iter().filter_map(|item| match item {
                    Literal::String(text) => Some(text),
                    _ => None,
                });
                let found = texts
                    .filter_map(|text| complete(text, &base, &given.variable).ok())
                    .find(|path| path.exists());
                if found.is_none() {
                    let what = format!("none of the default paths of parameter `{name}` exists");
                    self.hinted(&default.place, what, format!("give one with -p {name}=PATH"));
                }
                self.path_value(&default.place, Ok(found?))
            }
            other => {
                let what = format!(
                    "the default of a path is a string or a list of strings, not {}",
                    other.kind_name()
                );
                self.fault(&default.place, what);
                None
            }
        }
    }

    fn path_value(
        &mut self,
        place: &Place,
        path: Result<std::path::PathBuf, String>,
    ) -> Option<Value> {
        let text = path.and_then(|path| {
            let not_text = |path: &Path| format!("the path {} is not Unicode", path.display());
            path.to_str().map(str::to_owned).ok_or_else(|| not_text(&path))
        });
        match text {
            Ok(text) => self.literal(&Located::new(Literal::String(text), place.clone())),
            Err(why) => {
                self.fault(place, why);
                None
            }
        }
    }

    pub(super) fn literal(&mut self, literal: &Located<Literal>) -> Option<Value> {
        match literal.value.to_value() {
            Ok(value) => Some(value),
            Err(why) => {
                self.fault(&literal.place, format!("the value is out of bounds: {why}"));
                None
            }
        }
    }

    /// The value behind a reference to a parameter. None when it has no value; that was noted.
    pub(super) fn parameter_at(&mut self, reference: &Reference, place: &Place) -> Option<Value> {
        let Root::Parameter(name) = &reference.root else { return None };
        let Some(known) = self.parameters.get(name.as_str()) else {
            let fault = self.file.source.fault(place, format!("there is no parameter `{name}`"));
            let known: Vec<&str> = self.parameters.keys().copied().collect();
            self.missing(fault.suggest(name, known));
            return None;
        };
        let value = known.clone()?;
        match value.path(&reference.path.join(".")) {
            Ok(value) => Some(value),
            Err(why) => {
                self.fault(place, format!("`{reference}`: {why}"));
                None
            }
        }
    }

    /// The position of a task. None when there is none, or none that could be read.
    pub(super) fn task(&mut self, name: &str, place: &Place) -> Option<usize> {
        if let Some(found) = self.tasks.get(name) {
            return *found;
        }
        let fault = self.file.source.fault(place, format!("there is no task `{name}`"));
        let known: Vec<&str> = self.tasks.keys().copied().collect();
        self.missing(fault.suggest(name, known));
        None
    }

    /// The component of a task. None when it is not there or cannot be used; that was noted.
    pub(super) fn component(&mut self, name: &Located<String>) -> Option<Loaded> {
        if let Some(found) = self.components.get(name.value.as_str()) {
            return found.clone();
        }
        let fault =
            self.file.source.fault(&name.place, format!("there is no component `{}`", name.value));
        let known: Vec<&str> = self.components.keys().copied().collect();
        self.missing(fault.suggest(&name.value, known));
        None
    }
}

fn unread<T>(names: &[String]) -> BTreeMap<&str, Option<T>> {
    names.iter().map(|name| (name.as_str(), None)).collect()
}
