//! What runs say: that they started, their log lines, how far they have come.

use std::time::Duration;

use sandmill_core::{EventKind, LogLevel, LogLine, LogSource, Progress};
use sandmill_executors::worker::{MAX_LINE_BYTES, MAX_NOTE_BYTES};
use sandmill_transport::message::{Note, ToWorker};

use crate::support::*;

fn line(message: impl Into<String>) -> LogLine {
    LogLine { source: LogSource::Log, level: LogLevel::Info, message: message.into() }
}

#[tokio::test]
async fn what_a_run_says_comes_in_order_before_its_end() {
    let script = Script::new(|attempt| {
        for n in 0..10 {
            attempt.events.emit(attempt.run, || EventKind::Log(line(n.to_string())));
        }
        let progress = Progress { done: 1, total: Some(2), message: "half".to_owned() };
        attempt.events.emit(attempt.run, || EventKind::Progress(progress));
        value(attempt.call.arguments.clone())
    });
    let worker = worker(&script, 2);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(50)).await;
    while coordinator.heard.ended.len() < 50 {
        coordinator.hear().await;
        for report in &coordinator.heard.ended {
            let said: Vec<&Note> = coordinator
                .heard
                .notes
                .iter()
                .filter(|noted| noted.of == report.of)
                .map(|noted| &noted.note)
                .collect();
            assert_eq!(said.len(), 12);
            assert_eq!(said[0], &Note::Started);
            for (n, note) in said[1..11].iter().enumerate() {
                assert_eq!(**note, Note::Log(line(n.to_string())));
            }
            assert!(matches!(said[11], Note::Progress(_)));
        }
    }
}

#[tokio::test]
async fn short_runs_say_nothing() {
    let script = Script::echo();
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(100)).await;
    coordinator.until_ended(100).await;
    // Of a hundred at most those that the machine held up.
    assert!(coordinator.heard.notes.len() < 50, "{}", coordinator.heard.notes.len());
}

#[tokio::test]
async fn lines_beyond_the_bound_are_left_out_and_counted_and_the_end_comes() {
    const LINES: usize = 3_000;
    let script = Script::new(|attempt| {
        for _ in 0..LINES {
            attempt.events.emit(attempt.run, || EventKind::Log(line("x".repeat(10_000))));
        }
        value(attempt.call.arguments.clone())
    });
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| !heard.holds.is_empty()).await;
    // Nobody reads: the slot is not held up for ever.
    wait_for(&worker, |status| status.kept == 1).await;
    coordinator.until_ended(1).await;
    let host = |note: &Note| match note {
        Note::Log(line) if line.source == LogSource::Host => Some(line.message.clone()),
        _ => None,
    };
    let last = coordinator.heard.notes.last().and_then(|noted| host(&noted.note)).unwrap();
    let came =
        coordinator.heard.notes.iter().filter(|noted| matches!(noted.note, Note::Log(_))).count();
    let left_out = worker.status().lines_left_out;
    assert_eq!(usize::try_from(left_out).unwrap() + came - 1, LINES);
    assert!(last.starts_with(&format!("{left_out} lines were left out")), "{last}");
    assert!(came * 10_000 < 4 * MAX_NOTE_BYTES, "{came} lines waited");
}

#[tokio::test]
async fn a_line_longer_than_a_message_is_cut() {
    let script = Script::new(|attempt| {
        attempt.events.emit(attempt.run, || EventKind::Log(line("é".repeat(MAX_LINE_BYTES))));
        value(attempt.call.arguments.clone())
    });
    let worker = worker(&script, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until_ended(1).await;
    let Some(Note::Log(line)) = coordinator.heard.notes.last().map(|noted| &noted.note) else {
        panic!("no line");
    };
    assert!(line.message.len() <= MAX_LINE_BYTES + 3 && line.message.ends_with("é…"));
}

#[tokio::test]
async fn what_is_said_while_there_is_no_link_is_kept() {
    let (gate, script) = gated();
    let own = std::sync::Arc::clone(&gate);
    let talker = Script::new(move |attempt| {
        let report = own.pass(attempt);
        attempt.events.emit(attempt.run, || EventKind::Log(line("late")));
        report
    });
    drop(script);
    let worker = worker(&talker, 1);
    let mut coordinator = Coordinator::new(&worker).await;
    coordinator.order(orders(1)).await;
    coordinator.until(|heard| !heard.notes.is_empty()).await;
    let hello = coordinator.hello.clone();
    drop(coordinator);
    wait_for(&worker, |status| !status.sessions[0].linked).await;
    gate.open();
    wait_for(&worker, |status| status.kept == 1).await;
    let mut back = Coordinator::greet(&worker, hello);
    back.until_ended(1).await;
    let said = back.heard.notes.iter().any(|noted| noted.note == Note::Log(line("late")));
    assert!(said, "{:?}", back.heard.notes);
    back.say(ToWorker::Heartbeat).await;
    back.listen(Duration::from_millis(1)).await;
}
