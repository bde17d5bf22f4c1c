//! What happened, in order: attempts and changes of state.

use std::sync::Arc;

use sandmill_core::{AttemptEnd, State, Usage};
use sandmill_store::{EventCursor, HistoryEvent, HistoryKind, Reader, RunEnd};
use sandmill_wire::{End, EndKind, Outcome, RunId};

use crate::common::{Fixture, at, end, end_flow, key, stage, submit, value, whole_run};

#[test]
fn attempts_are_all_told_the_last_one_from_the_runs_own_row() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    let (at_key, run) = (key(0, 0), RunId::new());
    journal.submitted(at_key, run, &Arc::from("count"), [0; 16], at(1));
    let attempt = |number: u32, outcome: &str, retry: bool| AttemptEnd {
        number,
        started: at(u64::from(number) * 10),
        ended: at(u64::from(number) * 10 + 5),
        outcome: outcome.to_owned(),
        message: (outcome != "value").then(|| "it took too long".into()),
        usage: Usage { wall_micros: number.into(), ..Usage::default() },
        retry_at: retry.then(|| at(u64::from(number) * 10 + 10)),
    };
    let attempts =
        [attempt(1, "timed-out", true), attempt(2, "timed-out", true), attempt(3, "value", false)];
    for attempt in &attempts {
        let state = if attempt.number == 1 { State::running } else { State::retrying };
        journal.state(at_key, run, &state(attempt.started));
        journal.attempt(at_key, run, attempt);
        if attempt.retry_at.is_some() {
            journal.state(at_key, run, &State::awaiting_retry(attempt.ended, "it took too long"));
        }
    }
    let end = RunEnd {
        state: State::from_outcome(&value("1"), at(35)),
        outcome: value("1"),
        usage: attempts[2].usage,
        attempts: 3,
        value_of: None,
        cache: None,
    };
    journal.ended(at_key, run, end);
    // One that needed no retry has no row but its own.
    let other =
        whole_run(&journal, key(0, 1), &Outcome::Ended(End::new(EndKind::TimedOut, "slow")), 50);
    let reader = it.reader();
    assert_eq!(reader.attempts(flow, at_key).unwrap(), attempts);
    let only = reader.attempts(flow, key(0, 1)).unwrap();
    assert_eq!(only.len(), 1);
    assert_eq!((only[0].number, &*only[0].outcome), (1, "timed-out"));
    assert_eq!((only[0].started, only[0].ended), (at(51), at(52)));
    assert_eq!(only[0].message.as_deref(), Some("slow"));
    assert_eq!(reader.attempts(flow, key(0, 9)).unwrap(), []);
    assert_eq!(reader.outcome(flow, at_key).unwrap(), Some(value("1")));
    assert_eq!(reader.outcome(flow, key(0, 9)).unwrap(), None);
    assert_eq!(reader.run(flow, key(0, 1)).unwrap().unwrap().run, other);
    // All of it, in order of time.
    let events = all_events(&reader, flow, 3);
    let told: Vec<(u64, String)> = events
        .iter()
        .filter(|event| event.run == Some((run, at_key)))
        .map(|event| (event.at.as_micros() - at(0).as_micros(), words(event)))
        .collect();
    let names = [
        (1, "Pending"),
        (10, "Running"),
        (15, "AwaitingRetry: it took too long"),
        (20, "Retrying"),
        (25, "AwaitingRetry: it took too long"),
        (30, "Retrying"),
        (35, "Completed"),
    ];
    assert_eq!(told, names.map(|(at, name)| (at, name.to_owned())));
}

fn words(event: &HistoryEvent) -> String {
    match &event.kind {
        HistoryKind::State(state) => state.to_string(),
        HistoryKind::Note { kind, message } => format!("{kind}: {message}"),
    }
}

fn all_events(reader: &Reader, flow: RunId, limit: usize) -> Vec<HistoryEvent> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let (events, cursor) = reader.events(flow, after.take(), limit).unwrap();
        assert!(events.len() <= limit);
        all.extend(events);
        if cursor.is_at_end() {
            return all;
        }
        after = Some(cursor);
    }
}

