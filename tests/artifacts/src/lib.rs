//! What the tests run, built when it is first asked for: every guest as a component, and the
//! `sandmill` binary. The macros [`foreach_example!`] and [`foreach_guest!`] name every guest, so
//! that one without a test does not compile. And what tests run beside it: a NATS server.
#![forbid(unsafe_code)]

mod cargo;
mod lock;
mod nats;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use cargo::{CargoComponent, cargo_component};
pub use nats::nats_server;

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// The target that guests are built for.
const GUEST_TARGET: &str = "wasm32-wasip2";

/// The top of this repository.
#[must_use]
pub fn workspace() -> &'static Path {
    static WORKSPACE: OnceLock<PathBuf> = OnceLock::new();
    WORKSPACE.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        here.canonicalize().expect("this crate is in the repository")
    })
}

/// The folder of an example.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    workspace().join("examples").join(name)
}

/// A guest's component, by the name of its crate. All guests are built when the first is asked for.
///
/// # Panics
/// When they cannot be built, or there is no such guest.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    assert!(
        EXAMPLES.contains(&name) || GUESTS.contains(&name),
        "there is no guest `{name}` in `examples` or `tests/guests`"
    );
    let directory = DIRECTORY.get_or_init(|| {
        cargo::add_target(GUEST_TARGET);
        let packages = EXAMPLES.iter().chain(GUESTS).flat_map(|name| ["-p", name]);
        let mut arguments = vec!["build", "--release", "--target", GUEST_TARGET];
        arguments.extend(packages);
        cargo::run(&arguments);
        cargo::target_directory().join(GUEST_TARGET).join("release")
    });
    directory.join(file_name(name))
}

/// The same guest's component as `cargo component build` makes it.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn component_built(name: &str) -> PathBuf {
    // cargo-component builds a module for the older target and wraps it with an adapter.
    cargo::add_target("wasm32-wasip1");
    // A folder of its own: it replaces modules with components behind plain cargo's back.
    let directory = cargo::target_directory().join("cargo-component");
    let folder = directory.to_str().expect("the target directory's name is UTF-8");
    cargo::run(&["component", "build", "--release", "-p", name, "--target-dir", folder]);
    directory.join("wasm32-wasip1/release").join(file_name(name))
}

/// The guest `flows` as it is after somebody changed it: its flows no longer do what a journal that
/// was written before says.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn changed_flows() -> PathBuf {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    let component = COMPONENT.get_or_init(|| {
        cargo::add_target(GUEST_TARGET);
        // A folder of its own: the name of the component is the same.
        let directory = cargo::target_directory().join("changed");
        let folder = directory.to_str().expect("the target directory's name is UTF-8");
        let arguments = ["build", "--release", "--target", GUEST_TARGET, "-p", "flows"];
        cargo::run(&[&arguments[..], &["--features", "changed", "--target-dir", folder]].concat());
        directory.join(GUEST_TARGET).join("release").join(file_name("flows"))
    });
    component.clone()
}

/// A directory for what tests keep from run to run, such as compiled code.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch() -> PathBuf {
    let directory = cargo::target_directory().join("sandmill-tests");
    std::fs::create_dir_all(&directory).expect("the target directory can be written to");
    directory
}

/// The `sandmill` binary.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn sandmill_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        cargo::run(&["build", "--release", "-p", "sandmill-cli", "--bin", "sandmill"]);
        cargo::target_directory().join("release").join("sandmill")
    })
}

fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}
