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
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part is between 0 and 1, and numbers of runs are far below 2^53"
    )]
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Part(part) => (part.clamp(0.0, 1.0) * total as f64).ceil() as u64,
        }
    }
}

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
