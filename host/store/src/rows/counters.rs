//! Counts of a stage's runs, kept up as they change, so that nobody has to count rows.

use std::collections::BTreeMap;

use sandmill_core::Timestamp;
use sandmill_wire::RunId;

use super::columns::kind_number;
use super::run::RunRow;

/// Names of final states that are counted apart; runs by further names are counted as `Other`.
const MAX_NAMES: usize = 64;

/// What the runs of a stage add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Runs by the number of their state's kind.
    pub(crate) by_state: [u64; 9],
    /// Of the completed, those by the name Skipped.
    pub(crate) skipped: u64,
    /// Of the completed, those by the name Cached.
    pub(crate) cached: u64,
    /// Of the ended, those with the value of an earlier run.
    pub(crate) reused: u64,
    /// Attempts beyond the first, of all runs.
    pub(crate) retried: u64,
    /// Ended runs by the name of their state.
    pub(crate) names: BTreeMap<String, u64>,
    pub(crate) first_started: Option<Timestamp>,
    pub(crate) last_ended: Option<Timestamp>,
    /// Wall time of the last attempts of ended runs, summed up.
    pub(crate) busy_micros: u64,
    pub(crate) slowest_micros: u64,
    /// The run that took so long.
    pub(crate) slowest: Option<RunId>,
    pub(crate) peak_memory: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) fuel: u64,
}

impl Counters {
    /// How many runs there are.
    pub(crate) fn runs(&self) -> u64 {
        self.by_state.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Counts a run in.
    pub(crate) fn add(&mut self, run: &RunRow) {
        self.sums(run, u64::saturating_add);
        if let Some(started) = run.started {
            let first = self.first_started.unwrap_or(started);
            self.first_started = Some(first.min(started));
        }
        if run.state.is_final() {
            self.last_ended = self.last_ended.max(Some(run.state.at));
            self.peak_memory = self.peak_memory.max(run.usage.peak_memory);
            if run.usage.wall_micros > self.slowest_micros {
                self.slowest_micros = run.usage.wall_micros;
                self.slowest = Some(run.run);
            }
        }
    }

    /// Counts a run out. What is the most or the least of all stays.
    pub(crate) fn remove(&mut self, run: &RunRow) {
        self.sums(run, u64::saturating_sub);
    }

    fn sums(&mut self, run: &RunRow, by: fn(u64, u64) -> u64) {
        let change = |sum: &mut u64, amount: u64| *sum = by(*sum, amount);
        // A kind's number is within the array: see `kind_number`.
        let kind = usize::try_from(kind_number(run.state.kind)).unwrap_or(0);
        change(&mut self.by_state[kind], 1);
        change(&mut self.retried, run.attempts.saturating_sub(1).into());
        if !run.state.is_final() {
            return;
        }
        let name = &*run.state.name;
        change(&mut self.skipped, u64::from(name == "Skipped"));
        change(&mut self.cached, u64::from(name == "Cached"));
        change(&mut self.reused, u64::from(run.value_of.is_some()));
        change(&mut self.busy_micros, run.usage.wall_micros);
        change(&mut self.input, run.usage.input);
        change(&mut self.output, run.usage.output);
        change(&mut self.fuel, run.usage.fuel.unwrap_or(0));
        match self.names.get_mut(name) {
            Some(count) => change(count, 1),
            None => {
                let name = if self.names.len() < MAX_NAMES { name } else { "Other" };
                change(self.names.entry(name.to_owned()).or_default(), 1);
            }
        }
    }
}
