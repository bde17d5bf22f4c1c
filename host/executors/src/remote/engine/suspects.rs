//! Runs that would be given up with one more host: they are put into the engine one at a time, each in
//! an item of its own, so that none of them goes because of another.

use sandmill_transport::engine::ClassId;

use super::carrier::Carrier;
use super::config::TRIAL;
use super::runs::{Entry, Place};

impl Carrier {
    /// Has the next of them be the first of its class, which it gives; none while another is on trial.
    pub(super) fn next_suspect(&mut self) -> Option<ClassId> {
        if self.runs.suspects.is_empty() {
            return None;
        }
        let is_on_trial = |entry: &Entry| {
            entry.is_suspect()
                && match entry.place {
                    Place::Waiting => false,
                    // One that no worker can make keeps nobody waiting for ever.
                    Place::Out { unheld_since, .. } => unheld_since.elapsed() < TRIAL,
                    Place::Held(_) => entry.held_since.elapsed() < TRIAL,
                }
        };
        if self.runs.iter().any(|(_, entry)| is_on_trial(entry)) {
            return None;
        }
        let run = self.runs.suspects.pop_front()?;
        let class = self.runs.get(&run)?.class.clone();
        self.runs.waiting.entry(class.clone()).or_default().push_front(run);
        Some(class)
    }
}
