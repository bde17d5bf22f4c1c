//! What there is to build components with: cargo, cargo-component, rustup and its targets.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{CliError, Result};
use crate::output::Ui;

/// The targets that components are built for: by plain cargo, and by `cargo component`.
pub(crate) const WASM_TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-wasip1"];

/// The tools on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// `cargo`, and its version.
    pub(crate) cargo: Option<String>,
    /// The version of `cargo component`.
    pub(crate) component: Option<String>,
    /// The version of `rustup`.
    pub(crate) rustup: Option<String>,
}

impl Toolchain {
    /// Looks for the tools. `directory` may choose a toolchain of its own (`rust-toolchain.toml`).
    pub(crate) fn find(directory: &Path) -> Self {
        let version = |program: OsString, args: &[&str]| {
            output(Command::new(program).args(args).current_dir(directory))
        };
        Self {
            cargo: version(cargo(), &["--version"]),
            component: is_on_path("cargo-component")
                .then(|| version("cargo-component".into(), &["component", "--version"]))
                .flatten(),
            rustup: is_on_path("rustup")
                .then(|| version("rustup".into(), &["--version"]))
                .flatten(),
        }
    }

    /// Whether the compiler that is used in `directory` has the target; none when there is no
    /// telling.
    pub(crate) fn has_target(directory: &Path, target: &str) -> Option<bool> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let library = output(
            Command::new(rustc)
                .args(["--print", "target-libdir", "--target", target])
                .current_dir(directory),
        )?;
        Some(Path::new(library.trim()).is_dir())
    }

    /// Adds the target through rustup where the compiler lacks it, and says so.
    pub(crate) fn ensure_target(&self, ui: &Ui, directory: &Path, target: &str) -> Result<()> {
        // Where there is no telling, cargo will say what is missing.
        if Self::has_target(directory, target).unwrap_or(true) {
            return Ok(());
        }
        let missing =
            || CliError::infrastructure(format!("the Rust target {target} is not installed"));
        if self.rustup.is_none() {
            return Err(missing()
                .detail("rustup, which could add it, is not installed either")
                .hint(format!(
                    "install rustup (https://rustup.rs), or add the standard library for {target} \
                     with what installed Rust"
                )));
        }
        ui.step("Adding", format_args!("the Rust target {target} (rustup target add {target})"));
        let added = Command::new("rustup")
            .args(["target", "add", target])
            .current_dir(directory)
            .stdin(Stdio::null())
            // Rustup's talk is no result of ours.
            .stdout(Stdio::null())
            .status();
        match added {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(missing()
                .detail(format!("`rustup target add {target}` ended with {status}"))
                .hint("run it yourself and see what it says")),
            Err(error) => Err(missing().detail(format!("rustup cannot be started: {error}"))),
        }
    }
}

/// The cargo to use: the one that runs us, if one does, else the one on the path.
pub(super) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn is_on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(&name)).find(|file| file.is_file())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}
