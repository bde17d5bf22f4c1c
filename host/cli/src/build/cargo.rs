//! Building one crate to a component, and copying what came of it to where the flow wants it.

use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{CrateType, Message, MetadataCommand};

use super::toolchain::{Toolchain, WASM_TARGETS, cargo};
use crate::error::{CliError, Result};
use crate::output::Ui;
use crate::{exit_code, signals};

/// Variables that cargo sets for what it runs (`cargo run`). They speak of our own package, and
/// build scripts and macros of another would take them for theirs.
const OURS: [&str; 4] = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_"];

/// Builds the crate in `directory` and puts the component at `path`. Whether it changed.
pub(crate) fn build_crate(
    ui: &Ui,
    toolchain: &Toolchain,
    name: &str,
    directory: &Path,
    path: &Path,
) -> Result<bool> {
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(CliError::input(format!("component `{name}` names a crate that is not there"))
            .detail(format!("there is no `{}`", manifest.display()))
            .hint(
                "`build = { crate = DIR }` names the folder of a Cargo.toml, from the flow file's",
            ));
    }
    if toolchain.cargo.is_none() {
        return Err(CliError::infrastructure(format!(
            "component `{name}` cannot be built: there is no cargo"
        ))
        .hint("install Rust with rustup: https://rustup.rs"));
    }
    let (target, how) = match toolchain.component {
        Some(_) => (WASM_TARGETS[1], "cargo component build --release"),
        None => (WASM_TARGETS[0], "cargo build --release --target wasm32-wasip2"),
    };
    toolchain.ensure_target(ui, directory, target)?;
    ui.step("Building", format_args!("component {name} ({how})"));
    let package = package_of(&manifest);
    let built =
        compile(ui, toolchain, &manifest, package.as_deref()).map_err(|error| CliError {
            message: format!("component `{name}` could not be built: {}", error.message),
            ..error
        })?;
    install(&built, path).map_err(|error| {
        CliError::infrastructure(format!("`{}` cannot be written", path.display())).detail(error)
    })
}

/// The id of the crate's package: a build of a workspace may make other components on the way.
fn package_of(manifest: &Path) -> Option<String> {
    let metadata =
        MetadataCommand::new().cargo_path(cargo()).manifest_path(manifest).no_deps().exec().ok()?;
    let manifest = manifest.canonicalize().ok()?;
    let package = metadata.packages.iter().find(|package| {
        package.manifest_path.as_std_path().canonicalize().is_ok_and(|path| path == manifest)
    });
    package.map(|package| package.id.repr.clone())
}

/// Builds, and gives the path of the component that was made.
fn compile(
    ui: &Ui,
    toolchain: &Toolchain,
    manifest: &Path,
    package: Option<&str>,
) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    match toolchain.component {
        Some(_) => command.args(["component", "build"]),
        None => command.args(["build", "--target", WASM_TARGETS[0]]),
    };
    command
        .args(["--release", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // Cargo's progress is talk: it goes to the terminal, or is kept for when the build fails.
    command.stderr(if ui.is_human() { Stdio::inherit() } else { Stdio::piped() });
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if OURS.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    let mut child = command
        .spawn()
        .map_err(|error| CliError::infrastructure("cargo cannot be started").detail(error))?;
    // Both pipes are read at once: cargo would stop where one is full and nobody reads it.
    let errors = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = String::new();
            // Diagnostics that are not UTF-8 are lost; the build's end is told all the same.
            let _ = stderr.read_to_string(&mut text);
            text
        })
    });
    let mut made = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for message in
            Message::parse_stream(BufReader::new(stdout)).map_while(|message| message.ok())
        {
            if let Message::CompilerArtifact(artifact) = message {
                let ours = package.is_none_or(|package| artifact.package_id.repr == package);
                let components = artifact
                    .target
                    .crate_types
                    .iter()
                    .any(|kind| matches!(kind, CrateType::CDyLib | CrateType::Bin));
                if ours && components {
                    let wasm = artifact.filenames.into_iter().map(PathBuf::from);
                    made.extend(
                        wasm.filter(|path| path.extension().is_some_and(|end| end == "wasm")),
                    );
                }
            }
        }
    }
    let status = child.wait();
    let errors = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if signals::interrupted() {
        return Err(CliError::interrupted());
    }
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            let error = CliError::infrastructure(format!("cargo ended with {status}"));
            let by_hand = match toolchain.component {
                Some(_) => "cargo component build --release".to_owned(),
                None => format!("cargo build --release --target {}", WASM_TARGETS[0]),
            };
            let manifest: PathBuf = manifest.components().collect();
            return Err(error.details(last_lines(&errors)).hint(format!(
                "the same by hand: {by_hand} --manifest-path {}",
                manifest.display()
            )));
        }
        Err(error) => return Err(CliError::infrastructure("cargo was lost").detail(error)),
    }
    match made.len() {
        1 => Ok(made.swap_remove(0)),
        0 => Err(CliError {
            code: exit_code::INVALID_INPUT,
            ..CliError::infrastructure("the crate makes no component")
        }
        .hint("its Cargo.toml needs `[lib] crate-type = [\"cdylib\", \"lib\"]`")),
        _ => Err(CliError {
            code: exit_code::INVALID_INPUT,
            ..CliError::infrastructure("the crate makes several components")
        }
        .details(made.iter().map(|path| path.display().to_string()).collect::<Vec<_>>())
        .hint("use `build = { command = […] }` and put the one you mean at `path`")),
    }
}

/// Lines of cargo's talk that are shown when a build fails.
fn last_lines(text: &str) -> Vec<String> {
    const SHOWN: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Copies `built` to `path`, unless the same bytes are there. Whether they were not.
fn install(built: &Path, path: &Path) -> std::io::Result<bool> {
    let new = std::fs::read(built)?;
    if std::fs::read(path).is_ok_and(|old| old == new) {
        return Ok(false);
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // By way of a second file: who reads `path` at this moment gets the old bytes or the new.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    std::fs::write(&beside, new)?;
    std::fs::rename(&beside, path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_copied_when_it_changed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (built, path) = (folder.path().join("built"), folder.path().join("sub/x.wasm"));
        std::fs::write(&built, "1").expect("it can be written");
        assert!(install(&built, &path).expect("it can be copied"));
        assert!(!install(&built, &path).expect("it can be compared"));
        std::fs::write(&built, "2").expect("it can be written");
        assert!(install(&built, &path).expect("it can be copied"));
        assert_eq!(std::fs::read(&path).expect("it is there"), b"2");
        assert_eq!(std::fs::read_dir(folder.path().join("sub")).expect("it is there").count(), 1);
    }
}
