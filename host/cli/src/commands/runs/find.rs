//! What an id on the command line means: a flow run, or a run of one of its tasks.

use sandmill::RunId;
use sandmill::store::{Reader, RunKey, StoreError};

use crate::error::{CliError, Result};
use crate::stores::store_error;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A flow run.
    Flow(RunId),
    /// A run of a task of a flow run.
    Run(RunId, RunKey),
}

impl Found {
    /// The flow run, or the one that the run is part of.
    pub(super) const fn flow(self) -> RunId {
        match self {
            Self::Flow(flow) | Self::Run(flow, _) => flow,
        }
    }
}

/// Finds a flow run or a run of a task.
pub(super) fn any(reader: &Reader, text: &str) -> Result<Found> {
    let flow = reader.find_flow(text);
    match (flow, reader.find_run(text)) {
        (Ok(flow), _) => Ok(Found::Flow(flow)),
        (Err(StoreError::Unknown { .. }), Ok((flow, key))) => Ok(Found::Run(flow, key)),
        // Of `FLOW/name` the second one knows what is wrong.
        (Err(StoreError::Unknown { .. }), Err(error)) if text.contains('/') => {
            Err(store_error(&error))
        }
        (Err(StoreError::Unknown { .. }), Err(error @ StoreError::Ambiguous { .. })) => {
            Err(store_error(&error))
        }
        // No run of a task is called so.
        (Err(error @ StoreError::Unknown { .. }), _) if matches!(text, "latest" | "@") => {
            Err(store_error(&error))
        }
        (Err(StoreError::Unknown { text, .. }), _) => {
            Err(CliError::input(format!("there is no run `{text}`")).hint(
                "an id is whole or its first four or more characters, `latest`, or \
                 `FLOW/task[3]`; `sandmill runs list` lists the flow runs",
            ))
        }
        (Err(error), _) => Err(store_error(&error)),
    }
}

/// Finds a flow run.
pub(super) fn flow(reader: &Reader, text: &str) -> Result<RunId> {
    match any(reader, text)? {
        Found::Flow(flow) => Ok(flow),
        Found::Run(flow, _) => {
            Err(CliError::input(format!("`{text}` is a run of a task, not a flow run"))
                .hint(format!("it is part of flow run {flow}")))
        }
    }
}
