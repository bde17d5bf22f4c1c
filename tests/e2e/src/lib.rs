//! Calls of the real binary, away from the configuration and caches of whoever runs the tests. The
//! tests themselves are in `tests`.
#![forbid(unsafe_code)]

mod background;
mod flows;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sandmill_test_artifacts as artifacts;
use tempfile::TempDir;

pub use background::{Background, start, start_in, until};
pub use flows::{Flow, json, json_lines};

/// Longer than anything takes that works, but a build.
pub const LONG: Duration = Duration::from_secs(120);

/// What a call of the binary did.
#[derive(Debug)]
pub struct Called {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

thread_local! {
    /// Where the data directory of this test is: it has one writer at a time,
    /// and each test is a thread.
    static DATA: TempDir = tempfile::tempdir().expect("there is room for a directory");
}

/// The data directory of this test's calls.
#[must_use]
pub fn data_dir() -> PathBuf {
    DATA.with(|data| data.path().join("data"))
}

/// The binary with these arguments, not started yet.
#[must_use]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(artifacts::sandmill_binary());
    let scratch = artifacts::scratch();
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("XDG_CONFIG_HOME", scratch.join("no-config"))
        .env("XDG_CACHE_HOME", scratch.join("cache"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("SANDMILL_") || name.starts_with("CARGO_PKG_") {
            command.env_remove(name);
        }
    }
    command.env("SANDMILL_STORE__DIR", data_dir());
    command
}

/// Calls the binary in `folder`, and waits for it.
///
/// # Panics
/// When it cannot be started, or prints what is not text.
pub fn sandmill_in(folder: &Path, arguments: &[&str]) -> Called {
    finish(command(arguments).current_dir(folder))
}

/// Calls the binary at the top of the repository, and waits for it.
///
/// # Panics
/// When it cannot be started, or prints what is not text.
pub fn sandmill(arguments: &[&str]) -> Called {
    sandmill_in(artifacts::workspace(), arguments)
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started, or prints what is not text.
pub fn finish(command: &mut Command) -> Called {
    let start = Instant::now();
    let Output { status, stdout, stderr } = command.output().expect("the command can be started");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Called {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
        took: start.elapsed(),
    }
}

impl Called {
    /// The same, if the exit code is this one.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// A copy of an example with its component built beside the flow file, in a directory of its own.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn copy_of_example(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a directory");
    copy(&artifacts::example(name), folder.path());
    let component = folder.path().join(format!("{name}.wasm"));
    fs::copy(artifacts::guest(name), component).expect("the component can be copied");
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the directory can be listed") {
        let path = entry.expect("the directory can be listed").path();
        let target: PathBuf = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            fs::create_dir(&target).expect("a directory can be made");
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}
