//! The live display: a bar for each stage, and below it what is running right now.

use std::collections::HashMap;
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sandmill::core::units::format_duration;

use super::board::{Running, StageView, Watcher};
use crate::output::failure::short;
use crate::output::ui::{bold_green, dim, red};
use crate::text::thousands;

/// Runs that are listed while they are running.
const LISTED: usize = 8;
/// Stages that have a bar at a time: those under way, then the latest ones.
const MOST_BARS: usize = 12;
/// A run that has been running for less is not worth a line.
const LISTED_AFTER: Duration = Duration::from_millis(500);
/// Characters of a bar.
const BAR: usize = 28;
/// How often at most the terminal is drawn to, a second.
const DRAWS: u8 = 12;

/// A live display.
pub(super) struct LiveDisplay {
    display: MultiProgress,
    bars: HashMap<usize, ProgressBar>,
    rows: Vec<ProgressBar>,
    rates: HashMap<usize, Rate>,
}

/// How fast a stage goes: its runs over the last moments, smoothed.
#[derive(Debug, Clone, Copy)]
struct Rate {
    done: u64,
    at: std::time::Instant,
    per_second: f64,
}

impl LiveDisplay {
    /// A display with nothing on it.
    pub(super) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS);
        Self {
            display: MultiProgress::with_draw_target(target),
            bars: HashMap::new(),
            rows: Vec::new(),
            rates: HashMap::new(),
        }
    }

    /// What others write above.
    pub(super) fn display(&self) -> &MultiProgress {
        &self.display
    }

    /// Takes everything off the screen.
    pub(super) fn clear(self) {
        // A screen that cannot be cleared is not worth an error.
        let _ = self.display.clear();
    }

    /// Draws what `watcher` sees now.
    pub(super) fn paint(&mut self, watcher: &Watcher) {
        let board = watcher.board();
        let stages = board.stages().to_vec();
        let running = board.running(LISTED + 1);
        let in_all: u64 = stages.iter().map(|stage| stage.counts.running).sum();
        drop(board);
        let shown = shown_stages(&stages);
        let widest = shown.iter().map(|&at| stages[at].name.chars().count()).max().unwrap_or(0);
        let width = usize::from(Term::stderr().size().1).saturating_sub(1).max(20);
        self.bars.retain(|at, bar| {
            let stays = shown.contains(at);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for (position, &at) in shown.iter().enumerate() {
            let rate = self.rate(at, stages[at].counts.done());
            let line = bar_line(&stages[at], rate, widest.min(24), width);
            let bar = self.bars.entry(at).or_insert_with(|| {
                self.display.insert(position, row())
            });
            bar.set_message(line);
        }
        self.list(&running, in_all, width);
    }

    fn list(&mut self, running: &[Running], in_all: u64, width: usize) {
        let mut lines: Vec<String> = running
            .iter()
            .take(LISTED)
            .filter(|run| run.elapsed >= LISTED_AFTER)
            .map(|run| running_line(run, width))
            .collect();
        let listed = lines.len() as u64;
        if listed > 0 && in_all > listed {
            let more = format!("  … and {} more running", thousands(in_all - listed));
            lines.push(dim().apply_to(more).to_string());
        }
        while self.rows.len() > lines.len() {
            if let Some(row) = self.rows.pop() {
                row.finish_and_clear();
                self.display.remove(&row);
            }
        }
        while self.rows.len() < lines.len() {
            self.rows.push(self.display.add(row()));
        }
        for (row, line) in self.rows.iter().zip(lines) {
            row.set_message(line);
        }
    }

    fn rate(&mut self, stage: usize, done: u64) -> f64 {
        // Long enough to be calm, short enough to follow a change.
        const MEMORY_SECONDS: f64 = 3.0;
        let now = std::time::Instant::now();
        let rate = self.rates.entry(stage).or_insert(Rate { done, at: now, per_second: 0.0 });
        let passed = now.duration_since(rate.at).as_secs_f64();
        if passed > 0.05 {
            let new = done.saturating_sub(rate.done) as f64 / passed;
            let share = if rate.per_second == 0.0 { 1.0 } else { (passed / MEMORY_SECONDS).min(1.0) };
            rate.per_second += (new - rate.per_second) * share;
            (rate.done, rate.at) = (done, now);
        }
        rate.per_second
    }
}

fn row() -> ProgressBar {
    // The lines are made here, so that they are cut to the terminal's width with their colours.
    let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}

/// The stages to show: all of them where there is room, else those under way and the latest.
fn shown_stages(stages: &[StageView]) -> Vec<usize> {
    if stages.len() <= MOST_BARS {
        return (0..stages.len()).collect();
    }
    let under_way = |at: &usize| {
        let counts = stages[*at].counts;
        counts.submitted > counts.done()
    };
    let mut shown: Vec<usize> = (0..stages.len()).filter(under_way).take(MOST_BARS).collect();
    let rest = (0..stages.len()).rev().filter(|at| !under_way(at) && stages[*at].started.is_some());
    shown.extend(rest.take(MOST_BARS - shown.len()));
    shown.sort_unstable();
    shown
}

fn bar_line(stage: &StageView, rate: f64, name_width: usize, width: usize) -> String {
    let counts = &stage.counts;
    let name = console::pad_str(&short(&stage.name), name_width, console::Alignment::Left, Some("…")).into_owned();
    // A stage that is not mapped has one run, and says so by having submitted just that.
    let total = stage.total.unwrap_or(counts.submitted);
    let done = counts.done();
    let finished = total > 0 && done >= total && stage.total.is_some();
    let mut line = format!("{name}  {}", bar(done, total, counts.bad() > 0));
    if stage.total.is_some() {
        line.push_str(&format!("  {}/{}", thousands(done), thousands(total)));
    } else {
        line.push_str(&format!("  {}", thousands(done)));
    }
    if counts.bad() > 0 {
        line.push_str(&format!("  {}", red().apply_to(format_args!("{} failed", thousands(counts.bad())))));
    }
    if counts.cancelled > 0 {
        line.push_str(&format!("  {} cancelled", thousands(counts.cancelled)));
    }
    if finished {
        if let (Some(started), Some(ended)) = (stage.started, stage.ended) {
            let took = format_duration(ended.duration_since(started));
            line.push_str(&format!("  {}", dim().apply_to(format_args!("in {took}"))));
        }
    } else if counts.submitted > 0 && rate > 0.0 {
        let shown = if rate >= 10.0 { thousands(rate.round() as u64) } else { format!("{rate:.1}") };
        line.push_str(&format!("  {shown}/s"));
        if let Some(left) = time_left(total.saturating_sub(done), rate, stage.total.is_some()) {
            line.push_str(&format!("  {}", dim().apply_to(format_args!("{left} left"))));
        }
    }
    console::truncate_str(&line, width, "…").into_owned()
}

fn time_left(left: u64, rate: f64, known: bool) -> Option<String> {
    // Further than this, a guess is no help.
    const FARTHEST_SECONDS: f64 = 30.0 * 24.0 * 3600.0;
    let seconds = left as f64 / rate;
    let tells = known && left > 0 && seconds < FARTHEST_SECONDS;
    tells.then(|| format_duration(Duration::from_secs((seconds.ceil() as u64).max(1))))
}

fn bar(done: u64, total: u64, failed: bool) -> String {
    let filled = if total == 0 { 0 } else { (done.min(total) as u128 * BAR as u128 / u128::from(total)) as usize };
    let style = if failed { red() } else { bold_green() };
    let full = style.apply_to("━".repeat(filled));
    let rest = dim().apply_to("─".repeat(BAR - filled));
    format!("{full}{rest}")
}

fn running_line(run: &Running, width: usize) -> String {
    let mut line = format!("  {} {}", short(&run.name), dim().apply_to(format_duration(run.elapsed)));
    if let Some(progress) = &run.progress {
        let done = match progress.total {
            Some(total) => format!("{}/{}", thousands(progress.done), thousands(total)),
            None => thousands(progress.done),
        };
        line.push_str(&format!("  {done} {}", short(&progress.message)));
    }
    console::truncate_str(&line, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::progress::Counts;

    fn stage(name: &str, submitted: u64, completed: u64, total: Option<u64>) -> StageView {
        StageView {
            name: name.into(),
            total,
            counts: Counts { submitted, completed, ..Counts::default() },
            started: Some(std::time::Instant::now()),
            ended: None,
            busy_micros: 0,
            slowest_micros: 0,
            peak_memory: 0,
        }
    }

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let line = bar_line(&stage("count", 300, 250, Some(1000)), 125.0, 6, 200);
        let line = console::strip_ansi_codes(&line).into_owned();
        assert_eq!(line, format!("count   {}{}  250/1,000  125/s  6s left", "━".repeat(7), "─".repeat(21)));
        assert!(console::measure_text_width(&bar_line(&stage("x", 1, 0, None), 0.0, 6, 20)) <= 20);
    }

    #[test]
    fn stages_under_way_come_first() {
        let mut stages: Vec<_> = (0..40).map(|_| stage("s", 1, 1, Some(1))).collect();
        stages[3].counts.completed = 0;
        let shown = shown_stages(&stages);
        assert_eq!((shown.len(), shown[0], shown[1]), (MOST_BARS, 3, 29));
    }
}
