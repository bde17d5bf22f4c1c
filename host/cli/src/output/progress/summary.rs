//! The table at the end: what became of each stage and of the hooks.

use std::time::Duration;

use sandmill::core::units::{format_duration, format_size};

use super::board::Board;
use super::hooks::hook_lines;
use super::stage::StageView;
use crate::output::failure::short;
use crate::output::table::Table;
use crate::output::ui::{dim, red, yellow};
use crate::text::thousands;

/// The lines of the table, and below it those of hooks.
pub(crate) fn summary_lines(board: &Board) -> Vec<String> {
    let mut table = Table::right_aligned([1, 2, 3, 4, 5, 6, 7, 8]);
    let cancelled = board.word_for_cancelled();
    let heads =
        ["stage", "runs", "completed", "failed", cancelled, "time", "mean", "slowest", "memory"];
    table.row(heads.map(|head| dim().apply_to(head).to_string()));
    board.tasks().for_each(|stage| table.row(cells(stage)));
    let mut lines = table.lines("  ");
    lines.extend(hook_lines(board.hooks()));
    lines
}

fn cells(stage: &StageView) -> [String; 9] {
    let counts = &stage.counts;
    let number =
        |count: u64| if count == 0 { dim().apply_to("-").to_string() } else { thousands(count) };
    let failed = match counts.bad() {
        0 => number(0),
        bad => red().apply_to(thousands(bad)).to_string(),
    };
    let cancelled = match counts.cancelled {
        0 => number(0),
        cancelled => yellow().apply_to(thousands(cancelled)).to_string(),
    };
    let micros = |micros: u64| format_duration(Duration::from_micros(micros));
    let time = match (stage.started, stage.ended) {
        (Some(started), Some(ended)) => format_duration(ended.duration_since(started)),
        _ => "-".to_owned(),
    };
    let ran = counts.done().max(1);
    let used = counts.done() > 0;
    let or_dash = |text: String| if used { text } else { "-".to_owned() };
    [
        short(&stage.name),
        number(counts.submitted),
        number(counts.completed),
        failed,
        cancelled,
        time,
        or_dash(micros(stage.busy_micros / ran)),
        or_dash(micros(stage.slowest_micros)),
        or_dash(format_size(stage.peak_memory)),
    ]
}
