//! What was measured: for each step of the plan and each subject the readings of its rounds.

use serde::Serialize;

use crate::measure::Measure;
use crate::session::Reading;
use crate::stats::Summary;
use crate::subject::{Entry, find};

/// One measurement of the plan, over all subjects.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StepResults {
    pub(crate) title: String,
    #[serde(flatten)]
    pub(crate) measure: Measure,
    pub(crate) rounds: u32,
    pub(crate) cells: Vec<Cell>,
}

/// One subject in one step.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) subject: &'static str,
    /// One a round; none where a round failed.
    pub(crate) readings: Vec<Option<Reading>>,
    /// Why there are none, or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl Cell {
    /// What the rounds came to in this respect.
    pub(crate) fn over(&self, of: impl Fn(&Reading) -> f64) -> Option<Summary> {
        Summary::of(self.readings.iter().flatten().map(of))
    }

    /// Runs in a second.
    pub(crate) fn rate(&self) -> Option<Summary> {
        self.over(Reading::rate)
    }

    /// The peak of its memory, over all rounds.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        self.readings.iter().flatten().map(|reading| reading.peak_bytes).max()
    }

    /// CPU microseconds a run; none where there is too little to tell.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        /// What the system tells is a multiple of a hundredth of a second, for each process.
        const TELLING: f64 = 0.1;
        let all: f64 = self.readings.iter().flatten().map(|reading| reading.cpu_seconds).sum();
        let runs: u64 = self.readings.iter().flatten().map(|reading| reading.runs).sum();
        (all >= TELLING && runs > 0).then(|| all / runs as f64 * 1e6)
    }

    /// The subject.
    pub(crate) fn entry(&self) -> Option<&'static Entry> {
        find(self.subject)
    }
}

impl StepResults {
    /// A subject's cell.
    pub(crate) fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject)
    }

    /// One subject by another, round by round: what disturbs the machine for a while disturbs both.
    pub(crate) fn ratio(
        &self,
        subject: &str,
        against: &str,
        of: impl Fn(&Reading) -> f64,
    ) -> Option<Summary> {
        let (one, other) = (self.cell(subject)?, self.cell(against)?);
        let pairs = one.readings.iter().zip(&other.readings);
        Summary::of(pairs.filter_map(|(one, other)| Some(of(one.as_ref()?) / of(other.as_ref()?))))
    }
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results(pub(crate) Vec<StepResults>);

impl Results {
    /// The last step with such a measure where this subject has readings.
    pub(crate) fn step(&self, subject: &str, is: impl Fn(Measure) -> bool) -> Option<&StepResults> {
        self.0.iter().rev().find(|step| {
            is(step.measure) && step.cell(subject).is_some_and(|cell| cell.rate().is_some())
        })
    }

    /// The no-op map of so many runs.
    pub(crate) fn nothing(&self, subject: &str, runs: u64) -> Option<&StepResults> {
        self.step(subject, |measure| measure == Measure::Nothing { runs })
    }

    /// The longest no-op map that both subjects were in.
    pub(crate) fn longest(&self, subject: &str, other: &str) -> Option<&StepResults> {
        let both = self.0.iter().filter(|step| {
            let has = |name| step.cell(name).is_some_and(|cell| cell.rate().is_some());
            matches!(step.measure, Measure::Nothing { .. }) && has(subject) && has(other)
        });
        both.max_by_key(|step| step.measure.runs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(subject: &'static str, seconds: &[f64]) -> Cell {
        let reading = |&seconds: &f64| {
            let (cpu_seconds, peak_bytes, latency) = (1.0, 7, None);
            Some(Reading { runs: 100, seconds, cpu_seconds, peak_bytes, latency })
        };
        Cell { subject, readings: seconds.iter().map(reading).collect(), why: None }
    }

    #[test]
    fn ratios_are_of_rounds() {
        let measure = Measure::Nothing { runs: 100 };
        let mut slow = cell("pool", &[2.0, 20.0, 200.0]);
        slow.readings.push(None);
        let cells = vec![cell("bare", &[1.0, 10.0, 100.0, 1.0]), slow];
        let step = StepResults { title: String::new(), measure, rounds: 4, cells };
        let ratio = step.ratio("pool", "bare", Reading::rate).unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (0.5, 0.5, 0.5));
        assert_eq!(step.cell("pool").unwrap().cpu_micros(), Some(1e4));
        let results = Results(vec![step]);
        assert!(
            results.longest("pool", "bare").is_some() && results.longest("pool", "x").is_none()
        );
    }
}
