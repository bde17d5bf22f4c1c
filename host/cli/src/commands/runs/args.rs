//! The arguments of `sandmill runs`: what can be asked of runs that are under way or past.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, value_parser};
use sandmill::StateType;
use sandmill::core::units::parse_duration;
use sandmill::core::{LogLevel, Timestamp};

use crate::arguments::Assignment;
use crate::flags::{ExecutorFlags, LogFlags, Settings};
use crate::output::moment;

const EXAMPLES: &str = "\
Examples:
  sandmill runs list --state failed --since 2days
  sandmill runs show latest            its stages, and runs worth a look
  sandmill runs explain latest         why it failed or is not running
  sandmill runs resume latest          after a kill: nothing is done twice
  sandmill runs rerun latest --failed  only what failed

ID is that of a flow run or of a run of one of its tasks: whole, its first four
or more characters as far as no other begins so, `latest` for the flow run that
was made last, or `ID/task[3]` for a run of a flow run.

Exit codes: 0 done, 1 a run failed, 2 there is no such run or it cannot be done
to it, 3 infrastructure, 124 timed out, 130 interrupted.";

/// Looks at runs of flows, and resumes, repeats, cancels or deletes them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List flow runs, the latest first
    List(ListArgs),
    /// Show a flow run: its stages, and the runs that failed, are running or were retried
    Show(ShowArgs),
    /// Print what happened, in order
    Events(EventsArgs),
    /// Print what the guests logged
    Logs(LogsArgs),
    /// Print the result of a flow run, or of one of its runs
    Result(ResultArgs),
    /// Say in words why a run failed, or why it is not running, and what to do
    Explain(OneArgs),
    /// Show a flow run that is under way elsewhere, until it ends
    Watch(WatchArgs),
    /// Cancel a flow run or one run of it, also when another process runs it
    Cancel(CancelArgs),
    /// Go on with a flow run that was interrupted: nothing that has ended is done again
    Resume(ResumeArgs),
    /// Run a flow again as a new flow run, with the results that still apply
    Rerun(RerunArgs),
    /// Delete flow runs that have ended, with their results and logs
    Delete(DeleteArgs),
    /// Delete all flow runs that ended long ago, and what nothing needs any more
    Prune(PruneArgs),
}

/// A kind of state, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StateWord {
    /// It waits for its next attempt.
    Scheduled,
    /// It waits for a slot.
    Pending,
    /// It is running.
    Running,
    /// It returned a value.
    Completed,
    /// It failed.
    Failed,
    /// What ran it failed.
    Crashed,
    /// It was cancelled.
    Cancelled,
    /// It was asked to stop and has not yet.
    Cancelling,
    /// It was interrupted and can be resumed.
    #[value(alias = "interrupted")]
    Paused,
}

impl StateWord {
    pub(super) const fn kind(self) -> StateType {
        match self {
            Self::Scheduled => StateType::Scheduled,
            Self::Pending => StateType::Pending,
            Self::Running => StateType::Running,
            Self::Completed => StateType::Completed,
            Self::Failed => StateType::Failed,
            Self::Crashed => StateType::Crashed,
            Self::Cancelled => StateType::Cancelled,
            Self::Cancelling => StateType::Cancelling,
            Self::Paused => StateType::Paused,
        }
    }
}

/// A name, or a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamePattern(pub(super) String);

impl FromStr for NamePattern {
    type Err = String;

