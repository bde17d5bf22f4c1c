//! The JSON forms that the commands of `sandmill runs` share. Their schemas are in `docs/schemas`.

use sandmill::core::Usage;
use sandmill::store::{AttemptRecord, FlowRecord, Note, Reader, RunRecord, StageSummary};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::counts::RunCounts;
use super::names::Names;
use crate::error::Result;
use crate::output::StateJson;
use crate::output::progress::is_hook;
use crate::stores::store_error;

/// A flow run.
#[derive(Serialize)]
pub(super) struct FlowJson<'a> {
    run_id: String,
    flow: &'a str,
    state: StateJson,
    live: bool,
    resumable: bool,
    created_micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_micros: Option<u64>,
    labels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    based_on: Option<String>,
    runs: RunCounts,
}

/// Whether a process runs the flow now.
pub(super) fn is_live(flow: &FlowRecord) -> bool {
    !flow.state.is_final() && flow.state.kind != StateType::Paused
}

/// Whether the flow can go on.
pub(super) fn is_resumable(flow: &FlowRecord) -> bool {
    flow.state.kind == StateType::Paused
}

impl<'a> FlowJson<'a> {
    pub(super) fn of(flow: &'a FlowRecord, stages: &[StageSummary]) -> Self {
        let id = |run: RunId| run.to_string();
        Self {
            run_id: id(flow.run),
            flow: &flow.name,
            state: StateJson::of(&flow.state),
            live: is_live(flow),
            resumable: is_resumable(flow),
            created_micros: flow.created.as_micros(),
            started_micros: flow.started.map(|at| at.as_micros()),
            ended_micros: flow.ended.map(|at| at.as_micros()),
            labels: &flow.labels,
            idempotency_key: flow.idempotency_key.as_deref(),
            parent: flow.parent.map(id),
            based_on: flow.based_on.map(id),
            runs: RunCounts::of_all(stages, flow.based_on.is_some()),
        }
    }
}

/// A stage of a flow run.
#[derive(Serialize)]
pub(super) struct StageJson<'a> {
    name: &'a str,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    mapped: bool,
    hook: bool,
    runs: RunCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_micros: Option<u64>,
    busy_micros: u64,
    slowest_micros: u64,
    peak_memory: u64,
}

impl<'a> StageJson<'a> {
    pub(super) fn of(stage: &'a StageSummary, rerun: bool) -> Self {
        Self {
            name: &stage.stage.name,
            task: &stage.stage.task,
            component: stage.stage.component.map(|digest| digest.to_string()),
            mapped: stage.stage.mapped,
            hook: is_hook(stage.stage.stage),
            runs: RunCounts::of(stage, rerun),
            started_micros: stage.first_started.map(|at| at.as_micros()),
            ended_micros: stage.last_ended.map(|at| at.as_micros()),
            busy_micros: stage.busy_micros,
            slowest_micros: stage.slowest_micros,
            peak_memory: stage.peak_memory,
        }
    }
}

/// A run of a task.
#[derive(Serialize)]
pub(super) struct RunJson {
    run_id: String,
    name: String,
    stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    state: StateJson,
    created_micros: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_micros: Option<u64>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_of: Option<String>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<Vec<AttemptJson>>,
}

impl RunJson {
    pub(super) fn of(run: &RunRecord, names: &Names, tries: Option<&[AttemptRecord]>) -> Self {
        Self {
            run_id: run.run.to_string(),
            name: names.run(run.key),
            stage: names.stage(run.key).to_owned(),
            index: run.key.index,
            state: StateJson::of(&run.state),
            created_micros: run.created.as_micros(),
            started_micros: run.started.map(|at| at.as_micros()),
            ended_micros: run.ended.map(|at| at.as_micros()),
            attempts: run.attempts,
            value_of: run.value_of.map(|run| run.to_string()),
            usage: run.usage,
            tries: tries.map(|tries| tries.iter().map(AttemptJson::of).collect()),
        }
    }
}

/// One try of a run.
#[derive(Serialize)]
pub(super) struct AttemptJson {
    number: u32,
    started_micros: u64,
    ended_micros: u64,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at_micros: Option<u64>,
    usage: Usage,
}

impl AttemptJson {
    pub(super) fn of(attempt: &AttemptRecord) -> Self {
        Self {
            number: attempt.number,
            started_micros: attempt.started.as_micros(),
            ended_micros: attempt.ended.as_micros(),
            outcome: attempt.outcome.clone(),
            message: attempt.message.as_ref().map(ToString::to_string),
            retry_at_micros: attempt.retry_at.map(|at| at.as_micros()),
            usage: attempt.usage,
        }
    }
}

/// Something else that happened to a flow run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NoteJson {
    pub(super) at_micros: u64,
    pub(super) kind: String,
    pub(super) message: String,
}

impl NoteJson {
    pub(super) fn of(note: &Note) -> Self {
        let Note { at, kind, message } = note.clone();
        Self { at_micros: at.as_micros(), kind, message }
    }
}

/// A flow run that has to be there.
pub(crate) fn flow_record(reader: &Reader, flow: RunId) -> Result<FlowRecord> {
    let found = reader.flow(flow).map_err(|error| store_error(&error))?;
    found.ok_or_else(|| store_error(&sandmill::store::StoreError::NoSuchFlow { flow }))
}

/// A run that has to be there.
pub(super) fn run_record(
    reader: &Reader,
    flow: RunId,
    key: sandmill::store::RunKey,
) -> Result<RunRecord> {
    let found = reader.run(flow, key).map_err(|error| store_error(&error))?;
    found.ok_or_else(|| {
        crate::error::CliError::input(format!("flow run {flow} has no such run any more"))
    })
}
