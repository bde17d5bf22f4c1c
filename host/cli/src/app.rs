//! The command line as clap sees it: the root, the flags that every command has, and the list of
//! commands. Each command's own arguments are with the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    cache::CacheArgs, call::CallArgs, cert::CertArgs, completions::CompletionsArgs,
    config::ConfigArgs, doctor::DoctorArgs, inspect::InspectArgs, map::MapArgs, new::NewArgs,
    run::RunArgs, runs::RunsArgs, verify::VerifyArgs, worker::WorkerArgs, workers::WorkersArgs,
};

const EXAMPLES: &str = "\
Examples:
  sandmill new flow hello                          write a first flow and its task
  sandmill run --build hello                       build it and run it
  sandmill inspect hello/hello.wasm                what is in the component
  sandmill call hello/hello.wasm greet -a name=Ada run one task
  sandmill map hello/hello.wasm greet --each-line names.txt
  sandmill runs list                               what was run, and what became of it
  sandmill runs resume latest                      go on after a kill: nothing is done twice
  sandmill doctor                                  is this machine ready?

Exit codes: 0 all succeeded, 1 a run failed, 2 usage or invalid input, 3 infrastructure,
124 timed out, 130 interrupted.";

/// Runs WebAssembly components as sandboxed tasks: one call, a map, or a flow.
///
/// Each run gets a fresh instance and sees its arguments and what it was granted, nothing else.
#[derive(Debug, Parser)]
#[command(name = "sandmill", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalFlags {
    /// How to speak: to people, to programs, or only of errors.
    #[arg(long, short = 'o', global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<OutputFormat>,
    /// When to use colours. `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(crate) color: Option<ColorChoice>,
    /// Where the history of runs and the cache of results are kept (`store.dir`).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How to speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Results and progress for people.
    #[default]
    Human,
    /// Results as JSON with stable field names on stdout; talk on stderr.
    Json,
    /// Only the result on stdout, and only errors on stderr.
    Quiet,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a flow
    Run(RunArgs),
    /// Run one task once
    Call(CallArgs),
    /// Run one task over many inputs
    Map(MapArgs),
    /// Look at runs of flows, and resume, repeat, cancel or delete them
    Runs(RunsArgs),
    /// List, explain or clear the results that are kept for later runs of the same call
    Cache(CacheArgs),
    /// Serve slots of this host to others
    Worker(Box<WorkerArgs>),
    /// Look at workers that are there
    Workers(WorkersArgs),
    /// Make certificates and join tokens for links between hosts
    Cert(CertArgs),
    /// Run one task on every executor, and compare the answers byte for byte
    Verify(Box<VerifyArgs>),
    /// Show what is in a component: tasks, schemas, imports, digest, sizes
    Inspect(InspectArgs),
    /// Write a new task crate or flow
    New(NewArgs),
    /// Check whether this machine is ready, and say what to do where it is not
    Doctor(DoctorArgs),
    /// Show or check the configuration
    Config(ConfigArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Compile one component for the process that started this one: it asks on standard input
    #[command(hide = true)]
    CompileChild,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
