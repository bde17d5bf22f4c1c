//! `sandmill runs show`, of a flow run: its stages, and the runs that are worth a look.

use sandmill::store::{
    FlowFilter, FlowList, FlowRecord, MAX_LIST, Note, Reader, RunFilter, RunRecord, StageSummary,
};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::args::ShowArgs;
use super::counts::{RunCounts, in_order};
use super::find::{self, Found};
use super::json::{FlowJson, NoteJson, RunJson, StageJson, flow_record, is_resumable};
use super::list::took as flow_took;
use super::names::Names;
use super::show_run;
use super::tree::{fit, tree};
use super::words;
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{Results, Ui, escape, moment, short};
use crate::stores::store_error;

/// Runs of a stage that are shown because they are worth a look, of each kind.
const SHOWN_EACH: usize = 5;
/// Runs of a stage that are looked through for those that completed only after a retry.
const LOOKED_THROUGH: u64 = 1_000;
/// Sub-flows that are shown of a flow run.
const SHOWN_PARTS: usize = 20;
/// Lines that are shown of one note.
const NOTE_LINES: usize = 4;
/// Notes that are shown: the last ones.
const SHOWN_NOTES: usize = 20;

/// A flow run in JSON: `docs/schemas/runs-show.json`.
#[derive(Serialize)]
struct ShowJson<'a> {
    flow: FlowJson<'a>,
    stages: Vec<StageJson<'a>>,
    runs: Vec<RunJson>,
    more_runs: bool,
    /// The last ones.
    sub_flows: Vec<FlowJson<'a>>,
    more_sub_flows: bool,
    /// The last ones.
    notes: Vec<NoteJson>,
    more_notes: bool,
}

/// A flow run with what is shown of it.
pub(super) struct Seen {
    pub(super) flow: FlowRecord,
    pub(super) stages: Vec<StageSummary>,
    pub(super) runs: Vec<RunRecord>,
    pub(super) more: bool,
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
    for what in &parts.damaged {
        ui.warn(what, &[]);
    }
    let (notes, more_notes) = notes(reader, id)?;
    let rerun = seen.flow.based_on.is_some();
    if ui.is_json() {
        let names = Names::of(&seen.stages);
        let mut runs = Vec::with_capacity(seen.runs.len());
        for run in &seen.runs {
            let tries = reader.attempts(id, run.key).map_err(|error| store_error(&error))?;
            runs.push(RunJson::of(run, &names, Some(&tries)));
        }
        let mut sub_flows = Vec::with_capacity(parts.flows.len());
        for part in &parts.flows {
            let stages = reader.stages(part.run).map_err(|error| store_error(&error))?;
            sub_flows.push(FlowJson::of(part, &stages));
        }
        Results::new(ui).json(&ShowJson {
            flow: FlowJson::of(&seen.flow, &seen.stages),
            stages: seen.stages.iter().map(|stage| StageJson::of(stage, rerun)).collect(),
            runs,
            more_runs: seen.more,
            sub_flows,
            more_sub_flows: parts.more,
            notes: notes.iter().map(NoteJson::of).collect(),
            more_notes,
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
    lines.extend(note_lines(&notes, more_notes, id));
    lines.extend(tail(&seen.flow));
    Results::new(ui).print(&lines.join("\n"))?;
    Ok(exit_code::SUCCESS)
}

/// What is asked for: all runs, some of them, or those that are worth a look.
fn look(args: &ShowArgs, reader: &Reader, id: RunId) -> Result<Seen> {
    let flow = flow_record(reader, id)?;
    let stages = in_order(reader, id)?;
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
pub(super) fn worth_a_look(
    reader: &Reader,
    id: RunId,
    stages: &[StageSummary],
) -> Result<Vec<RunRecord>> {
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

/// The last sub-flows of a flow run.
pub(super) struct Parts {
    /// In the order in which they were made.
    pub(super) flows: Vec<FlowRecord>,
    /// Whether there are earlier ones.
    pub(super) more: bool,
    /// Words about those whose records are damaged.
    pub(super) damaged: Vec<String>,
}

/// The last sub-flows of a flow run.
pub(super) fn parts(reader: &Reader, id: RunId) -> Result<Parts> {
    let filter = FlowFilter { parent: Some(id), limit: SHOWN_PARTS + 1, ..FlowFilter::default() };
    let FlowList { mut flows, damaged } =
        reader.list_flows(&filter).map_err(|error| store_error(&error))?;
    let more = flows.len() + damaged.len() > SHOWN_PARTS;
    flows.truncate(SHOWN_PARTS);
    flows.reverse();
    Ok(Parts { flows, more, damaged: damaged.iter().map(ToString::to_string).collect() })
}

/// The last notes, and whether there are more.
fn notes(reader: &Reader, id: RunId) -> Result<(Vec<Note>, bool)> {
    let mut notes = reader.notes(id, SHOWN_NOTES + 1).map_err(|error| store_error(&error))?;
    let more = notes.len() > SHOWN_NOTES;
    if more {
        notes.remove(0);
    }
    Ok((notes, more))
}

fn note_lines(notes: &[Note], more: bool, id: RunId) -> Vec<String> {
    let dim = console::Style::new().dim();
    let mut lines = Vec::new();
    if more {
        lines.push(format!("… earlier notes: sandmill runs events {id}"));
    }
    for Note { at, kind, message } in notes {
        let mut words = message.lines().filter(|line| !line.trim().is_empty()).map(short);
        let first = words.next().unwrap_or_default();
        lines.push(format!("{}  {}: {first}", dim.apply_to(moment::utc(*at)), short(kind)));
        lines.extend(words.take(NOTE_LINES - 1).map(|line| format!("    {line}")));
    }
    lines
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
