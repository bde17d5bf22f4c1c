//! What the board counts, told event by event.

use super::*;
use sandmill::core::{LogLevel, LogSource, Mapped, Timestamp};
use sandmill::{Digest, End, EndKind, Outcome};

struct Script {
    board: Board,
    sequence: u64,
}

impl Script {
    fn new(logs: LogChoice) -> Self {
        Self { board: Board::new(logs), sequence: 0 }
    }

    fn tell(&mut self, run: RunId, kind: EventKind) {
        let at = Timestamp::from_micros(self.sequence);
        self.board.note(&Event { sequence: self.sequence, at, run, kind });
        self.sequence += 1;
    }

    fn submit(&mut self, stage: &str, index: u64) -> RunId {
        let run = RunId::new();
        let submitted = Submitted {
            name: format!("{stage}[{index}]").into(),
            stage: stage.into(),
            map_index: Some(index),
            parent: None,
            component: Some(Digest::of(b"x")),
        };
        self.tell(run, EventKind::Submitted(submitted));
        self.tell(run, EventKind::State(State::pending(Timestamp::default())));
        run
    }

    fn run(&mut self, run: RunId) {
        self.tell(run, EventKind::State(State::running(Timestamp::default())));
    }

    fn log(&mut self, run: RunId, level: LogLevel, message: &str) {
        let line = LogLine { source: LogSource::Log, level, message: message.to_owned() };
        self.tell(run, EventKind::Log(line));
    }

    fn end(&mut self, run: RunId, outcome: &Outcome) {
        let usage = Usage { wall_micros: 5, ..Usage::default() };
        self.tell(run, EventKind::Used(usage));
        let state = State::from_outcome(outcome, Timestamp::default());
        self.tell(run, EventKind::State(state));
    }
}

fn value() -> Outcome {
    Outcome::Value(sandmill::Value::default())
}

fn ended(kind: EndKind) -> Outcome {
    End::new(kind, "why").into()
}

#[test]
fn runs_are_counted_by_stage_and_forgotten_when_they_end() {
    let mut script = Script::new(LogChoice::Failed);
    let runs: Vec<_> = (0..4).map(|index| script.submit("count", index)).collect();
    script.tell(runs[0], EventKind::Mapped(Mapped { stage: "count".into(), total: 9 }));
    runs.iter().take(3).for_each(|run| script.run(*run));
    assert_eq!(script.board.running(2).len(), 2);
    for line in 0..30 {
        script.log(runs[1], LogLevel::Info, &line.to_string());
    }
    script.end(runs[0], &value());
    script.end(runs[1], &ended(EndKind::TimedOut));
    script.end(runs[2], &ended(EndKind::HostLost));
    script.end(runs[3], &ended(EndKind::Cancelled));
    let stage = &script.board.stages()[0];
    let expected = Counts {
        submitted: 4,
        completed: 1,
        failed: 1,
        timed_out: 1,
        crashed: 1,
        cancelled: 1,
        ..Counts::default()
    };
    assert_eq!((stage.counts, stage.total), (expected, Some(9)));
    assert_eq!((stage.busy_micros, stage.slowest_micros), (20, 5));
    assert!(script.board.live.is_empty() && script.board.running.is_empty());
    let failures = script.board.take_failures();
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[0].lines.len(), KEPT_LINES);
    assert_eq!(failures[0].lines[9].message, "29");
    assert!(script.board.take_failures().is_empty());
}

#[test]
fn what_is_kept_is_bounded() {
    let mut script = Script::new(LogChoice::Warn);
    for index in 0..100 {
        let run = script.submit("s", index);
        script.log(run, LogLevel::Info, "not shown");
        (0..200).for_each(|_| script.log(run, LogLevel::Error, "shown"));
        script.end(run, &ended(EndKind::OutOfMemory));
    }
    assert_eq!(script.board.failures.len(), KEPT_FAILURES);
    let (lines, left_out) = script.board.take_lines();
    assert_eq!((lines.len(), left_out), (WAITING_LINES, 20_000 - WAITING_LINES as u64));
    assert_eq!(script.board.total().failed, 100);
}

#[test]
fn a_reason_to_wait_is_told_once_a_stage() {
    let mut script = Script::new(LogChoice::Off);
    let runs = [script.submit("a", 0), script.submit("a", 1), script.submit("b", 0)];
    for run in runs {
        let why = State::pending_for(Timestamp::default(), "no host carries it");
        script.tell(run, EventKind::State(why));
    }
    let told: Vec<_> = script.board.take_waits().iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(told, ["a[0]", "b[0]"]);
    assert!(script.board.take_waits().is_empty());
    for number in 0..2 * KEPT_WAITS {
        let why = State::pending_for(Timestamp::default(), number.to_string());
        script.tell(runs[0], EventKind::State(why));
    }
    assert_eq!(script.board.take_waits().len(), KEPT_WAITS - 2);
}
