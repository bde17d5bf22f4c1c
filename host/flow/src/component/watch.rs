//! A set of runs that a flow watches: which of them have ended and were not taken yet, in the
//! order in which they ended.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sandmill_core::FutureKey;

use crate::schedule::Marks;

/// A set of runs that a flow watches.
#[derive(Default)]
pub(super) struct Watch {
    commands: HashMap<u32, Watched>,
    /// How many things were added.
    pub(super) added: u32,
    /// What has ended, in order. One that was taken by its name is left in it until it is the first.
    queue: VecDeque<(FutureKey, u32)>,
    taken: u64,
    /// How long it was waited for so far.
    pub(super) waited: Duration,
}

/// What of one command is watched.
#[derive(Default)]
struct Watched {
    /// The number of the added thing that is all of it.
    all: Option<u32>,
    /// The numbers of the added things that are single runs of it.
    ones: HashMap<u64, u32>,
    /// Runs that are in the queue, or were.
    queued: Marks,
    taken: Marks,
}

impl Watch {
    /// The number of the next thing that is added.
    pub(super) fn next_source(&mut self) -> u32 {
        self.added += 1;
        self.added - 1
    }

    /// Adds one run.
    pub(super) fn add_one(&mut self, command: u32, position: u64, source: u32) {
        self.commands.entry(command).or_default().ones.entry(position).or_insert(source);
    }

    /// Adds all runs of a command.
    pub(super) fn add_all(&mut self, command: u32, source: u32) {
        self.commands.entry(command).or_default().all.get_or_insert(source);
    }

    /// Takes notice that a run has ended; of one that it does not watch, or has had, none.
    pub(super) fn on_end(&mut self, command: u32, position: u64, index: Option<u64>) {
        let Some(watched) = self.commands.get_mut(&command) else { return };
        let Some(source) = watched.ones.get(&position).copied().or(watched.all) else { return };
        if !watched.queued.has(position) {
            watched.queued.set(position);
            self.queue.push_back((FutureKey { command, index }, source));
        }
    }

    /// Takes the next one that has ended.
    pub(super) fn take(&mut self) -> Option<(FutureKey, u32)> {
        self.drop_taken();
        let next = self.queue.pop_front()?;
        self.took(next.0);
        Some(next)
    }

    /// Takes this one, if it has ended and was not taken. Wherever it is in the queue, that costs the
    /// same: a flow that is replayed takes each of its runs so.
    pub(super) fn take_this(&mut self, key: FutureKey) -> bool {
        let position = key.index.unwrap_or(0);
        let waits =
            |watched: &Watched| watched.queued.has(position) && !watched.taken.has(position);
        if !self.commands.get(&key.command).is_some_and(waits) {
            return false;
        }
        self.took(key);
        self.drop_taken();
        true
    }

    /// Takes out of the front of the queue what was taken by its name.
    fn drop_taken(&mut self) {
        while let Some((key, _)) = self.queue.front()
            && let Some(watched) = self.commands.get(&key.command)
            && watched.taken.has(key.index.unwrap_or(0))
        {
            self.queue.pop_front();
        }
    }

    fn took(&mut self, key: FutureKey) {
        self.taken += 1;
        if let Some(watched) = self.commands.get_mut(&key.command) {
            watched.taken.set(key.index.unwrap_or(0));
        }
    }

    /// Whether it will yet bring this run.
    pub(super) fn wants(&self, command: u32, position: u64) -> bool {
        self.commands.get(&command).is_some_and(|watched| {
            (watched.all.is_some() || watched.ones.contains_key(&position))
                && !watched.taken.has(position)
        })
    }

    /// How many runs it brings in all, and how many it has not brought yet; none for the first
    /// while that is not known. `total` says how many runs a command has.
    pub(super) fn counts(&self, total: impl Fn(u32) -> Option<u64>) -> (Option<u64>, u64) {
        let mut all = Some(0_u64);
        let mut least = 0_u64;
        for (command, watched) in &self.commands {
            let known = match watched.all {
                Some(_) => total(*command),
                None => Some(watched.ones.len() as u64),
            };
            least += known.unwrap_or(0);
            all = all.and_then(|sum| Some(sum + known?));
        }
        (all, least.saturating_sub(self.taken))
    }

    /// What is watched: a command, and one run of it or all.
    pub(super) fn watched(&self) -> impl Iterator<Item = (u32, Option<u64>)> + '_ {
        self.commands.iter().flat_map(|(command, watched)| {
            let all = watched.all.map(|_| (*command, None));
            let ones = watched.ones.keys().map(|position| (*command, Some(*position)));
            all.into_iter().chain(ones)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_by_its_name_does_not_come_again() {
        // So many that looking through the queue for each would take minutes.
        const RUNS: u64 = 300_000;
        let mut watch = Watch::default();
        let key = |index: u64| FutureKey { command: 1, index: Some(index) };
        watch.add_all(1, 7);
        assert!(!watch.take_this(key(0)), "it has not ended");
        (0..RUNS).for_each(|at| watch.on_end(1, at, Some(at)));
        for at in (2..RUNS).rev() {
            assert!(watch.take_this(key(at)));
        }
        assert!(!watch.take_this(key(5)), "it was taken");
        assert_eq!(watch.take(), Some((key(0), 7)));
        assert!(watch.take_this(key(1)));
        assert_eq!((watch.take(), watch.queue.len()), (None, 0));
        assert_eq!(watch.counts(|_| Some(RUNS)), (Some(RUNS), 0));
        assert!(!watch.wants(1, 3));
    }
}
