//! The command line as clap sees it: the root, the flags that every command has, and the list of
//! commands. Each command's own arguments are with the command.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    call::CallArgs, completions::CompletionsArgs, config::ConfigArgs, doctor::DoctorArgs,
    inspect::InspectArgs, map::MapArgs, new::NewArgs, run::RunArgs,
};

const EXAMPLES: &str = "\
Examples:
  sandmill new flow hello                          write a first flow and its task
  sandmill run --build hello                       build it and run it
  sandmill inspect hello/hello.wasm                what is in the component
  sandmill call hello/hello.wasm greet -a name=Ada run one task
  sandmill map hello/hello.wasm greet --each-line names.txt
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
