//! Flow files on a host: read, checked, and run without being written down.

use std::path::Path;
use std::sync::Arc;

use sandmill_flow::{ComponentSpec, FlowFile, FlowRunFuture, Given, Plan};

use super::error::FlowError;
use super::start::PlannedFlow;
use crate::{Host, load_component};

impl Host {
    /// Reads a flow file, loads its components, and checks it as a whole with what is given:
    /// parameters, and the limits under the flow's own. Runs nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or has faults.
    pub fn plan(&self, path: impl AsRef<Path>, given: &Given) -> Result<Arc<Plan>, FlowError> {
        Ok(self.plan_flow(path, given)?.plan)
    }

    /// The same with what a history keeps of it, for [`Host::start_flow`].
    ///
    /// # Errors
    /// See [`Host::plan`].
    pub fn plan_flow(
        &self,
        path: impl AsRef<Path>,
        given: &Given,
    ) -> Result<PlannedFlow, FlowError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| FlowError::Read { path: path.to_owned(), source })?;
        let load = |spec: &ComponentSpec| {
            let component = load_component(&spec.path.value).map_err(|error| error.to_string())?;
            let info = self.inspect(&component).map_err(|error| error.to_string())?;
            Ok((component, info))
        };
        let plan = FlowFile::read(path, &text).check(&load, given)?;
        Ok(PlannedFlow { plan, text, path: path.to_owned() })
    }

    /// Runs a flow without writing it down, whether the host has a store or not: nothing is kept
    /// of it, and it cannot be taken up again. Its future has the face of a task's; when the last
    /// one goes, the flow is cancelled, unless it is detached.
    #[must_use]
    pub fn run_flow(&self, plan: Arc<Plan>) -> FlowRunFuture {
        self.flow_runner().start(plan)
    }
}
