//! What is said of a flow's run when it has ended: its result, what became of each stage, and the
//! exit code.

use std::time::Duration;

use sandmill::core::units::format_duration;
use sandmill::{EndKind, Outcome, RunId, State, StateType, Value};
use serde::Serialize;

use crate::config::ExecutorKind;
use crate::error::{CliError, Result};
use crate::output::progress::{Board, Failed, HookEnd, StageView, summary_lines};
use crate::output::{
    OutcomeJson, Results, StateJson, Ui, describe_outcome, optional_raw, value_for_people,
};
use crate::text::{counted, thousands};
use crate::{exit_code, signals};

/// A flow's run that has come to its end, or to where it can be resumed.
pub(crate) struct FlowEnd<'a> {
    /// Its id.
    pub(crate) run: RunId,
    /// The flow's name.
    pub(crate) name: &'a str,
    /// Where it stands.
    pub(crate) state: State,
    /// How it ended.
    pub(crate) outcome: &'a Outcome,
    /// How long it took.
    pub(crate) took: Duration,
    /// Where its runs happened; none where another process ran it.
    pub(crate) place: Option<(ExecutorKind, usize)>,
    /// Whether it is written down.
    pub(crate) kept: bool,
    /// Reports of hosts that came too late to be taken; none where another process ran it.
    pub(crate) late_reports: Option<u64>,
}

impl FlowEnd<'_> {
    /// Whether it can go on.
    fn is_resumable(&self) -> bool {
        self.kept && !self.state.is_final()
    }
}

/// The summary in JSON: `docs/schemas/run.json`.
#[derive(Serialize)]
struct RunJson<'a> {
    run_id: String,
    flow: &'a str,
    /// None where another process ran it.
    executor: Option<&'static str>,
    slots: Option<usize>,
    state: StateJson,
    /// Whether it was interrupted and can go on.
    resumable: bool,
    outcome: OutcomeJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_raw")]
    result: Option<&'a Value>,
    wall_micros: u64,
    /// Runs that were not run for this: their results were there already.
    reused: u64,
    /// Reports of hosts that had been given up for their runs, and were refused; none where another
    /// process ran it.
    late_reports: Option<u64>,
    stages: Vec<StageJson<'a>>,
    /// The hooks that were called, in their order.
    hooks: Vec<HookJson<'a>>,
    /// The first failures; `stages` counts all.
    failures: Vec<FailureJson<'a>>,
}

#[derive(Serialize)]
struct StageJson<'a> {
    name: &'a str,
    total: Option<u64>,
    submitted: u64,
    completed: u64,
    cached: u64,
    reused: u64,
    skipped: u64,
    failed: u64,
    timed_out: u64,
    crashed: u64,
    cancelled: u64,
    /// Runs that go on when the flow does.
    interrupted: u64,
    /// Attempts beyond the first of each run.
    retries: u64,
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

#[derive(Serialize)]
struct HookJson<'a> {
    name: &'a str,
    run_id: String,
    state: StateJson,
}

fn hook_json(hook: &HookEnd) -> HookJson<'_> {
    let state = StateJson::of(&hook.state);
    HookJson { name: &hook.name, run_id: hook.run.to_string(), state }
}