#[test]
fn everything_that_happened_is_told_in_order_of_time_once() {
    let it = Fixture::new();
    let (journal, other) = (it.flow("census", 0), it.flow("other", 0));
    let flow = journal.flow();
    journal.flow_state(&State::running(at(1)));
    for journal in [&journal, &other] {
        journal.stage(&stage(0, "count", true, None));
    }
    // Many overlap: each is submitted at 10 i and ends at 10 i + 95, amid those of another flow.
    let mut runs = Vec::new();
    for index in 0..3_000_u64 {
        let run = submit(&journal, key(0, index), 10 * index + 10);
        journal.state(key(0, index), run, &State::running(at(10 * index + 13)));
        runs.push(run);
        whole_run(&other, key(0, index), &value("1"), 10 * index);
        if let Some(before) = index.checked_sub(9) {
            let run = runs[usize::try_from(before).unwrap()];
            end(&journal, key(0, before), run, &value("1"), 10 * index + 15);
        }
    }
    for index in 2_991..3_000_u64 {
        let run = runs[usize::try_from(index).unwrap()];
        end(&journal, key(0, index), run, &value("1"), 10 * index + 105);
    }
    journal.note(at(40_000), "hook", "on_exit ended");
    end_flow(&journal, &value("3000"), 50_000);
    drop(other);
    let reader = it.reader();
    for limit in [1_000, 7_777] {
        let events = all_events(&reader, flow, limit);
        assert!(events.is_sorted_by_key(|event| event.at));
        // Three of each run, and of the flow run: pending, running, the note, the end.
        assert_eq!(events.len(), 3 * 3_000 + 4);
        let of_flow: Vec<String> =
            events.iter().filter(|event| event.run.is_none()).map(words).collect();
        assert_eq!(of_flow, ["Pending", "Running", "hook: on_exit ended", "Completed"]);
        let of_one: Vec<String> = events
            .iter()
            .filter(|event| event.run.is_some_and(|(run, _)| run == runs[100]))
            .map(words)
            .collect();
        assert_eq!(of_one, ["Pending", "Running", "Completed"]);
    }
}

#[test]
fn a_follower_gets_what_is_new_and_nothing_twice() {
    let it = Fixture::new();
    let journal = it.flow("census", 0);
    let flow = journal.flow();
    journal.stage(&stage(0, "count", true, None));
    let reader = it.reader();
    let mut cursor: Option<EventCursor> = None;
    let mut follow = || -> Vec<String> {
        it.store.sync(None).unwrap();
        let (events, next) = reader.events(flow, cursor.take(), 100).unwrap();
        assert!(next.is_at_end());
        cursor = Some(next);
        events.iter().map(words).collect()
    };
    assert_eq!(follow(), ["Pending"]);
    assert_eq!(follow(), [""; 0]);
    journal.flow_state(&State::running(at(1)));
    let run = submit(&journal, key(0, 0), 2);
    assert_eq!(follow(), ["Running", "Pending"]);
    journal.state(key(0, 0), run, &State::running(at(3)));
    let other = submit(&journal, key(0, 1), 4);
    assert_eq!(follow(), ["Running", "Pending"]);
    journal.state(key(0, 0), run, &State::awaiting_retry(at(5), "it broke"));
    journal.state(key(0, 0), run, &State::retrying(at(6)));
    assert_eq!(follow(), ["AwaitingRetry: it broke", "Retrying"]);
    journal.state(key(0, 1), other, &State::running(at(7)));
    end(&journal, key(0, 1), other, &value("1"), 8);
    end(&journal, key(0, 0), run, &value("1"), 9);
    assert_eq!(follow(), ["Running", "Completed", "Completed"]);
    journal.note(at(10), "hook", "on_exit ended");
    end_flow(&journal, &value("2"), 11);
    assert_eq!(follow(), ["hook: on_exit ended", "Completed"]);
    assert_eq!(follow(), [""; 0]);
}
