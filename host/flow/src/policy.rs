//! What a flow file says beyond calls and their arguments: when a task runs at all, when a map
//! stops, what becomes of failed elements, and what is called around the flow.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{CallOptions, Component};
use sandmill_wire::Value;

/// Time that a hook has unless it says otherwise: 60 s.
pub const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// When a task runs, by how the tasks ended that it waits for (`prefect.triggers` of 0.x). A
/// mapped task that is waited for as a whole counts with each of its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Trigger {
    /// All of them succeeded; skipped ones count as such.
    #[default]
    AllSuccessful,
    /// At least one succeeded.
    AnySuccessful,
    /// None succeeded.
    AllFailed,
    /// At least one did not succeed.
    AnyFailed,
    /// They have ended, however.
    AllFinished,
    /// So many of them succeeded.
    SomeSuccessful {
        /// At least so many.
        at_least: Amount,
        /// At most so many.
        at_most: Option<Amount>,
    },
}

/// A number of runs: as it is, or as a part of all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// So many.
    Count(u64),
    /// From 0 to 1 of all.
    Part(f64),
}

impl Amount {
    /// How many that are of `total`; a part is rounded up.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        self.rounded(total, f64::ceil)
    }

    /// The same, but a part is rounded down: "at most 50%" of 3 is 1.
    #[must_use]
    pub fn at_most_of(self, total: u64) -> u64 {
        self.rounded(total, f64::floor)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part is between 0 and 1, and numbers of runs are far below 2^53"
    )]
    fn rounded(self, total: u64, round: impl Fn(f64) -> f64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Part(part) => {
                let exact = part.clamp(0.0, 1.0) * total as f64;
                let whole = exact.round();
                // 7% of 100 is 7, though 0.07 * 100.0 is a little more, and 0.29 * 100.0 less.
                let is_whole = (exact - whole).abs() <= PART_ERROR * exact.max(1.0);
                (if is_whole { whole } else { round(exact) }) as u64
            }
        }
    }
}

/// How far, as a part of itself, a part of a number may be off a whole one by the way such numbers
/// are computed with: far more than they are, and far less than one run.
const PART_ERROR: f64 = 1e-12;

/// What an argument makes of results that are not there, because their runs did not complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorsMode {
    /// The task does not run: it ends as its trigger says.
    #[default]
    Raise,
    /// Elements that did not complete are left out; what stands for a single result is nil. Of a
    /// mapped argument, the runs for such elements are skipped.
    Skip,
    /// Each element, completed or not, is a map: `state` (its type), `name`, `message`, `run`,
    /// and `value` where there is one.
    States,
}

/// When the failures of a map end it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MapPolicy {
    /// With more failed runs than that, no further ones are started (`--max-fails` of
    /// `HyperQueue`). None: all run.
    pub max_failures: Option<Amount>,
    /// The first failed run stops the others, also those under way.
    pub fail_fast: bool,
}

/// What is called around a flow.
#[derive(Debug, Clone)]
pub struct Hook {
    /// What it is.
    pub action: HookAction,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a hook does.
#[derive(Debug, Clone)]
pub enum HookAction {
    /// A command on the host, with the environment of the flow's process and the flow's facts in
    /// `SANDMILL_*` variables; the state as JSON on its standard input.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Where it runs: the folder of the flow file.
        directory: std::path::PathBuf,
    },
    /// A task.
    Task {
        /// The component that holds it.
        component: Component,
        /// Its name there.
        task: Arc<str>,
        /// Known arguments by name. A parameter `flow` that the task has besides gets a map of
        /// the flow's facts: `name`, `run`, `state`, `state_name`, `message`.
        arguments: Vec<(String, Value)>,
        /// Whether the task has a parameter `flow`.
        takes_flow: bool,
        /// Limits and grants.
        options: Box<CallOptions>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_come_to_whole_numbers_are_these() {
        for total in [1, 3, 7, 100, 300, 1_000, 999_999, 1_000_000] {
            for percent in 0..=100_u32 {
                let part = Amount::Part(f64::from(percent) / 100.0);
                let exact = u64::from(percent) * total;
                let shown = format!("{percent}% of {total}");
                assert_eq!(part.of(total), exact.div_ceil(100), "at least {shown}");
                assert_eq!(part.at_most_of(total), exact / 100, "at most {shown}");
            }
        }
    }
}