    /// Takes what the store's patterns (those of SQLite's GLOB) are: there, a `[` that is not closed
    /// is no error but fits nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty; leave the flag out for all flows".to_owned());
        }
        let mut rest = text;
        while let Some((_, inside)) = rest.split_once('[') {
            let inside = inside.strip_prefix('^').unwrap_or(inside);
            // A `]` that comes first stands for itself.
            let first = inside.chars().next().map_or(0, char::len_utf8);
            let closed = inside.get(first..).and_then(|after| after.split_once(']'));
            let Some((_, after)) = closed else {
                return Err(format!(
                    "the `[` before `{inside}` is not closed by a `]`; `[[]` stands for a `[`"
                ));
            };
            rest = after;
        }
        Ok(Self(text.to_owned()))
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only flow runs in this state; may be given more than once.
    #[arg(long, value_enum, value_name = "STATE")]
    pub(super) state: Vec<StateWord>,
    /// Only runs of the flow of this name, or of those that fit this pattern: `*` stands for
    /// anything, `?` for one character, `[a-c]` for one of these.
    #[arg(long, value_name = "NAME", value_parser = value_parser!(NamePattern))]
    pub(super) flow: Option<NamePattern>,
    /// Only flow runs that were made since: how long ago (2h), a date, or a time in UTC.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    pub(super) since: Option<Timestamp>,
    /// Only flow runs that were made before.
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    pub(super) until: Option<Timestamp>,
    /// Only flow runs with this label; of several labels they have all.
    #[arg(long, value_name = "TEXT")]
    pub(super) label: Vec<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u64).range(1..=100_000))]
    pub(super) limit: u64,
    /// Only sub-flows of this flow run.
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub(super) parent: Option<String>,
    /// Sub-flows too.
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The flow run, or a run of one of its tasks.
    pub(super) id: String,
    /// Every run, not only those worth a look.
    #[arg(long)]
    pub(super) runs: bool,
    /// Every run of this task.
    #[arg(long, value_name = "NAME")]
    pub(super) task: Option<String>,
    /// Every run in this state.
    #[arg(long, value_enum, value_name = "STATE")]
    pub(super) state: Option<StateWord>,
    /// At most so many runs.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(super) limit: u64,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// The flow run, or a run of one of its tasks.
    pub(super) id: String,
    /// Go on with what happens, until the flow run ends.
    #[arg(long, short = 'f')]
    pub(super) follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The flow run, or a run of one of its tasks.
    pub(super) id: String,
    /// Go on with what is logged, until the flow run ends.
    #[arg(long, short = 'f')]
    pub(super) follow: bool,
    /// Only lines of runs of this task.
    #[arg(long, value_name = "NAME")]
    pub(super) task: Option<String>,
    /// Only lines at this level and above.
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "trace")]
    pub(super) level: LevelWord,
}

/// A level of log lines, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LevelWord {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl LevelWord {
    pub(super) const fn level(self) -> LogLevel {
        match self {
            Self::Trace => LogLevel::Trace,
            Self::Debug => LogLevel::Debug,
            Self::Info => LogLevel::Info,
            Self::Warn => LogLevel::Warn,
            Self::Error => LogLevel::Error,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ResultArgs {
    /// The flow run, or a run of one of its tasks.
    pub(super) id: String,
    /// Write the bytes of a binary result, or the text of a string, to this file (`-`: stdout)
    /// in place of JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) raw: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The flow run, or a run of one of its tasks.
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The flow run.
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The flow run, or one run of a task of it; then the flow goes on without that.
    pub(super) id: String,
    /// Do not wait until it has ended.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// How long to wait until it has ended. The hook on exit of a flow that nobody runs is called
    /// here, and has its own time.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1m")]
    pub(super) wait: Duration,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The flow run.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) executor: ExecutorFlags,
    #[command(flatten)]
    pub(super) logs: LogFlags,
}

#[derive(Debug, Args)]
pub(super) struct RerunArgs {
    /// The flow run to repeat.
    pub(super) id: String,
    /// Use the results of all runs that completed, also of those with grants, so that only what
    /// failed is run again. Without this, only results that follow from their arguments alone are
    /// used again.
    #[arg(long, conflicts_with = "fresh")]
    pub(super) failed: bool,
    /// Use no result again: run everything.
    #[arg(long)]
    pub(super) fresh: bool,
    /// Run the flow file, or the component of a flow, as it is now at its path, in place of what the
    /// history has of it. The results of all runs that completed are used again where task,
    /// component and arguments are still the same, unless --fresh.
    #[arg(long)]
    pub(super) updated: bool,
    /// Another value of a parameter: VALUE is text, or JSON, by the parameter's type; `@FILE` is
    /// what is in the file, read in the same way.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = value_parser!(Assignment))]
    pub(super) parameters: Vec<Assignment>,
    /// A word by which the new flow run can be found.
    #[arg(long = "label", value_name = "TEXT")]
    pub(super) labels: Vec<String>,
    #[command(flatten)]
    pub(super) executor: ExecutorFlags,
    #[command(flatten)]
    pub(super) logs: LogFlags,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The flow runs.
    #[arg(required = true)]
    pub(super) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Only flow runs that ended so long ago.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) older_than: Duration,
    /// Only flow runs that ended in this state; may be given more than once.
    #[arg(long, value_enum, value_name = "STATE")]
    pub(super) state: Vec<StateWord>,
    /// Only say what would be deleted.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl RunsArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        match &self.action {
            Action::Resume(args) => [args.executor.settings(), args.logs.settings()].concat(),
            Action::Rerun(args) => [args.executor.settings(), args.logs.settings()].concat(),
            _ => Settings::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_whole() {
        for good in ["census", "c*", "?", "[a-c]*", "[^a]", "[]]", "[^]a]", "[[]x", "a]"] {
            assert_eq!(good.parse(), Ok(NamePattern(good.to_owned())));
        }
        for bad in ["", "[", "a[", "[]", "[^]", "[a]b[c", "[ü"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
