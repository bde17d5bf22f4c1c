//! `sandmill runs show`, of a flow run: its stages, and the runs that are worth a look.

use sandmill::core::units::format_duration;
use sandmill::store::{
    FlowFilter, FlowRecord, MAX_LIST, Reader, RunFilter, RunRecord, StageSummary,
};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::args::ShowArgs;
use super::counts::RunCounts;
use super::find::{self, Found};
use super::json::{FlowJson, RunJson, StageJson, flow_record, is_resumable};
use super::list::took as flow_took;
use super::names::{Names, short_id};
use super::show_run::{self, run_lines};
use super::words;
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Ui, escape, moment};
use crate::stores::store_error;

/// Runs of a stage that are shown because they are worth a look, of each kind.
const SHOWN_EACH: usize = 5;
/// Runs of a stage that are looked through for those that completed only after a retry.
const LOOKED_THROUGH: u64 = 1_000;
/// Sub-flows that are shown of a flow run.
const SHOWN_PARTS: usize = 20;
/// How deep sub-flows of sub-flows are shown.
const DEEPEST: usize = 4;

/// A flow run in JSON: `docs/schemas/runs-show.json`.
#[derive(Serialize)]
struct ShowJson<'a> {
    flow: FlowJson<'a>,
    stages: Vec<StageJson<'a>>,
    runs: Vec<RunJson>,
    more_runs: bool,
    sub_flows: Vec<FlowJson<'a>>,
}

/// A flow run with what is shown of it.
struct Seen {
    flow: FlowRecord,
    stages: Vec<StageSummary>,
    runs: Vec<RunRecord>,
    more: bool,
}

/// Shows a flow run or a run.
pub(super) fn show(args: &ShowArgs, ui: &Ui, reader: &Reader) -> Result<u8> {
    match find::any(reader, &args.id)? {
        Found::Run(flow, key) => show_run::show(ui, reader, flow, key),
        Found::Flow(flow) => show_flow(args, ui, reader, flow),
    }
}

fn show_flow(args: &ShowArgs, ui: &Ui, reader: &Reader, id: RunId) -> Result<u8> {
    let seen = look(args, reader, id)?;
    let parts = parts(reader, id)?;
    let rerun = seen.flow.based_on.is_some();
    if ui.is_json() {
        let names = Names::of(&seen.stages);
        let mut runs = Vec::with_capacity(seen.runs.len());
        for run in &seen.runs {
            let tries = reader.attempts(id, run.key).map_err(|error| store_error(&error))?;
            runs.push(RunJson::of(run, &names, Some(&tries)));
        }
        let mut sub_flows = Vec::with_capacity(parts.len());
        for part in &parts {
            let stages = reader.stages(part.run).map_err(|error| store_error(&error))?;
            sub_flows.push(FlowJson::of(part, &stages));
        }
        Results::new(ui).json(&ShowJson {
            flow: FlowJson::of(&seen.flow, &seen.stages),
            stages: seen.stages.iter().map(|stage| StageJson::of(stage, rerun)).collect(),
            runs,
            more_runs: seen.more,
            sub_flows,
        })?;
        return Ok(exit_code::SUCCESS);
    }
    let mut lines = head(&seen);
    let tree = tree(reader, &seen, &parts, "", 0)?;
    lines.extend(match ui.stdout_terminal {
        true => fit(tree),
        false => tree,
    });
    if seen.more {
        lines.push("… and more runs: --limit shows more of them".to_owned());
    }
    lines.extend(tail(&seen.flow));
    Results::new(ui).print(&lines.join("\n"))?;
    Ok(exit_code::SUCCESS)
}