fn stage_json(stage: &StageView, resumable: bool) -> StageJson<'_> {
    let counts = &stage.counts;
    let stopped = if resumable { counts.cancelled } else { 0 };
    let wall = match (stage.started, stage.ended) {
        (Some(started), Some(ended)) => ended.duration_since(started),
        _ => Duration::ZERO,
    };
    StageJson {
        name: &stage.name,
        total: stage.total,
        submitted: counts.submitted,
        completed: counts.completed,
        cached: counts.cached,
        reused: counts.reused,
        skipped: counts.skipped,
        failed: counts.failed,
        timed_out: counts.timed_out,
        crashed: counts.crashed,
        cancelled: counts.cancelled - stopped,
        interrupted: stopped,
        retries: counts.retries,
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
pub(crate) fn report(ui: &Ui, end: &FlowEnd<'_>, board: &Board) -> Result<u8> {
    let code = exit_code(end, board);
    let total = board.total();
    if ui.is_json() {
        let json = RunJson {
            run_id: end.run.to_string(),
            flow: end.name,
            executor: end.place.map(|(kind, _)| kind.name()),
            slots: end.place.map(|(_, slots)| slots),
            state: StateJson::of(&end.state),
            resumable: end.is_resumable(),
            outcome: OutcomeJson::of(end.outcome),
            result: end.outcome.value(),
            wall_micros: micros(end.took),
            reused: total.reused,
            late_reports: end.late_reports,
            stages: board.tasks().map(|it| stage_json(it, end.is_resumable())).collect(),
            hooks: board.hooks().iter().map(hook_json).collect(),
            failures: board.failures().map(failure_json).collect(),
        };
        Results::new(ui).json(&json)?;
    }
    if ui.is_human() {
        summary_lines(board).iter().for_each(|line| ui.talk(line));
        say_end(ui, end, board);
    } else if ui.is_quiet() {
        // The table would have it.
        board.hooks().iter().filter(|hook| !hook.is_good()).for_each(|hook| warn_of(ui, hook));
    }
    say_tolerated(ui, end, board);
    match end.outcome {
        _ if ui.is_json() => {}
        // A flow without a result has done its work all the same.
        Outcome::Value(value) if *value == Value::default() && !ui.is_quiet() => {}
        Outcome::Value(value) => {
            let pretty = ui.is_human() && ui.stdout_terminal;
            Results::new(ui).print(&value_for_people(value, pretty))?;
        }
        outcome if end.is_resumable() && !is_host_error(outcome) => {}
        outcome => {
            let (first, rest) = describe_outcome(outcome);
            let mut error = CliError::infrastructure(format!("flow `{}` {first}", end.name));
            error.details = rest;
            if end.kept && !end.is_resumable() && ui.is_human() {
                error = error.hint(format!(
                    "`sandmill runs explain {0}` says why; `sandmill runs rerun {0} --failed` \
                     runs again what failed",
                    end.run
                ));
            }
            ui.error(&error);
        }
    }
    if end.is_resumable() {
        ui.write(&format!("resume with: sandmill runs resume {}", end.run));
    }
    Ok(code)
}

/// Says of a hook that it did not do what it was called for.
fn warn_of(ui: &Ui, hook: &HookEnd) {
    let (first, more) = hook.words();
    ui.warn(format_args!("hook {} {first}", hook.name), &more);
}

fn say_end(ui: &Ui, end: &FlowEnd<'_>, board: &Board) {
    let total = board.total();
    let mut asides = String::new();
    for (count, what) in [
        (total.bad(), "of them failed"),
        (total.cached, "from the cache"),
        (total.reused, "used again"),
        (end.late_reports.unwrap_or(0), "late reports of hosts refused"),
    ] {
        if count > 0 {
            asides.push_str(&format!(", {} {what}", thousands(count)));
        }
    }
    let verb = match end.state.kind {
        _ if end.is_resumable() => "Stopped",
        StateType::Completed => "Finished",
        _ => "Ended",
    };
    let done = if end.is_resumable() { total.done() - total.cancelled } else { total.done() };
    let (runs, took) = (counted(done, "run"), format_duration(end.took));
    ui.step(verb, format_args!("{}: {runs}{asides} in {took}", end.name));
}

/// Says why a flow that completed does not end with 0.
fn say_tolerated(ui: &Ui, end: &FlowEnd<'_>, board: &Board) {
    let bad = board.total().bad();
    if end.outcome.is_success() && bad > 0 {
        let code = exit_code(end, board);
        let what = if bad == 1 {
            "1 run of it failed".to_owned()
        } else {
            format!("{} of its runs failed", thousands(bad))
        };
        ui.write(&format!("the flow completed, and {what}: exit code {code}"));
    }
}

fn exit_code(end: &FlowEnd<'_>, board: &Board) -> u8 {
    let total = board.total();
    if end.is_resumable() && is_host_error(end.outcome) {
        exit_code::INFRASTRUCTURE
    } else if signals::interrupted() || end.is_resumable() {
        exit_code::INTERRUPTED
    } else if end.outcome.is_success() && total.bad() == 0 {
        // Runs that were cancelled or left out in a flow that completes are as it wanted them.
        exit_code::SUCCESS
    } else if is_timed_out(end.outcome)
        || total.timed_out > 0 && total.bad() == total.timed_out + total.upstream
    {
        exit_code::TIMED_OUT
    } else {
        exit_code::RUN_FAILED
    }
}

/// Whether it was not the flow that failed, but what runs it.
fn is_host_error(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ended(end) if end.kind == EndKind::HostError)
}

fn is_timed_out(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ended(end) if end.kind == EndKind::TimedOut)
}
