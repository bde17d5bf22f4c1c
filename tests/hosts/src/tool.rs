//! Calls of the programs that make networks (`ip`, `tc`, `iptables`), and whether they can be called.

use std::env;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

/// Whether the tests can make networks here. Only the superuser can; `None` says why not, for
/// whoever reads what the tests print.
///
/// # Panics
/// When this is CI (`CI=true`), where nothing is skipped, or a program is missing.
#[must_use]
pub fn may_make_networks() -> bool {
    let is_root = geteuid().is_root();
    assert!(
        is_root || env::var("CI").as_deref() != Ok("true"),
        "these tests make network namespaces, and have to be run by root"
    );
    if !is_root {
        return false;
    }
    for (program, package) in [("ip", "iproute2"), ("tc", "iproute2"), ("iptables", "iptables")] {
        let mut command = Command::new(program);
        let found = command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(found.is_ok(), "`{program}` is missing: `apt-get install {package}`");
    }
    true
}

/// Calls a program by its words, which no space is in.
///
/// # Panics
/// When it fails.
pub(crate) fn call(line: &str) -> String {
    attempt(line).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, for what may fail: why it did.
pub(crate) fn attempt(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`{line}` cannot be started: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{line}` failed ({}): {}", output.status, said.trim()))
    }
}
