//! Why a flow cannot be run.

use std::path::PathBuf;

use sandmill_flow::Faults;
use sandmill_store::StoreError;
use sandmill_wire::{End, RunId};

/// Why a flow cannot be run.
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
    /// The component cannot be run, or has no such flow.
    #[error("{}", .0.message)]
    Refused(End),
    /// The parameters do not fit a flow of a component: all that is wrong with them.
    #[error("the parameters do not fit flow `{flow}`: {}", faults.join("; "))]
    Parameters {
        /// The flow.
        flow: String,
        /// What is wrong, one by one.
        faults: Vec<String>,
    },
    /// The host has no store.
    #[error("this host keeps no history: give it a store, or a data directory")]
    NoStore,
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is recorded of the flow does not make it again.
    #[error("flow run {run} cannot be made again: {why}")]
    Source {
        /// The flow run.
        run: RunId,
        /// Why.
        why: String,
    },
}
