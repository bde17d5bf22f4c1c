//! Writes down what happens to the runs of flows while they go on, from their events. How they
//! end is written by whoever settles them: state and value go into one record.

use std::collections::HashMap;

use parking_lot::Mutex;
use sandmill_core::{Event, EventKind, Observer, StateType};
use sandmill_store::{Journal, RunKey};
use sandmill_wire::RunId;

/// The runs under way, of all flows of a runner.
#[derive(Default)]
pub(super) struct Recorder {
    runs: Mutex<HashMap<RunId, Entry>>,
}

struct Entry {
    journal: Journal,
    key: RunKey,
    attempts: u32,
    /// Whether an attempt is under way.
    runs: bool,
}

impl Recorder {
    /// Writes down what happens to a run from now on; `attempts` were made before.
    pub(super) fn follow(&self, journal: &Journal, key: RunKey, run: RunId, attempts: u32) {
        let entry = Entry { journal: journal.clone(), key, attempts, runs: false };
        self.runs.lock().insert(run, entry);
    }

    /// Lets go of a run that has ended, and says how many attempts were made at it.
    pub(super) fn forget(&self, run: RunId) -> u32 {
        self.runs.lock().remove(&run).map_or(0, |entry| entry.attempts)
    }

    /// Lets go of all runs of a flow, and so of its journal.
    pub(super) fn forget_all(&self, flow: RunId) {
        self.runs.lock().retain(|_, entry| entry.journal.flow() != flow);
    }
}

impl Observer for Recorder {
    fn on_event(&self, event: &Event) {
        let mut runs = self.runs.lock();
        let Some(entry) = runs.get_mut(&event.run) else { return };
        match &event.kind {
            EventKind::State(state) => {
                let waits = state.kind == StateType::Pending;
                // Its host was lost: it waits for another, and that was no attempt.
                let waits_again = waits && std::mem::take(&mut entry.runs);
                if state.kind == StateType::Running {
                    entry.runs = true;
                    entry.attempts = entry.attempts.saturating_add(1);
                } else if waits_again {
                    entry.attempts = entry.attempts.saturating_sub(1);
                }
                // That it waits was said when it was submitted, but not why.
                if !state.is_final() && (!waits || waits_again || state.message.is_some()) {
                    entry.journal.state(entry.key, event.run, state);
                }
            }
            EventKind::Attempt(end) => {
                entry.runs = false;
                entry.attempts = entry.attempts.max(end.number);
                entry.journal.attempt(entry.key, event.run, end);
            }
            _ => {}
        }
    }
}
