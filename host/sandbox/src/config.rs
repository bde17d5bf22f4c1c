//! What a sandbox can be told, and why it may refuse to be built.

use std::path::PathBuf;

use sandmill_core::DirCeiling;

use crate::compile::{CompileCommand, CompileLimits};

/// The most memory that one run can be allowed, unless configured otherwise: 4 GiB, all that
/// 32-bit guests can address. It is address space, not memory, until a guest touches it.
pub const DEFAULT_MAX_MEMORY_BYTES: u64 = 4 << 30;

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// How many runs there are at a time. More can run, but those beyond it start slower.
    /// Default: as many as the machine has threads.
    pub slots: usize,
    /// Where compiled code is kept. Default: nowhere.
    pub cache: CacheConfig,
    /// The largest `Limits.memory` that is accepted, in bytes. Default
    /// [`DEFAULT_MAX_MEMORY_BYTES`].
    pub max_memory: u64,
    /// Whether instances are taken from a pool (default) or made anew each time. A pool takes
    /// address space, about 20 GiB a slot, and saves most of the cost of starting a run.
    pub pooling: bool,
    /// Below which directories of the host runs may be granted some, where not whoever has this
    /// sandbox says what is granted (a worker). Each grant is then looked up below one of these,
    /// and no link leads out of it; what is below none of them is refused. Default: no such bound.
    pub roots: Option<Vec<DirCeiling>>,
    /// Which program compiles components that are not in the cache, each in a process of its own.
    /// Default: none, they are compiled in this process, without limits on time or memory.
    pub compile: Option<CompileCommand>,
    /// What compiling one component may use there.
    pub compile_limits: CompileLimits,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            slots: std::thread::available_parallelism().map_or(1, usize::from),
            cache: CacheConfig::Disabled,
            max_memory: DEFAULT_MAX_MEMORY_BYTES,
            pooling: true,
            roots: None,
            compile: None,
            compile_limits: CompileLimits::default(),
        }
    }
}

/// Where compiled code is kept between processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheConfig {
    /// Nowhere: each process compiles for itself.
    Disabled,
    /// In this directory. It is made when it is not there; one that others can reach is refused,
    /// and then nothing is kept (see the diagnosis).
    Dir(PathBuf),
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// `slots` is zero.
    #[error("a sandbox needs at least one slot")]
    NoSlots,
    /// The engine could not be made on this machine.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error("cannot start the thread `{name}`: {error}")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}
