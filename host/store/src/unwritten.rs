//! How runs ended whose end is not on disk yet: their journal knows it all the same. Nothing here
//! waits.

use std::collections::{HashMap, VecDeque};

use sandmill_wire::{Outcome, RunId};

use crate::record::RunKey;

/// Ends that are in the queue of the writer. There are no more of them than records that wait, and
/// the values are the same bytes: [`crate::MAX_BACKLOG`] holds for both.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    ends: HashMap<RunKey, (RunId, Outcome)>,
    /// In the order in which they were said, with their places in the queue.
    order: VecDeque<(u64, RunKey)>,
}

impl Unwritten {
    /// A run ended; that is the record at this place of the queue.
    pub(crate) fn add(&mut self, place: u64, key: RunKey, run: RunId, outcome: Outcome) {
        // The first end stays, as it does in the store.
        if let std::collections::hash_map::Entry::Vacant(end) = self.ends.entry(key) {
            end.insert((run, outcome));
            self.order.push_back((place, key));
        }
    }

    /// So many records are on disk.
    pub(crate) fn written(&mut self, durable: u64) {
        while let Some((_, key)) = self.order.pop_front_if(|(place, _)| *place <= durable) {
            self.ends.remove(&key);
        }
    }

    /// How a run ended, where that is not on disk.
    pub(crate) fn get(&self, key: RunKey) -> Option<&(RunId, Outcome)> {
        self.ends.get(&key)
    }
}