/// What is asked for: all runs, some of them, or those that are worth a look.
fn look(args: &ShowArgs, reader: &Reader, id: RunId) -> Result<Seen> {
    let flow = flow_record(reader, id)?;
    let stages = reader.stages(id).map_err(|error| store_error(&error))?;
    if let Some(name) = &args.task
        && stages.iter().all(|stage| &*stage.stage.name != name)
    {
        let names: Vec<&str> = stages.iter().map(|stage| &*stage.stage.name).collect();
        return Err(CliError::input(format!("the flow run has no task `{name}`"))
            .hint(format!("it has: {}", names.join(", "))));
    }
    let asked = args.runs || args.task.is_some() || args.state.is_some();
    let (runs, more) = if asked {
        let filter = RunFilter {
            stage: args.task.clone(),
            states: args.state.iter().map(|word| word.kind()).collect(),
            ..RunFilter::default()
        };
        page(reader, id, filter, usize::try_from(args.limit).unwrap_or(usize::MAX))?
    } else {
        (worth_a_look(reader, id, &stages)?, false)
    };
    Ok(Seen { flow, stages, runs, more })
}

/// Up to so many of the runs that fit, and whether there are more.
fn page(
    reader: &Reader,
    id: RunId,
    mut filter: RunFilter,
    limit: usize,
) -> Result<(Vec<RunRecord>, bool)> {
    let mut runs: Vec<RunRecord> = Vec::new();
    loop {
        filter.limit = (limit - runs.len()).saturating_add(1).min(MAX_LIST);
        filter.after = runs.last().map(|run| run.key);
        let found = reader.runs(id, &filter).map_err(|error| store_error(&error))?;
        let all = found.len() < filter.limit;
        runs.extend(found);
        if runs.len() > limit {
            runs.truncate(limit);
            return Ok((runs, true));
        }
        if all {
            return Ok((runs, false));
        }
    }
}

/// The runs that failed, are under way, wait for a retry, or needed one: a few of each stage.
fn worth_a_look(reader: &Reader, id: RunId, stages: &[StageSummary]) -> Result<Vec<RunRecord>> {
    let mut worth = Vec::new();
    for stage in stages {
        let counts = &stage.counts;
        let mut take = |states: Vec<StateType>| -> Result<()> {
            let (name, limit) = (stage.stage.name.to_string(), SHOWN_EACH);
            let filter = RunFilter { stage: Some(name), states, limit, ..RunFilter::default() };
            let found = reader.runs(id, &filter).map_err(|error| store_error(&error))?;
            worth.extend(found.into_iter().filter(|run| run.key.stage == stage.stage.stage));
            Ok(())
        };
        if counts.failed + counts.crashed > 0 {
            take(vec![StateType::Failed, StateType::Crashed])?;
        }
        if counts.running + counts.cancelling > 0 {
            take(vec![StateType::Running, StateType::Cancelling])?;
        }
        if counts.scheduled > 0 {
            take(vec![StateType::Scheduled])?;
        }
        if counts.paused > 0 {
            take(vec![StateType::Paused])?;
        }
        if stage.retried > 0 && counts.all() <= LOOKED_THROUGH {
            let filter = RunFilter {
                stage: Some(stage.stage.name.to_string()),
                states: vec![StateType::Completed],
                ..RunFilter::default()
            };
            let found = reader.runs(id, &filter).map_err(|error| store_error(&error))?;
            let own = |run: &RunRecord| run.key.stage == stage.stage.stage && run.attempts > 1;
            worth.extend(found.into_iter().filter(own).take(SHOWN_EACH));
        }
    }
    Ok(worth)
}

/// The sub-flows of a flow run, in the order in which they were made.
fn parts(reader: &Reader, id: RunId) -> Result<Vec<FlowRecord>> {
    let filter = FlowFilter { parent: Some(id), limit: SHOWN_PARTS, ..FlowFilter::default() };
    let mut parts = reader.flows(&filter).map_err(|error| store_error(&error))?;
    parts.reverse();
    Ok(parts)
}

