//! States and attempts in a few words, with their colours.

use console::Style;
use sandmill::core::units::format_duration;
use sandmill::store::{AttemptRecord, RunRecord};
use sandmill::{State, StateType};

use super::counts::RunCounts;
use crate::output::{moment, short};
use crate::text::{counted, state_words, thousands};

/// The colour of a state.
fn style(state: &State) -> Style {
    match state.kind {
        StateType::Completed => Style::new().green(),
        StateType::Failed | StateType::Crashed => Style::new().red(),
        StateType::Cancelled | StateType::Cancelling | StateType::Paused => Style::new().yellow(),
        StateType::Running => Style::new().cyan(),
        _ => Style::new().dim(),
    }
}

/// The name of a state: `timed out`.
pub(super) fn state_name(state: &State) -> String {
    short(&state_words(&state.name))
}

/// The name of a state, in its colour.
pub(super) fn state_cell(state: &State) -> String {
    style(state).apply_to(state_name(state)).to_string()
}

/// The first line of a state's message, after a colon; nothing where there is none.
pub(super) fn because(state: &State) -> String {
    let message = state.message.as_deref().unwrap_or_default();
    match message.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(first) => format!(": {}", short(first)),
        None => String::new(),
    }
}

/// The time that a run took: its last attempt, or what it has been at.
pub(super) fn took(run: &RunRecord) -> Option<String> {
    let started = run.started?;
    let until = match run.ended {
        Some(ended) => ended,
        None if run.state.kind == StateType::Running => moment::now(),
        None => return None,
    };
    Some(format_duration(moment::between(started, until)))
}

/// How an attempt ended: `attempt 2: failed after 5ms: 3 is odd`.
pub(super) fn attempt(attempt: &AttemptRecord) -> String {
    let took = format_duration(moment::between(attempt.started, attempt.ended));
    let outcome = match attempt.outcome.as_str() {
        "value" => "returned a value",
        "failure" => "failed",
        other => other,
    };
    let mut text = format!("attempt {}: {} after {took}", attempt.number, short(outcome));
    if let Some(message) = &attempt.message {
        text.push_str(&format!(": {}", short(message.lines().next().unwrap_or_default())));
    }
    if let Some(at) = attempt.retry_at {
        let waited = moment::between(attempt.ended, at);
        text.push_str(&match waited.as_millis() {
            0 => " (tried again at once)".to_owned(),
            _ => format!(" (tried again after {})", format_duration(waited)),
        });
    }
    text
}

/// Counts of runs in words: `10 of 20 done, 3 failed, 2 retries`.
pub(super) fn counts(counts: &RunCounts) -> String {
    let done = match counts.total {
        Some(total) if total == counts.done => counted(total, "run"),
        Some(total) => format!("{} of {}", thousands(counts.done), counted(total, "run")),
        None => format!("{} done", counted(counts.done, "run")),
    };
    let mut text = done;
    for (count, what) in [
        (counts.bad(), "failed"),
        (counts.cancelled, "cancelled"),
        (counts.running, "running"),
        (counts.waiting, "waiting"),
        (counts.interrupted, "interrupted"),
        (counts.cached, "from the cache"),
        (counts.reused, "used again"),
        (counts.skipped, "skipped"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", thousands(count)));
        }
    }
    if counts.retries > 0 {
        let word = if counts.retries == 1 { "retry" } else { "retries" };
        text.push_str(&format!(", {} {word}", thousands(counts.retries)));
    }
    text
}
