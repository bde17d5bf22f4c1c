//! Calls of cargo and rustup.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::{lock, workspace};

/// What is there of `cargo component`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CargoComponent {
    /// It can be called.
    Installed,
    /// It cannot; tests that need it say that they were skipped.
    Missing,
}

/// Whether `cargo component` can be called.
///
/// # Panics
/// When it cannot and the long tests are asked for (`SANDMILL_LONG_TESTS`): then nothing is skipped.
#[must_use]
pub fn cargo_component() -> CargoComponent {
    let found = command(&["component", "--version"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return CargoComponent::Installed;
    }
    assert!(
        env::var_os("SANDMILL_LONG_TESTS").is_none(),
        "cargo-component is missing: `cargo install cargo-component --debug --locked`"
    );
    CargoComponent::Missing
}

/// Where cargo puts what it builds: where it put this very crate, unless told otherwise.
pub(crate) fn target_directory() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

/// Runs cargo at the top of the repository, alone among all test processes. When there is nothing
/// to do, it is done in well under a second, so each process simply asks.
pub(crate) fn run(arguments: &[&str]) {
    let lock = lock::hold(&target_directory());
    let output = command(arguments).output();
    drop(lock);
    check(&format!("cargo {}", arguments.join(" ")), output);
}

/// Adds a target to the toolchain when it is not there.
pub(crate) fn add_target(target: &str) {
    let lock = lock::hold(&target_directory());
    let found = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(workspace())
        .output();
    let is_there = found.is_ok_and(|output| {
        output.status.success()
            && String::from_utf8(output.stdout)
                .is_ok_and(|directory| Path::new(directory.trim()).is_dir())
    });
    if !is_there {
        let added = Command::new("rustup")
            .args(["target", "add", target])
            .current_dir(workspace())
            .output();
        check(&format!("rustup target add {target}"), added);
    }
    drop(lock);
}

fn command(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(workspace()).stdin(Stdio::null());
    // What cargo told this test's process about itself is not meant for another cargo: build
    // scripts would take it for a change.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST") {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn check(what: &str, output: std::io::Result<Output>) {
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "`{what}` failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("`{what}` cannot be started: {error}"),
    }
}
