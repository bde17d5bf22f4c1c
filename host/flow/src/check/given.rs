//! What a flow file is checked with: its components, its parameters and its surroundings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sandmill_core::{Component, ComponentInfo, Limits};
use sandmill_wire::Value;

use crate::file::ComponentSpec;

/// Loads the components of a flow: reads the bytes, and asks an invoker to prepare them.
pub trait ComponentSource {
    /// Loads one component. Its digest is checked by the caller.
    ///
    /// # Errors
    /// Why it cannot be had, as a fragment for people.
    fn load(&self, component: &ComponentSpec) -> Result<(Component, Arc<ComponentInfo>), String>;
}

impl<F> ComponentSource for F
where
    F: Fn(&ComponentSpec) -> Result<(Component, Arc<ComponentInfo>), String>,
{
    fn load(&self, component: &ComponentSpec) -> Result<(Component, Arc<ComponentInfo>), String> {
        self(component)
    }
}

/// Finds a variable of the environment.
pub(crate) type Variable = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What comes from outside the file.
pub struct Given {
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) limits: Limits,
    pub(crate) directory: PathBuf,
    pub(crate) variable: Variable,
}

impl Given {
    /// No parameters, the default limits, and this process's working directory and environment
    /// (of which only `~/` and `$VAR/` at the start of a path make use).
    #[must_use]
    pub fn new() -> Self {
        Self {
            parameters: BTreeMap::new(),
            limits: Limits::default(),
            directory: PathBuf::new(),
            variable: Box::new(|name| std::env::var(name).ok()),
        }
    }

    /// With these parameters. [`crate::ParameterType::read`] makes values of a command line's text.
    #[must_use]
    pub fn parameters(mut self, parameters: BTreeMap<String, Value>) -> Self {
        self.parameters = parameters;
        self
    }

    /// With these limits under the flow's own.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With this directory for relative paths among the parameters.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// With this environment.
    #[must_use]
    pub fn environment(
        mut self,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.variable = Box::new(variable);
        self
    }
}

impl Default for Given {
    fn default() -> Self {
        Self::new()
    }
}
