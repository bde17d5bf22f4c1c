//! Flow files for embedders: read, checked and run on a host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandmill_flow::{ComponentSpec, Faults, FlowFile, FlowRunFuture, FlowRunner, Given, Plan};

use crate::{Host, load_component};

/// Why a flow file cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The file could not be read.
    #[error("`{}` could not be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It has faults: all of them, each with its place.
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl Host {
    /// Reads a flow file, loads its components, and checks it as a whole with what is given:
    /// parameters, and the limits under the flow's own. Runs nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or has faults.
    pub fn plan(&self, path: impl AsRef<Path>, given: &Given) -> Result<Arc<Plan>, FlowError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| FlowError::Read { path: path.to_owned(), source })?;
        let load = |spec: &ComponentSpec| {
            let component = load_component(&spec.path.value).map_err(|error| error.to_string())?;
            let info = self.inspect(&component).map_err(|error| error.to_string())?;
            Ok((component, info))
        };
        Ok(FlowFile::read(path, &text).check(&load, given)?)
    }

    /// Runs a flow. Its future has the face of a task's; when the last one goes, the flow is
    /// cancelled, unless it is detached.
    #[must_use]
    pub fn run_flow(&self, plan: Arc<Plan>) -> FlowRunFuture {
        FlowRunner::new(Arc::clone(self.executor()), self.events().clone()).start(plan)
    }
}