fn head(seen: &Seen) -> Vec<String> {
    let flow = &seen.flow;
    let bold = console::Style::new().bold();
    let now = moment::now();
    let counts = RunCounts::of_all(&seen.stages, flow.based_on.is_some());
    let mut lines = vec![format!(
        "{} {}  {}{}",
        bold.apply_to(escape::line(&flow.name)),
        flow.run,
        words::state_cell(&flow.state),
        words::because(&flow.state)
    )];
    let made = format!("made {} ({})", moment::utc(flow.created), moment::ago(flow.created, now));
    let starts = match flow.starts {
        0 | 1 => String::new(),
        2 => ", resumed once".to_owned(),
        starts => format!(", resumed {} times", starts - 1),
    };
    lines.push(format!("  {made}, took {}{starts}", flow_took(flow, &seen.stages, now)));
    lines.push(format!("  {}", words::counts(&counts)));
    if !flow.labels.is_empty() {
        lines.push(format!("  labels: {}", escape::line(&flow.labels.join(", "))));
    }
    if let Some(key) = &flow.idempotency_key {
        lines.push(format!("  idempotency key: {}", escape::line(key)));
    }
    if let Some(parent) = flow.parent {
        lines.push(format!("  part of flow run {parent}"));
    }
    if let Some(based_on) = flow.based_on {
        lines.push(format!("  uses results of flow run {based_on} again"));
    }
    lines
}

fn tail(flow: &FlowRecord) -> Option<String> {
    let id = flow.run;
    is_resumable(flow).then(|| format!("resume with: sandmill runs resume {id}"))
}

/// The stages, each with its runs, then the sub-flows.
fn tree(
    reader: &Reader,
    seen: &Seen,
    parts: &[FlowRecord],
    indent: &str,
    depth: usize,
) -> Result<Vec<String>> {
    let names = Names::of(&seen.stages);
    let widest =
        |stage: &StageSummary| console::measure_text_width(&escape::line(&stage.stage.name));
    let width = seen.stages.iter().map(widest).max().unwrap_or(0);
    let mut lines = Vec::new();
    let items = seen.stages.len() + parts.len();
    for (position, stage) in seen.stages.iter().enumerate() {
        let (branch, below) = branches(position + 1 == items);
        lines.push(format!(
            "{indent}{branch}{}",
            stage_line(stage, width, seen.flow.based_on.is_some())
        ));
        let runs: Vec<&RunRecord> =
            seen.runs.iter().filter(|run| run.key.stage == stage.stage.stage).collect();
        for (position, run) in runs.iter().enumerate() {
            let (own, own_below) = branches(position + 1 == runs.len());
            let tries = reader.attempts(seen.flow.run, run.key).map_err(|e| store_error(&e))?;
            let mut text = run_lines(run, &names, &tries).into_iter();
            lines.extend(text.next().map(|first| format!("{indent}{below}{own}{first}")));
            lines.extend(text.map(|rest| format!("{indent}{below}{own_below}{rest}")));
        }
    }
    for (position, part) in parts.iter().enumerate() {
        let (branch, below) = branches(position + 1 == parts.len());
        let stages = reader.stages(part.run).map_err(|error| store_error(&error))?;
        lines.push(format!(
            "{indent}{branch}sub-flow {} {}  {}{}",
            escape::line(&part.name),
            short_id(part.run),
            words::state_cell(&part.state),
            words::because(&part.state)
        ));
        if depth + 1 < DEEPEST {
            let runs = worth_a_look(reader, part.run, &stages)?;
            let inner = Seen { flow: part.clone(), stages, runs, more: false };
            let inner_parts = self::parts(reader, part.run)?;
            let indent = format!("{indent}{below}");
            lines.extend(tree(reader, &inner, &inner_parts, &indent, depth + 1)?);
        }
    }
    Ok(lines)
}

/// A tree is no tree any more when its lines are broken: `explain` has the words in full.
fn fit(lines: Vec<String>) -> Vec<String> {
    let width = usize::from(console::Term::stdout().size().1).max(40);
    let cut = |line: String| console::truncate_str(&line, width, "…").into_owned();
    lines.into_iter().map(cut).collect()
}

const fn branches(last: bool) -> (&'static str, &'static str) {
    if last { ("└─ ", "   ") } else { ("├─ ", "│  ") }
}

fn stage_line(stage: &StageSummary, width: usize, rerun: bool) -> String {
    let name = escape::line(&stage.stage.name);
    let name = console::pad_str(&name, width, console::Alignment::Left, None);
    let time = match (stage.first_started, stage.last_ended) {
        (Some(started), Some(ended)) => {
            format!(" in {}", format_duration(moment::between(started, ended)))
        }
        _ => String::new(),
    };
    format!("{name}  {}{time}", words::counts(&RunCounts::of(stage, rerun)))
}
