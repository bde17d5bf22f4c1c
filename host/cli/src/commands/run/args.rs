//! The arguments of `sandmill run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use sandmill::core::units::parse_duration;

use super::component::NamedComponent;
use crate::arguments::Assignment;
use crate::flags::{ExecutorFlags, GrantFlags, LimitFlags, LogFlags, Settings};
use crate::overrides::Overrides;
use crate::policy_flags::FlowPolicyFlags;
use crate::trace;

const EXAMPLES: &str = "\
Examples:
  sandmill run --build examples/census             build what the flow names, then run it
  sandmill run examples/census -p root=./src -p top=5
  sandmill run flow.toml --executor inline --logs  one run at a time, with all it logs
  sandmill run flow.toml --output json | jq .result
  sandmill run flows.wasm#fan_out -p runs=100      a flow that is code in a component
  sandmill run nightly --idempotency-key 2026-11-21 --label nightly

The whole file is checked first: all faults are printed with line and column, and nothing runs.
Limits, grants, retries and so on that are given as flags stand over those in the file.

Everything that happens is written to the data directory (`store.dir`), so a flow that was
interrupted, however, goes on where it was: `sandmill runs resume ID`.

Exit codes: 0 all succeeded, 1 a run failed, 2 the flow or a parameter is invalid,
3 infrastructure, 124 the flow timed out, or runs failed and all that did timed out,
130 interrupted.";

/// Runs a flow and prints its result.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The flow: a flow.toml, a folder that holds one, or `component.wasm#flow` for a flow that is
    /// code in a component.
    pub(super) flow: PathBuf,
    /// Build the components that the flow says how to build: with `cargo component` where it is
    /// installed, else with plain cargo. Adds a missing wasm target through rustup.
    #[arg(long)]
    pub(super) build: bool,
    /// A parameter of the flow: VALUE is text, or JSON, by the parameter's type; `@FILE` is what
    /// is in the file, read in the same way; `@@` stands for a leading `@`.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = value_parser!(Assignment))]
    pub(super) parameters: Vec<Assignment>,
    /// A component whose tasks a flow component calls by this name; its own needs no name. May be
    /// given more than once.
    #[arg(long = "component", value_name = "NAME=FILE", value_parser = value_parser!(NamedComponent))]
    pub(super) components: Vec<NamedComponent>,
    #[command(flatten)]
    pub(super) history: HistoryFlags,
    #[command(flatten)]
    executor: ExecutorFlags,
    #[command(flatten)]
    policy: FlowPolicyFlags,
    #[command(flatten)]
    limits: LimitFlags,
    /// How long the flow may take, each time that it is started or resumed; beyond: timed-out.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Limits of each run")]
    flow_timeout: Option<Duration>,
    #[command(flatten)]
    grants: GrantFlags,
    #[command(flatten)]
    logs: LogFlags,
}

/// What is written down of the run.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "History")]
pub(crate) struct HistoryFlags {
    /// A word that no two flow runs have: where one has it already, that one is shown, or resumed,
    /// and no other is made. With other parameters, or for another flow, it is refused.
    #[arg(long, value_name = "KEY", conflicts_with = "no_history")]
    pub(super) idempotency_key: Option<String>,
    /// A word by which the flow run can be found (`runs list --label`); may be given more than once.
    #[arg(long = "label", value_name = "TEXT")]
    pub(super) labels: Vec<String>,
    /// Write nothing down: the flow cannot be resumed, and nothing is kept of it.
    #[arg(long)]
    pub(super) no_history: bool,
}

impl RunArgs {
    /// The flags that stand for settings; limits do not: they stand over the flow's own.
    pub(crate) fn settings(&self) -> Settings {
        [self.executor.settings(), self.logs.settings()].concat()
    }

    /// What the command line says over what the flow says.
    pub(super) fn overrides(&self) -> Overrides {
        let settings = [self.executor.settings(), self.limits.settings()].concat();
        Overrides {
            grants: self.grants.grants(),
            retries: self.policy.retries,
            queue_timeout: self.policy.queue_timeout,
            cache: self.policy.cache(),
            flow_timeout: self.flow_timeout,
            trace: trace::from_environment(),
            ..Overrides::of_settings(&settings)
        }
    }
}
