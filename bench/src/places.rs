//! Where things are that subjects need: the guest, the `sandmill` binary, a folder for what is
//! written. Builds what is not named.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

/// The target that guests are built for.
const GUEST_TARGET: &str = "wasm32-wasip2";

/// Where things are, as subjects are told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Places {
    /// The guest's component.
    #[arg(long)]
    pub(crate) guest: PathBuf,
    /// A command that does nothing, as a component.
    #[arg(long)]
    pub(crate) command: PathBuf,
    /// The `sandmill` binary.
    #[arg(long)]
    pub(crate) sandmill: PathBuf,
    /// A folder for what is written.
    #[arg(long)]
    pub(crate) scratch: PathBuf,
    /// A NATS server, where there is one that is new enough.
    #[arg(long)]
    pub(crate) nats: Option<PathBuf>,
}

impl Places {
    /// Builds the guest and the binary.
    pub(crate) fn build(scratch: &Path) -> Result<Self> {
        let target = target_directory();
        add_target()?;
        cargo(&["build", "--release", "--target", GUEST_TARGET, "-p", "bench-guest"])?;
        cargo(&["build", "--release", "-p", "sandmill-cli", "--bin", "sandmill"])?;
        let guests = target.join(GUEST_TARGET).join("release");
        Ok(Self {
            guest: guests.join("bench_guest.wasm"),
            command: guests.join("bench-command.wasm"),
            sandmill: target.join("release/sandmill"),
            scratch: scratch.to_owned(),
            nats: crate::nats::find(),
        })
    }

    /// As [`Places`] is told on a command line.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let always = [
            ("--guest", &*self.guest),
            ("--command", &*self.command),
            ("--sandmill", &*self.sandmill),
            ("--scratch", &*self.scratch),
        ];
        always.into_iter().chain(self.nats.as_deref().map(|nats| ("--nats", nats)))
    }
}

/// The top of the repository.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(workspace()).stdin(Stdio::null()).stdout(Stdio::null());
    // What cargo told this process about itself is not meant for another cargo: build scripts would
    // take it for a change.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().context("cargo cannot be started")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// Adds the guests' target to the toolchain when it is not there.
fn add_target() -> Result<()> {
    let found = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", GUEST_TARGET])
        .current_dir(workspace())
        .output()
        .context("rustc cannot be started")?;
    if Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", GUEST_TARGET])
        .current_dir(workspace())
        .stdout(Stdio::null())
        .status()
        .context("rustup cannot be started")?;
    ensure!(added.success(), "`rustup target add {GUEST_TARGET}` failed");
    Ok(())
}
