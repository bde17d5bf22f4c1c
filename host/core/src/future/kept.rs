//! A report as it is kept with its run: of the many runs of a map whose results are held, each byte
//! counts, and nearly all of them are values.

use sandmill_wire::{CompactValue, Outcome, RunId};

use crate::{Report, Usage};

/// The report of a run that has ended.
pub(super) struct Kept {
    outcome: KeptOutcome,
    usage: Usage,
    cached_from: Option<Box<RunId>>,
}

/// An outcome that takes no more room than a small value, where it is one.
enum KeptOutcome {
    Value(CompactValue),
    Other(Box<Outcome>),
}

impl Kept {
    /// Whether it is that of a value.
    pub(super) const fn is_success(&self) -> bool {
        matches!(self.outcome, KeptOutcome::Value(_))
    }

    /// The report.
    pub(super) fn report(&self) -> Report {
        let outcome = match &self.outcome {
            KeptOutcome::Value(value) => Outcome::Value(value.to_value()),
            KeptOutcome::Other(outcome) => (**outcome).clone(),
        };
        Report { outcome, usage: self.usage, cached_from: self.cached_from.as_deref().copied() }
    }
}

impl From<Report> for Kept {
    fn from(report: Report) -> Self {
        let outcome = match report.outcome {
            Outcome::Value(value) => KeptOutcome::Value(value.into()),
            other => KeptOutcome::Other(Box::new(other)),
        };
        Self { outcome, usage: report.usage, cached_from: report.cached_from.map(Box::new) }
    }
}

#[cfg(test)]
mod tests {
    use sandmill_wire::{End, EndKind, Value};

    use super::*;

    #[test]
    fn reports_come_back_as_they_were() {
        let usage = Usage { wall_micros: 7, fuel: Some(9), ..Usage::default() };
        let value = Report::new(Outcome::Value(Value::nil()), usage);
        let cached = Report::cached(Outcome::Value(Value::nil()), RunId::new());
        let ended = Report::new(Outcome::Ended(End::new(EndKind::TimedOut, "late")), usage);
        for (report, is_success) in [(value, true), (cached, true), (ended, false)] {
            let kept = Kept::from(report.clone());
            assert_eq!(kept.is_success(), is_success);
            assert_eq!(format!("{:?}", kept.report()), format!("{report:?}"));
        }
        assert!(
            size_of::<Kept>()
                <= size_of::<CompactValue>() + size_of::<Usage>() + size_of::<usize>()
        );
    }
}
