//! Building a component with a command that the flow names.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{CliError, Result};
use crate::output::Ui;
use crate::signals;

/// Runs `command` in `directory`, and checks that the component is at `path` then.
pub(crate) fn run_command(
    ui: &Ui,
    name: &str,
    command: &[String],
    directory: &Path,
    path: &Path,
) -> Result<()> {
    let Some((program, args)) = command.split_first() else {
        return Err(CliError::input(format!("the build command of component `{name}` is empty")));
    };
    ui.step("Building", format_args!("component {name} ({})", command.join(" ")));
    let failed = |what: String| {
        CliError::infrastructure(format!("component `{name}` could not be built"))
            .detail(what)
            .hint(format!("the command is run in {}", directory.display()))
    };
    // What it says is talk, not a result of ours.
    let talk = || if ui.is_quiet() { Stdio::null() } else { Stdio::from(std::io::stderr()) };
    let status = Command::new(program)
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(talk())
        .stderr(talk())
        .status();
    if signals::interrupted() {
        return Err(CliError::interrupted());
    }
    match status {
        Err(error) => Err(failed(format!("`{program}` cannot be started: {error}"))),
        Ok(status) if !status.success() => {
            Err(failed(format!("`{}` ended with {status}", command.join(" "))))
        }
        Ok(_) if !path.is_file() => {
            Err(failed(format!("the command went well, but there is no `{}`", path.display())))
        }
        Ok(_) => Ok(()),
    }
}
