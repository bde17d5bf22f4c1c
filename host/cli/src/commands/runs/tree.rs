//! The tree of `sandmill runs show`: the stages with their runs, and the sub-flows with theirs.

use sandmill::core::units::format_duration;
use sandmill::store::{Reader, RunRecord, StageSummary};

use super::counts::{RunCounts, in_order};
use super::names::{Names, ShortIds};
use super::show::{Parts, Seen, parts, worth_a_look};
use super::show_run::run_lines;
use super::words;
use crate::error::Result;
use crate::output::progress::is_hook;
use crate::output::{escape, moment};
use crate::stores::store_error;

/// How deep sub-flows of sub-flows are shown.
const DEEPEST: usize = 4;

/// The stages, each with its runs, then the sub-flows.
pub(super) fn tree(
    reader: &Reader,
    seen: &Seen,
    parts: &Parts,
    indent: &str,
    depth: usize,
) -> Result<Vec<String>> {
    let names = Names::of(&seen.stages);
    let widest = |stage: &StageSummary| console::measure_text_width(&shown_name(stage));
    let width = seen.stages.iter().map(widest).max().unwrap_or(0);
    let mut lines = Vec::new();
    let items = seen.stages.len() + parts.flows.len() + usize::from(parts.more);
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
    if parts.more {
        let (branch, _) = branches(parts.flows.is_empty());
        let id = seen.flow.run;
        lines
            .push(format!("{indent}{branch}… earlier sub-flows: sandmill runs list --parent {id}"));
    }
    let ids = ShortIds::of(reader, parts.flows.iter().map(|part| part.run));
    for (position, part) in parts.flows.iter().enumerate() {
        let (branch, below) = branches(position + 1 == parts.flows.len());
        let stages = in_order(reader, part.run)?;
        lines.push(format!(
            "{indent}{branch}sub-flow {} {}  {}{}",
            escape::line(&part.name),
            ids.show(part.run),
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
pub(super) fn fit(lines: Vec<String>) -> Vec<String> {
    let width = usize::from(console::Term::stdout().size().1).max(40);
    let cut = |line: String| console::truncate_str(&line, width, "…").into_owned();
    lines.into_iter().map(cut).collect()
}

const fn branches(last: bool) -> (&'static str, &'static str) {
    if last { ("└─ ", "   ") } else { ("├─ ", "│  ") }
}

/// Its name, by which a hook is told from a task.
fn shown_name(stage: &StageSummary) -> String {
    let name = escape::line(&stage.stage.name);
    if is_hook(stage.stage.stage) { format!("hook {name}") } else { name.into_owned() }
}

fn stage_line(stage: &StageSummary, width: usize, rerun: bool) -> String {
    let name = shown_name(stage);
    let name = console::pad_str(&name, width, console::Alignment::Left, None);
    let time = match (stage.first_started, stage.last_ended) {
        (Some(started), Some(ended)) => {
            format!(" in {}", format_duration(moment::between(started, ended)))
        }
        _ => String::new(),
    };
    format!("{name}  {}{time}", words::counts(&RunCounts::of(stage, rerun)))
}
