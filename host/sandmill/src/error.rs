//! Why a host could not be opened, or a component not be used.

use std::path::PathBuf;

use sandmill_core::StartError;
use sandmill_sandbox::SandboxError;

/// Why a host could not be opened, or a component not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The sandbox could not be built.
    #[error("the sandbox could not be built")]
    Sandbox(#[from] SandboxError),
    /// The executor could not be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The data directory could not be opened.
    #[error(transparent)]
    Store(#[from] sandmill_store::StoreError),
    /// What the host was to be made of does not go together.
    #[error("the host cannot be set up: {0}")]
    Setup(&'static str),
    /// A component's file could not be read.
    #[error("`{}` could not be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not a component that this host can run.
    #[error("`{origin}` cannot be run: {why}")]
    Component {
        /// Where the bytes came from.
        origin: String,
        /// What is wrong with them.
        why: String,
    },
    /// The component could not be made ready, which is not its fault: what compiles could not be started, was
    /// killed, or had no time on this machine. Another try may help.
    #[error("`{origin}` could not be made ready: {why}")]
    Unready {
        /// Where the bytes came from.
        origin: String,
        /// What went wrong.
        why: String,
    },
    /// The component has no task of that name.
    #[error("`{origin}` has no task `{task}`; it has {}", names(known))]
    UnknownTask {
        /// Where the component came from.
        origin: String,
        /// The name that was asked for.
        task: String,
        /// The names that there are.
        known: Vec<String>,
    },
}

fn names(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
