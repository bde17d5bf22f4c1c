//! What the sandbox can say of itself, for `doctor`.

use std::path::PathBuf;
use std::time::Duration;

/// What a sandbox found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The version of wasmtime.
    pub wasmtime: &'static str,
    /// Where instances get their memory.
    pub pool: PoolDiagnosis,
    /// Whether the kernel tells which pages of a memory changed (Linux 6.7 and later). Without
    /// it, starting a run takes about three times as long.
    pub pagemap_scan: bool,
    /// Where compiled code is kept.
    pub cache: CacheDiagnosis,
    /// What compiles, and what it has compiled.
    pub compile: CompileDiagnosis,
    /// How often a busy guest is looked at.
    pub epoch_tick: Duration,
}

/// Where instances get their memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolDiagnosis {
    /// From a pool with this many slots.
    On {
        /// Runs that it has room for at a time.
        slots: usize,
    },
    /// Made anew for each run, which is several times slower.
    Off {
        /// Why there is no pool.
        reason: String,
    },
}

/// Where compiled code is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheDiagnosis {
    /// In a directory.
    On {
        /// The directory of the entries.
        directory: PathBuf,
        /// How many there are.
        entries: u64,
        /// Their bytes in all.
        bytes: u64,
        /// Components that this process did not have to compile.
        hits: u64,
        /// Entries that this process deleted, because their seal was broken or they were of
        /// another engine.
        rejected: u64,
    },
    /// Nowhere: each process compiles for itself.
    Off {
        /// Why.
        reason: String,
    },
}

/// What compiles components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileDiagnosis {
    /// The program that does it in processes of its own; none where this process does.
    pub program: Option<PathBuf>,
    /// How often a component was compiled, since the sandbox was made.
    pub compiled: u64,
    /// How often of these without optimisations, because a limit was met with them.
    pub unoptimized: u64,
}
