//! Progress where there is no terminal: a line when a stage starts, one now and then, and one
//! when it is done.

use std::time::{Duration, Instant};

use sandmill::core::units::format_duration;

use super::board::Board;
use super::stage::StageView;
use crate::output::failure::short;
use crate::text::{counted, thousands};

/// How often a stage that goes on says so.
const PERIOD: Duration = Duration::from_secs(5);

/// What was said already.
#[derive(Debug, Default)]
pub(super) struct PlainLines {
    stages: Vec<Said>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    started: bool,
    finished: bool,
    at: Instant,
    done: u64,
}

impl PlainLines {
    /// The lines to say now. `last`: whether nothing comes after.
    pub(super) fn paint(&mut self, board: &Board, last: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, stage) in board.stages().iter().enumerate() {
            if self.stages.len() == at {
                let said = Said { started: false, finished: false, at: Instant::now(), done: 0 };
                self.stages.push(said);
            }
            lines.extend(self.stages[at].say(stage, board.word_for_cancelled(), last));
        }
        lines
    }
}

impl Said {
    fn say(&mut self, stage: &StageView, cancelled: &str, last: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let (counts, name) = (&stage.counts, short(&stage.name));
        let Some(started) = stage.started.filter(|_| !self.finished) else { return lines };
        let done = counts.done();
        let over =
            stage.total.is_some_and(|total| done >= total) || (last && done == counts.submitted);
        // A stage that is over before anybody could say that it started says only that.
        if !self.started && !over {
            self.started = true;
            self.at = Instant::now();
            lines.push(match stage.total {
                Some(total) => format!("{name}: started, {}", counted(total, "run")),
                None => format!("{name}: started"),
            });
        }
        if over {
            self.finished = true;
            let took = stage.ended.unwrap_or_else(Instant::now).duration_since(started);
            let took = format_duration(took);
            let (verb, done) = match (cancelled, counts.cancelled) {
                ("interrupted", stopped @ 1..) => ("stopped", done - stopped),
                _ => ("finished", done),
            };
            let bad = bad(stage, cancelled);
            lines.push(format!("{name}: {verb}, {} done{bad} in {took}", thousands(done)));
        } else if self.at.elapsed() >= PERIOD || (last && done > self.done) {
            let rate =
                done.saturating_sub(self.done) as f64 / self.at.elapsed().as_secs_f64().max(0.001);
            let of = stage.total.map_or(String::new(), |total| format!("/{}", thousands(total)));
            let mut line = format!("{name}: {}{of} done{}", thousands(done), bad(stage, cancelled));
            if !last {
                line.push_str(&format!(", {rate:.0}/s"));
                if let Some(total) = stage.total.filter(|_| rate > 0.0) {
                    let left = (total.saturating_sub(done) as f64 / rate).min(1e9);
                    let left = format_duration(Duration::from_secs(left as u64 + 1));
                    line.push_str(&format!(", {left} left"));
                }
            }
            lines.push(line);
            (self.at, self.done) = (Instant::now(), done);
        }
        lines
    }
}

fn bad(stage: &StageView, cancelled: &str) -> String {
    let mut text = String::new();
    if stage.counts.bad() > 0 {
        text.push_str(&format!(", {} failed", thousands(stage.counts.bad())));
    }
    for (count, what) in [
        (stage.counts.cancelled, cancelled),
        (stage.counts.waiting, "wait for a retry"),
        (stage.counts.cached, "cached"),
        (stage.counts.reused, "reused"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", thousands(count)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogChoice;
    use crate::output::progress::Watcher;
    use sandmill::core::{Submitted, Timestamp};
    use sandmill::{Digest, Event, EventKind, Observer as _, RunId, State};

    #[test]
    fn a_stage_says_that_it_starts_and_that_it_is_done() {
        let watcher = Watcher::new(LogChoice::Off);
        watcher.board().expect("count", Some(1));
        let mut lines = PlainLines::default();
        assert!(lines.paint(&watcher.board(), false).is_empty());
        let run = RunId::new();
        let at = Timestamp::default();
        let submitted = Submitted {
            name: "count[0]".into(),
            stage: "count".into(),
            map_index: Some(0),
            parent: None,
            component: Some(Digest::of(b"")),
        };
        let tell = |kind| watcher.on_event(&Event { sequence: 0, at, run, kind });
        tell(EventKind::Submitted(submitted));
        assert_eq!(lines.paint(&watcher.board(), false), ["count: started, 1 run"]);
        assert!(lines.paint(&watcher.board(), false).is_empty());
        let value = sandmill::Outcome::Value(sandmill::Value::default());
        tell(EventKind::State(State::from_outcome(&value, at)));
        let said = lines.paint(&watcher.board(), true);
        assert!(said.len() == 1 && said[0].starts_with("count: finished, 1 done in "), "{said:?}");
        assert!(lines.paint(&watcher.board(), true).is_empty());
    }
}
