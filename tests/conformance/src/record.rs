//! Keeps what is told of runs, by run.

use std::collections::HashMap;

use parking_lot::Mutex;
use sandmill::core::{AttemptEnd, LogLine, Progress};
use sandmill::{Event, EventKind, Observer, RunId, State};

/// All that was told of one run.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The states it went through.
    pub states: Vec<State>,
    /// Its log.
    pub lines: Vec<LogLine>,
    /// Its reports of progress.
    pub progress: Vec<Progress>,
    /// How its attempts ended.
    pub attempts: Vec<AttemptEnd>,
    /// Its name, from its first event.
    pub name: Option<String>,
}

/// An observer that keeps everything until somebody takes it.
#[derive(Default)]
pub struct Record(Mutex<HashMap<RunId, Told>>);

impl Record {
    /// Takes what was told of a run.
    pub fn take(&self, run: RunId) -> Told {
        self.0.lock().remove(&run).unwrap_or_default()
    }
}

impl Record {
    /// Whether a run of this name was in a state of that name or kind.
    pub fn has_been(&self, name: &str, is: impl Fn(&State) -> bool) -> bool {
        self.0
            .lock()
            .values()
            .any(|told| told.name.as_deref() == Some(name) && told.states.iter().any(&is))
    }

    /// The states that runs of this name went through, a run at a time.
    pub fn states_of(&self, name: &str) -> Vec<Vec<State>> {
        let record = self.0.lock();
        let named = record.values().filter(|told| told.name.as_deref() == Some(name));
        named.map(|told| told.states.clone()).collect()
    }
}

impl Observer for Record {
    fn on_event(&self, event: &Event) {
        let mut record = self.0.lock();
        let told = record.entry(event.run).or_default();
        match &event.kind {
            EventKind::Submitted(submitted) => told.name = Some(submitted.name.to_string()),
            EventKind::State(state) => told.states.push(state.clone()),
            EventKind::Log(line) => told.lines.push(line.clone()),
            EventKind::Progress(progress) => told.progress.push(progress.clone()),
            EventKind::Attempt(end) => told.attempts.push(end.clone()),
            _ => {}
        }
    }
}
