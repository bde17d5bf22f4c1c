//! The live display: a bar for each stage, and below it what is running right now.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use console::Term;
use sandmill::core::units::format_duration;

use super::board::{Running, Watcher};
use super::screen::Show;
use super::stage::StageView;
use crate::output::failure::short;
use crate::output::ui::{bold_green, dim, red};
use crate::text::thousands;

/// Runs that are listed while they are running.
const LISTED: usize = 8;
/// Stages that have a bar at a time: those under way, then the latest ones.
const MOST_BARS: usize = 12;
/// A run that has been running for less is not worth a line.
const LISTED_AFTER: Duration = Duration::from_millis(500);
/// Characters of a stage's name.
const MOST_NAME: usize = 24;
/// How long ago the rate of a stage looks back.
const RATE_WINDOW: Duration = Duration::from_secs(4);
/// Runs in that time that are enough to tell a rate by.
const RATE_RUNS: u64 = 10;
/// Characters of a bar.
const BAR: usize = 28;

/// Makes the lines of the live display.
pub(super) struct LiveDisplay {
    show: Show,
    samples: HashMap<usize, Samples>,
}

/// How far a stage was at some moments: what its rate follows from.
type Samples = VecDeque<(Instant, u64)>;

impl LiveDisplay {
    /// A display of nothing yet.
    pub(super) fn new(show: Show) -> Self {
        Self { show, samples: HashMap::new() }
    }

    /// What `watcher` sees now, in lines that fit the terminal.
    pub(super) fn lines(&mut self, watcher: &Watcher) -> Vec<String> {
        let board = watcher.board();
        let stages = board.stages().to_vec();
        let running = board.running(LISTED + 1);
        let cancelled = board.word_for_cancelled();
        drop(board);
        let width = usize::from(Term::stderr().size().1).saturating_sub(1).max(20);
        let mut lines = Vec::new();
        if self.show == Show::Everything {
            let shown = shown_stages(&stages);
            let widest = shown.iter().map(|&at| stages[at].name.chars().count()).max().unwrap_or(0);
            for at in shown {
                let rate = self.rate(at, &stages[at]);
                lines.push(bar_line(&stages[at], rate, cancelled, widest.min(MOST_NAME), width));
            }
        }
        let in_all = stages.iter().map(|stage| stage.counts.running).sum();
        lines.extend(running_lines(&running, in_all, width));
        lines
    }

    /// Runs a second: of late where there were enough to tell by, else on the whole.
    fn rate(&mut self, at: usize, stage: &StageView) -> f64 {
        let (now, done) = (Instant::now(), stage.counts.done());
        let samples = self.samples.entry(at).or_default();
        while samples.front().is_some_and(|(then, _)| now.duration_since(*then) > RATE_WINDOW) {
            samples.pop_front();
        }
        samples.push_back((now, done));
        let per_second = |since: Instant, count: u64| {
            count as f64 / now.duration_since(since).as_secs_f64().max(0.001)
        };
        match (samples.front(), stage.started) {
            (Some((then, before)), _) if done - before >= RATE_RUNS => {
                per_second(*then, done - before)
            }
            (_, Some(started)) => per_second(started, done),
            _ => 0.0,
        }
    }
}

/// What is running and has been for a while: at most so many, the others are counted.
fn running_lines(running: &[Running], in_all: u64, width: usize) -> Vec<String> {
    let long = running.iter().take(LISTED).filter(|run| run.elapsed >= LISTED_AFTER);
    let mut lines: Vec<String> = long.map(|run| running_line(run, width)).collect();
    let listed = lines.len() as u64;
    if listed > 0 && in_all > listed {
        let more = format!("  … and {} more running", thousands(in_all - listed));
        lines.push(dim().apply_to(more).to_string());
    }
    lines
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

fn bar_line(
    stage: &StageView,
    rate: f64,
    cancelled: &str,
    name_width: usize,
    width: usize,
) -> String {
    let counts = &stage.counts;
    let name =
        console::pad_str(&short(&stage.name), name_width, console::Alignment::Left, Some("…"))
            .into_owned();
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
        line.push_str(&format!(
            "  {}",
            red().apply_to(format_args!("{} failed", thousands(counts.bad())))
        ));
    }
    for (count, what) in [
        (counts.cancelled, cancelled),
        (counts.waiting, "wait for a retry"),
        (counts.cached, "cached"),
        (counts.reused, "reused"),
    ] {
        if count > 0 {
            line.push_str(&format!("  {} {what}", thousands(count)));
        }
    }
    if finished {
        if let (Some(started), Some(ended)) = (stage.started, stage.ended) {
            let took = format_duration(ended.duration_since(started));
            line.push_str(&format!("  {}", dim().apply_to(format_args!("in {took}"))));
        }
    } else if counts.submitted > 0 && rate > 0.0 {
        let shown =
            if rate >= 10.0 { thousands(rate.round() as u64) } else { format!("{rate:.1}") };
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
    let filled = if total == 0 {
        0
    } else {
        (done.min(total) as u128 * BAR as u128 / u128::from(total)) as usize
    };
    let style = if failed { red() } else { bold_green() };
    let full = style.apply_to("━".repeat(filled));
    let rest = dim().apply_to("─".repeat(BAR - filled));
    format!("{full}{rest}")
}

fn running_line(run: &Running, width: usize) -> String {
    let mut line =
        format!("  {} {}", short(&run.name), dim().apply_to(format_duration(run.elapsed)));
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
            total,
            counts: Counts { submitted, completed, ..Counts::default() },
            started: Some(Instant::now()),
            ..StageView::new(name.into())
        }
    }

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let line = bar_line(&stage("count", 300, 250, Some(1000)), 125.0, "cancelled", 6, 200);
        let line = console::strip_ansi_codes(&line).into_owned();
        assert_eq!(
            line,
            format!("count   {}{}  250/1,000  125/s  6s left", "━".repeat(7), "─".repeat(21))
        );
        assert!(
            console::measure_text_width(&bar_line(
                &stage("x", 1, 0, None),
                0.0,
                "cancelled",
                6,
                20
            )) <= 20
        );
    }

    #[test]
    fn stages_under_way_come_first() {
        let mut stages: Vec<_> = (0..40).map(|_| stage("s", 1, 1, Some(1))).collect();
        stages[3].counts.completed = 0;
        let shown = shown_stages(&stages);
        assert_eq!((shown.len(), shown[0], shown[1]), (MOST_BARS, 3, 29));
    }
}
