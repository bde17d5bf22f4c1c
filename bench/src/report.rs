//! What was measured, as a document of its own and as tables.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::goals::{Goal, Verdict};
use crate::layers::{Layer, layers};
use crate::machine::Machine;
use crate::measure::Measure;
use crate::results::{Cell, Results, StepResults};
use crate::session::Reading;
use crate::table::{Table, short};

const MIB: f64 = 1_048_576.0;

/// The whole of it, as it goes to the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The command line that made it.
    pub(crate) command: String,
    pub(crate) subjects: BTreeMap<&'static str, String>,
    pub(crate) left_out: BTreeMap<&'static str, String>,
    pub(crate) steps: Results,
    pub(crate) layers: Vec<Layer>,
    pub(crate) goals: Vec<Goal>,
}

/// Whether tables are for people at a terminal or for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Markdown,
}

impl Form {
    fn table(self, table: &Table) -> String {
        match self {
            Self::Text => table.text(),
            Self::Markdown => table.markdown(),
        }
    }

    fn heading(self, text: &str) -> String {
        match self {
            Self::Text => format!("\n{text}\n"),
            Self::Markdown => format!("\n### {}{}\n\n", text[..1].to_uppercase(), &text[1..]),
        }
    }
}

impl Report {
    /// All tables, the goals last.
    pub(crate) fn tables(&self, form: Form) -> String {
        let mut text = String::new();
        for step in &self.steps.0 {
            text.push_str(&form.heading(&step.title));
            text.push_str(&form.table(&of_step(step)));
        }
        text.push_str(&form.heading("what each layer costs"));
        text.push_str(&form.table(&of_layers(&self.layers)));
        text.push_str(&form.heading("goals"));
        text.push_str(&form.table(&of_goals(&self.goals)));
        text
    }

    /// The layers of a no-op run, from the steps.
    pub(crate) fn of(
        machine: Machine,
        command: String,
        steps: Results,
        asked: BTreeMap<&'static str, String>,
        left_out: BTreeMap<&'static str, String>,
    ) -> Self {
        let goals = crate::goals::goals(&steps, machine.cores);
        let layers = layers(&steps);
        Self { machine, command, subjects: asked, left_out, steps, layers, goals }
    }
}

fn of_step(step: &StepResults) -> Table {
    let latencies = step.cells.iter().any(|cell| latency(cell, |it| it.0).is_some());
    let starts = matches!(step.measure, Measure::Start { .. });
    let mut head = vec!["subject", "by bare"];
    match (latencies, starts) {
        (true, true) => head.extend(["median ms", "p99 ms", "spread"]),
        (true, false) => head.extend(["median µs", "p99 µs", "spread"]),
        _ => head.extend(["runs/s", "spread", "µs a run", "CPU µs a run"]),
    }
    head.push("peak MiB");
    let mut table = Table::new(&head);
    for cell in &step.cells {
        let Some(entry) = cell.entry() else { continue };
        let label = format!("{}: {}", entry.name, entry.what);
        let Some(rate) = cell.rate() else {
            table.row([label, cell.why.clone().unwrap_or_else(|| "not measured".to_owned())]);
            continue;
        };
        let dash = || "–".to_owned();
        // Round trips are those of one thread for all.
        let against = if step.cell(entry.against).is_some() { entry.against } else { "bare-1" };
        let ratio = step.ratio(cell.subject, against, Reading::rate);
        let mut row = vec![label, ratio.map_or_else(dash, |ratio| short(ratio.median))];
        let spread = format!("{:.0} %", rate.spread() * 100.0);
        if latencies {
            let unit = if starts { 1e3 } else { 1.0 };
            let show = |of: fn((f64, f64)) -> f64| {
                latency(cell, of).map_or_else(dash, |it| short(it / unit))
            };
            row.extend([show(|it| it.0), show(|it| it.1), spread]);
        } else {
            let cpu = cell.cpu_micros().map_or_else(dash, short);
            row.extend([short(rate.median), spread, short(1e6 / rate.median), cpu]);
        }
        let peak = cell.peak_bytes().filter(|&peak| peak > 0);
        row.push(peak.map_or_else(dash, |peak| format!("{:.0}", peak as f64 / MIB)));
        table.row(row);
    }
    table
}

/// The median over rounds of the median or the 99th percentile.
fn latency(cell: &Cell, of: fn((f64, f64)) -> f64) -> Option<f64> {
    let all = cell.over(|it| it.latency.map_or(f64::NAN, |it| of((it.median, it.p99))));
    all.map(|all| all.median)
}

fn of_layers(layers: &[Layer]) -> Table {
    let mut table = Table::new(&["layer", "CPU µs a run", "more than", "by"]);
    for layer in layers {
        let more = layer.more.map_or_else(|| "–".to_owned(), |more| format!("{more:+.2}"));
        let over = layer.over.unwrap_or("–").to_owned();
        table.row([layer.what.to_owned(), short(layer.micros), over, more]);
    }
    table
}

fn of_goals(goals: &[Goal]) -> Table {
    let mut table = Table::new(&["what", "goal", "found", "reached"]);
    for goal in goals {
        let verdict = match goal.verdict {
            Verdict::Reached => "yes",
            Verdict::Missed => "**no**",
            Verdict::NotMeasured => "–",
        };
        table.row([goal.what, goal.goal, &goal.found, verdict].map(str::to_owned));
    }
    table
}
