//! What is said of a flow's run when it has ended: its result, what became of each stage, and the
//! exit code.

use std::time::Duration;

use sandmill::core::units::format_duration;
use sandmill::flow_file::FlowRunFuture;
use sandmill::{Outcome, Value};
use serde::Serialize;

use crate::config::ExecutorKind;
use crate::error::{CliError, Result};
use crate::output::progress::{Board, Failed, StageView, summary_lines};
use crate::output::{
    OutcomeJson, Results, StateJson, Ui, describe_outcome, optional_raw, value_for_people,
};
use crate::text::counted;
use crate::{exit_code, signals};

/// A flow's run that has ended.
pub(super) struct Run<'a> {
    pub(super) future: &'a FlowRunFuture,
    pub(super) outcome: &'a Outcome,
    pub(super) took: Duration,
    pub(super) kind: ExecutorKind,
    pub(super) slots: usize,
}

/// The summary in JSON: `docs/schemas/run.json`.
#[derive(Serialize)]
struct RunJson<'a> {
    run_id: String,
    flow: &'a str,
    executor: &'static str,
    slots: usize,
    state: StateJson,
    outcome: OutcomeJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_raw")]
    result: Option<&'a Value>,
    wall_micros: u64,
    stages: Vec<StageJson<'a>>,
    /// The first failures; `stages` counts all.
    failures: Vec<FailureJson<'a>>,
}

#[derive(Serialize)]
struct StageJson<'a> {
    name: &'a str,
    total: Option<u64>,
    submitted: u64,
    completed: u64,
    failed: u64,
    timed_out: u64,
    crashed: u64,
    cancelled: u64,
    /// From the first run's start to the last one's end.
    wall_micros: u64,
    /// The time of the runs together.
    busy_micros: u64,
    slowest_micros: u64,
    peak_memory: u64,
}

#[derive(Serialize)]
struct FailureJson<'a> {
    run_id: String,
    name: &'a str,
    state: StateJson,
}

fn stage_json(stage: &StageView) -> StageJson<'_> {
    let counts = &stage.counts;
    let wall = match (stage.started, stage.ended) {
        (Some(started), Some(ended)) => ended.duration_since(started),
        _ => Duration::ZERO,
    };
    StageJson {
        name: &stage.name,
        total: stage.total,
        submitted: counts.submitted,
        completed: counts.completed,
        failed: counts.failed,
        timed_out: counts.timed_out,
        crashed: counts.crashed,
        cancelled: counts.cancelled,
        wall_micros: micros(wall),
        busy_micros: stage.busy_micros,
        slowest_micros: stage.slowest_micros,
        peak_memory: stage.peak_memory,
    }
}

fn failure_json(failure: &Failed) -> FailureJson<'_> {
    let state = StateJson::of(&failure.state);
    FailureJson { run_id: failure.run.to_string(), name: &failure.name, state }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Says what became of the run, and with what code to exit.
pub(super) fn report(ui: &Ui, run: &Run<'_>, board: &Board) -> Result<u8> {
    let code = exit_code(run, board);
    if ui.is_json() {
        let json = RunJson {
            run_id: run.future.id().to_string(),
            flow: run.future.name(),
            executor: run.kind.name(),
            slots: run.slots,
            state: StateJson::of(&run.future.state()),
            outcome: OutcomeJson::of(run.outcome),
            result: run.outcome.value(),
            wall_micros: micros(run.took),
            stages: board.stages().iter().map(stage_json).collect(),
            failures: board.failures.iter().map(failure_json).collect(),
        };
        Results::new(ui).json(&json)?;
        return Ok(code);
    }
    let total = board.total();
    if ui.is_human() {
        summary_lines(board).iter().for_each(|line| ui.talk(line));
        let failed = match total.bad() {
            0 => String::new(),
            bad => format!(", {} of them failed", crate::text::thousands(bad)),
        };
        let took = format_duration(run.took);
        let verb = if run.outcome.is_success() { "Finished" } else { "Ended" };
        ui.step(
            verb,
            format_args!(
                "{}: {}{failed} in {took}",
                run.future.name(),
                counted(total.done(), "run")
            ),
        );
    }
    match run.outcome {
        // A flow without a result has done its work all the same.
        Outcome::Value(value) if *value == Value::default() && !ui.is_quiet() => {}
        Outcome::Value(value) => {
            let pretty = ui.is_human() && ui.stdout_terminal;
            Results::new(ui).print(&value_for_people(value, pretty))?;
        }
        outcome => {
            let (first, rest) = describe_outcome(outcome);
            let mut error =
                CliError::infrastructure(format!("flow `{}` {first}", run.future.name()));
            error.details = rest;
            ui.error(&error);
        }
    }
    Ok(code)
}

fn exit_code(run: &Run<'_>, board: &Board) -> u8 {
    let total = board.total();
    if signals::interrupted() {
        exit_code::INTERRUPTED
    } else if total.bad() > 0 && total.bad() == total.timed_out + total.upstream {
        exit_code::TIMED_OUT
    } else if total.bad() > 0 || total.cancelled > 0 || !run.outcome.is_success() {
        exit_code::RUN_FAILED
    } else {
        exit_code::SUCCESS
    }
}
