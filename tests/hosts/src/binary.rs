//! Calls of the binary, away from the configuration and caches of whoever runs the tests.

use std::path::Path;
use std::process::{Command, Stdio};

use sandmill_test_artifacts as artifacts;
use serde_json::Value;

/// The binary's path, as text.
#[must_use]
pub(crate) fn path() -> &'static str {
    artifacts::sandmill_binary().to_str().expect("the target directory's name is UTF-8")
}

/// Gives a command the surroundings of a test: its own data directory, no configuration.
pub(crate) fn surround(command: &mut Command, data: &Path) {
    let scratch = artifacts::scratch();
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("SANDMILL_") || name.starts_with("CARGO_PKG_") {
            command.env_remove(name);
        }
    }
    command
        .stdin(Stdio::null())
        .env("XDG_CONFIG_HOME", scratch.join("no-config"))
        .env("XDG_CACHE_HOME", scratch.join("cache"))
        .env("SANDMILL_STORE__DIR", data);
}

/// The binary with these arguments, on this host.
pub(crate) fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(arguments);
    surround(&mut command, data);
    command
}

/// Calls the binary and waits: what it wrote, if it exited well.
///
/// # Errors
/// What it said, if it did not.
pub(crate) fn call(data: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = command(data, arguments).output().expect("the binary can be started");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("it writes text"))
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{arguments:?}: {}: {said}", output.status))
    }
}

/// The document that a command writes.
///
/// # Errors
/// The command failed, or wrote no document.
pub(crate) fn document(data: &Path, arguments: &[&str]) -> Result<Value, String> {
    let text = call(data, &[arguments, &["--output", "json"]].concat())?;
    serde_json::from_str(&text).map_err(|error| format!("{arguments:?}: {error}: {text}"))
}
