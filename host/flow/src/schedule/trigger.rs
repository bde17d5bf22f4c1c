//! Triggers: whether a task runs, by how many of the runs that it waits for succeeded.

use crate::policy::Trigger;

/// How many runs ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) succeeded: u64,
    pub(super) skipped: u64,
    pub(super) failed: u64,
}

impl Tally {
    pub(super) const fn total(self) -> u64 {
        self.succeeded + self.skipped + self.failed
    }

    pub(super) const fn and(self, more: Self) -> Self {
        Self {
            succeeded: self.succeeded + more.succeeded,
            skipped: self.skipped + more.skipped,
            failed: self.failed + more.failed,
        }
    }
}

impl Trigger {
    /// The name by which flow files know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllSuccessful => "all-successful",
            Self::AnySuccessful => "any-successful",
            Self::AllFailed => "all-failed",
            Self::AnyFailed => "any-failed",
            Self::AllFinished => "all-finished",
            Self::SomeSuccessful { .. } => "some-successful",
        }
    }

    /// Whether it holds when so many runs ended so. A skipped run counts as one that succeeded
    /// (Prefect 0.x, where `Skipped` is a kind of `Success`).
    pub(super) fn holds(self, tally: Tally) -> bool {
        let total = tally.total();
        let succeeded = tally.succeeded + tally.skipped;
        match self {
            Self::AllSuccessful => tally.failed == 0,
            Self::AnySuccessful => succeeded > 0,
            Self::AllFailed => succeeded == 0,
            Self::AnyFailed => tally.failed > 0,
            Self::AllFinished => true,
            Self::SomeSuccessful { at_least, at_most } => {
                succeeded >= at_least.of(total)
                    && at_most.is_none_or(|most| succeeded <= most.at_most_of(total))
            }
        }
    }

    /// Whether it cannot hold any more, however many further runs end how.
    pub(super) const fn is_lost(self, tally: Tally) -> bool {
        match self {
            Self::AllSuccessful => tally.failed > 0,
            Self::AllFailed => tally.succeeded + tally.skipped > 0,
            _ => false,
        }
    }

    /// Why it does not hold, for people.
    pub(super) fn why_not(self, tally: Tally) -> String {
        let (total, succeeded) = (tally.total(), tally.succeeded + tally.skipped);
        let wanted = match self {
            Self::SomeSuccessful { at_least, at_most } => {
                let least = at_least.of(total);
                match at_most {
                    Some(most) => format!(", not {least} to {}", most.at_most_of(total)),
                    None => format!(", not {least} or more"),
                }
            }
            _ => String::new(),
        };
        format!("trigger {}: {succeeded} of {total} succeeded{wanted}", self.name())
    }
}
