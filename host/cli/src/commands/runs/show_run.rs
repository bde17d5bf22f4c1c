//! `sandmill runs show`, of one run of a task.

use sandmill::RunId;
use sandmill::core::units::format_size;
use sandmill::store::{AttemptRecord, Reader, RunKey, RunRecord};
use serde::Serialize;

use super::json::{FlowJson, RunJson, flow_record, run_record};
use super::names::Names;
use super::words;
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Ui, escape, moment};
use crate::stores::store_error;
use crate::text::counted;

/// A run in JSON: `docs/schemas/runs-show-run.json`.
#[derive(Serialize)]
struct ShowRunJson<'a> {
    flow: FlowJson<'a>,
    run: RunJson,
}

/// Shows a run.
pub(super) fn show(ui: &Ui, reader: &Reader, flow: RunId, key: RunKey) -> Result<u8> {
    let record = flow_record(reader, flow)?;
    let run = run_record(reader, flow, key)?;
    let stages = reader.stages(flow).map_err(|error| store_error(&error))?;
    let names = Names::of(&stages);
    let tries = reader.attempts(flow, key).map_err(|error| store_error(&error))?;
    if ui.is_json() {
        let run = RunJson::of(&run, &names, Some(&tries));
        Results::new(ui).json(&ShowRunJson { flow: FlowJson::of(&record, &stages), run })?;
        return Ok(exit_code::SUCCESS);
    }
    let mut lines = vec![format!(
        "{} {}  {}{}",
        console::Style::new().bold().apply_to(names.shown(key)),
        run.run,
        words::state_cell(&run.state),
        words::because(&run.state)
    )];
    lines.push(format!("  of {} {flow}", escape::line(&record.name)));
    lines.push(format!(
        "  submitted {} ({})",
        moment::utc_millis(run.created),
        moment::ago(run.created, moment::now())
    ));
    lines.extend(tries.iter().map(|attempt| format!("  {}", words::attempt(attempt))));
    if let Some(from) = run.value_of {
        lines.push(format!("  the value is that of run {from}"));
    }
    if run.ended.is_some() && run.attempts > 0 {
        lines.push(format!(
            "  used {} of memory, {} in, {} out",
            format_size(run.usage.peak_memory),
            format_size(run.usage.input),
            format_size(run.usage.output)
        ));
    }
    Results::new(ui).print(&lines.join("\n"))?;
    Ok(exit_code::SUCCESS)
}

/// A run below its stage: how it stands, and how its attempts ended where there was more than one.
pub(super) fn run_lines(run: &RunRecord, names: &Names, tries: &[AttemptRecord]) -> Vec<String> {
    let took = words::took(run).map(|took| format!(" after {took}")).unwrap_or_default();
    let attempts = match run.attempts {
        0 | 1 => String::new(),
        many => format!(", {}", counted(u64::from(many), "attempt")),
    };
    let mut lines = vec![format!(
        "{}  {}{took}{attempts}{}",
        names.shown(run.key),
        words::state_cell(&run.state),
        words::because(&run.state)
    )];
    if run.attempts > 1 {
        let dim = console::Style::new().dim();
        lines.extend(tries.iter().map(|attempt| dim.apply_to(words::attempt(attempt)).to_string()));
    }
    lines
}
