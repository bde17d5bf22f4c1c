//! What subjects are asked and what they answer: lines of JSON on their standard input and output,
//! the same for this program and for the scripts in `peers/`.

use serde::{Deserialize, Serialize};

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// A map of runs that do nothing; results are let go of as they come.
    Nothing { runs: u64 },
    /// The same, with all results held until the last is there.
    Hold { runs: u64 },
    /// A map of runs that compute: `rounds` of the guest's sequence, or `micros` of CPU where there
    /// is no such guest.
    Spin { runs: u64, rounds: u64, micros: u64 },
    /// A map of runs that take so many bytes and give them back.
    Echo { runs: u64, bytes: u64 },
    /// Runs that do nothing, each submitted when the one before has come back.
    RoundTrip { runs: u64 },
    /// A flow of four stages, each mapped over the one before.
    Flow { width: u64 },
    /// Whole processes that make one run each; cold ones find no compiled code.
    Start { runs: u64, cold: bool },
}

impl Measure {
    /// The same with at most so many runs.
    pub(crate) fn at_most(self, most: u64) -> Self {
        match self {
            Self::Nothing { runs } => Self::Nothing { runs: runs.min(most) },
            Self::Hold { runs } => Self::Hold { runs: runs.min(most) },
            Self::Spin { runs, rounds, micros } => {
                Self::Spin { runs: runs.min(most), rounds, micros }
            }
            Self::Echo { runs, bytes } => Self::Echo { runs: runs.min(most), bytes },
            Self::RoundTrip { runs } => Self::RoundTrip { runs: runs.min(most) },
            Self::Flow { width } => Self::Flow { width: width.min((most / STAGES).max(1)) },
            Self::Start { runs, cold } => Self::Start { runs: runs.min(most), cold },
        }
    }

    /// How many runs that is.
    pub(crate) const fn runs(self) -> u64 {
        match self {
            Self::Nothing { runs }
            | Self::Hold { runs }
            | Self::Spin { runs, .. }
            | Self::Echo { runs, .. }
            | Self::RoundTrip { runs }
            | Self::Start { runs, .. } => runs,
            Self::Flow { width } => width * STAGES,
        }
    }
}

/// Stages of the flow of [`Measure::Flow`].
pub(crate) const STAGES: u64 = 4;

/// What a measurement came to, as the subject saw it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Runs that came to a good end.
    pub(crate) runs: u64,
    /// Wall-clock time over all of them.
    pub(crate) seconds: f64,
    /// Time of single runs, where they were made one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// The peak of a process that is gone by now, where that is what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peak_bytes: Option<u64>,
}

/// Time of single runs, in microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half of them were faster.
    pub(crate) median: f64,
    /// 99 % of them were faster.
    pub(crate) p99: f64,
}

impl Latency {
    /// Of these times in seconds; none where there are none.
    pub(crate) fn of(mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_unstable_by(f64::total_cmp);
        let last = seconds.len().checked_sub(1)?;
        let micros = |index: usize| seconds[index.min(last)] * 1e6;
        Some(Self { median: micros(seconds.len() / 2), p99: micros(seconds.len() * 99 / 100) })
    }
}

/// A line that a subject says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub(crate) enum Said {
    /// It can be asked now; what it is, with its version.
    Ready { what: String },
    /// It is not on this machine; what to do about it.
    Missing { why: String },
    /// What was asked for.
    Measured(Answer),
    /// It could not be measured.
    Failed { why: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let latency = Latency::of((1..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((latency.median, latency.p99), (51e6, 100e6));
        assert!(Latency::of(Vec::new()).is_none());
    }

    #[test]
    fn flows_are_cut_by_runs_and_not_by_width() {
        assert_eq!(Measure::Flow { width: 1_000 }.at_most(400).runs(), 400);
        assert_eq!(Measure::Nothing { runs: 10 }.at_most(400).runs(), 10);
    }
}
