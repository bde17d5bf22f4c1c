//! Which tasks of a flow have turned out to be over in moments, and how many of its calls under way are of
//! others: those are kept few, so that what is deeper in the graph does not wait behind them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sandmill_wire::Digest;

/// Runs of a task that typically take less than this are over in moments: 20 ms.
pub const MOMENT: Duration = Duration::from_millis(20);
/// Tasks whose durations a flow remembers; those beyond count as ones that take long.
const MAX_TASKS: usize = 1_024;

/// A task: its component and its name there.
pub(super) type TaskKey = (Digest, Arc<str>);

/// How long the tasks of a flow take.
#[derive(Default)]
pub(super) struct Paces {
    tasks: HashMap<TaskKey, Pace>,
    flying: usize,
    /// Those under way of tasks that take moments.
    short: usize,
}

#[derive(Default)]
struct Pace {
    flying: usize,
    /// Eight times the typical microseconds; none before the first run has ended.
    eighths: Option<u64>,
}

impl Pace {
    fn is_short(&self) -> bool {
        let most = u64::try_from(MOMENT.as_micros()).unwrap_or(u64::MAX);
        self.eighths.is_some_and(|eighths| eighths / 8 < most)
    }
}

impl Paces {
    /// A call is made.
    pub(super) fn begins(&mut self, task: &TaskKey) {
        self.flying += 1;
        if self.tasks.len() >= MAX_TASKS && !self.tasks.contains_key(task) {
            return;
        }
        let pace = self.tasks.entry(task.clone()).or_default();
        pace.flying += 1;
        self.short += usize::from(pace.is_short());
    }

    /// A call has ended, after so long in its slot, where it was in one.
    pub(super) fn ends(&mut self, task: &TaskKey, micros: Option<u64>) {
        self.flying = self.flying.saturating_sub(1);
        let Some(pace) = self.tasks.get_mut(task) else { return };
        let before = if pace.is_short() { pace.flying } else { 0 };
        pace.flying = pace.flying.saturating_sub(1);
        if let Some(micros) = micros {
            let eighths = pace.eighths.unwrap_or(micros.saturating_mul(8));
            pace.eighths = Some((eighths - eighths / 8).saturating_add(micros));
        }
        let after = if pace.is_short() { pace.flying } else { 0 };
        self.short = (self.short + after).saturating_sub(before);
    }

    /// How many calls under way are of tasks that take long, for all that is known.
    pub(super) const fn long(&self) -> usize {
        self.flying.saturating_sub(self.short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_moments_is_told_from_what_takes_long() {
        let mut paces = Paces::default();
        let task = |name: &str| (Digest::of(b"component"), Arc::from(name));
        let (quick, slow) = (task("quick"), task("slow"));
        for _ in 0..3 {
            paces.begins(&quick);
            paces.begins(&slow);
        }
        assert_eq!(paces.long(), 6, "nothing is known yet");
        paces.ends(&quick, Some(10));
        assert_eq!(paces.long(), 3);
        paces.ends(&slow, Some(1_000_000));
        assert_eq!(paces.long(), 2);
        paces.begins(&quick);
        assert_eq!(paces.long(), 2);
        // One that came from the cache says nothing.
        paces.ends(&slow, None);
        assert_eq!(paces.long(), 1);
        // What was quick is slow from now on.
        (0..3).for_each(|_| paces.begins(&quick));
        (0..2).for_each(|_| paces.ends(&quick, Some(10_000_000)));
        assert_eq!(paces.long(), 1 + 4);
        (0..4).for_each(|_| paces.ends(&quick, Some(1)));
        paces.ends(&slow, Some(1));
        assert_eq!(paces.long(), 0);
    }

    #[test]
    fn tasks_beyond_the_most_take_long() {
        let mut paces = Paces::default();
        let task = |number: usize| (Digest::of(b"component"), Arc::from(number.to_string()));
        for number in 0..MAX_TASKS + 5 {
            paces.begins(&task(number));
            paces.ends(&task(number), Some(1));
        }
        assert_eq!((paces.tasks.len(), paces.long()), (MAX_TASKS, 0));
        paces.begins(&task(MAX_TASKS + 1));
        paces.begins(&task(1));
        assert_eq!(paces.long(), 1);
    }
}
