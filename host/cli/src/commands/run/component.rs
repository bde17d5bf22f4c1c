//! A flow that is code in a component: `run component.wasm#flow`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sandmill::value::Bounds;
use sandmill::{CodedFlow, Component, Host};

use super::args::RunArgs;
use crate::arguments::{self, Arguments};
use crate::error::{CliError, Result};
use crate::text::nearest;
use crate::{schema, session};

/// A component, and the name of a flow in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlowName {
    component: PathBuf,
    flow: String,
}

impl FlowName {
    /// What was typed, where it names a flow of a component rather than a file.
    pub(super) fn of(typed: &Path) -> Option<Self> {
        if typed.exists() {
            return None;
        }
        let (component, flow) = typed.to_str()?.rsplit_once('#')?;
        let (component, flow) = (PathBuf::from(component), flow.to_owned());
        (!flow.is_empty() && !component.as_os_str().is_empty()).then_some(Self { component, flow })
    }

    /// Reads the component.
    pub(super) fn load(&self) -> Result<Component> {
        session::load(&self.component)
    }

    /// The flow with what it is called with: every fault of that at once.
    pub(super) fn check(
        &self,
        args: &RunArgs,
        host: &Host,
        component: Component,
    ) -> Result<CodedFlow> {
        let info = session::inspect(host, &component)?;
        let task = info.task(&self.flow).filter(|task| info.is_flow(&task.name));
        let Some(task) = task else { return Err(self.no_flow(&info.flows)) };
        let max_bytes = usize::try_from(host.options().limits.input).unwrap_or(usize::MAX);
        let bounds = Bounds { max_bytes, ..Bounds::DEFAULT };
        let parameters = schema::parameters(&task.parameters);
        let mut given = Arguments::of(&args.parameters, parameters.as_deref(), &bounds);
        if let Some(parameters) = &parameters {
            given.check(parameters, None);
        }
        given.check_values(&task.parameters);
        let given = given.checked(&self.flow).map_err(|error| CliError {
            message: format!("the parameters do not fit flow `{}`; nothing was run", self.flow),
            hints: vec![
                "give parameters as `-p NAME=VALUE`; `sandmill inspect` lists them".to_owned(),
            ],
            ..error
        })?;
        let mut components = BTreeMap::new();
        for named in &args.components {
            let other = session::load(&named.path)?;
            session::inspect(host, &other)?;
            components.insert(named.name.clone(), other);
        }
        Ok(CodedFlow {
            component,
            flow: self.flow.as_str().into(),
            arguments: arguments::map_of(&given, bounds)?,
            components,
        })
    }

    fn no_flow(&self, flows: &[String]) -> CliError {
        let shown = self.component.display();
        let error = CliError::input(format!("`{shown}` has no flow `{}`", self.flow));
        match nearest(&self.flow, flows.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if flows.is_empty() => error.hint("it has no flows at all, only tasks"),
            None => error.hint(format!("it has: {}", flows.join(", "))),
        }
    }
}

/// A component that a flow calls by a name: `NAME=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedComponent {
    name: String,
    path: PathBuf,
}

impl FromStr for NamedComponent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split =
            text.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty());
        let (name, path) = split.ok_or("write NAME=FILE")?;
        Ok(Self { name: name.to_owned(), path: PathBuf::from(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_of_components_are_told_from_files() {
        let name = FlowName::of(Path::new("dir/a.wasm#fan_out")).expect("it names a flow");
        assert_eq!((name.component, name.flow.as_str()), ("dir/a.wasm".into(), "fan_out"));
        for file in ["flow.toml", "dir", "a.wasm#", "#flow"] {
            assert_eq!(FlowName::of(Path::new(file)), None, "{file}");
        }
        assert!("probe=".parse::<NamedComponent>().is_err());
    }
}
