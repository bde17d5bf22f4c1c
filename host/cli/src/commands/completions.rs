//! `sandmill completions`: the completion script of a shell.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::app::Cli;
use crate::error::{CliError, Result};
use crate::exit_code;

/// Prints the completion script of a shell.
///
/// For bash: `sandmill completions bash > ~/.local/share/bash-completion/completions/sandmill`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sandmill", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::infrastructure("the script cannot be written to stdout").detail(error))
        }
        _ => Ok(exit_code::SUCCESS),
    }
}
