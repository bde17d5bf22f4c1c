//! The sandbox: runs attempts at calls in WebAssembly components, each in an instance of its own
//! that sees its arguments, what it was granted, and nothing else. The only crate that names
//! wasmtime. Placing runs, retrying them and recording them is for others.
#![deny(unsafe_code)]

// So that what the tests in `tests/` share serves the ones in here too.
#[cfg(test)]
extern crate self as sandmill_sandbox;

mod bindings;
mod block_on;
mod clocks;
mod compile;
mod compile_cache;
mod config;
mod context;
mod describe;
mod diagnosis;
mod dirs;
mod engine;
mod entry;
mod epoch;
mod flow_call;
mod flow_run;
mod futures;
mod host;
mod http;
mod invoke;
mod io;
mod keeping;
mod limiter;
mod linker;
mod logs;
mod network;
mod outcome;
mod panic_message;
mod precheck;
mod prepared;
mod private_dir;
mod random;
mod sandbox;
mod stdio;
mod stop;

pub use clocks::{VIRTUAL_MONOTONIC_START, VIRTUAL_WALL_START};
pub use compile::{
    COMPILE_CPU, COMPILE_DEADLINE, COMPILE_FALLBACK_CPU, COMPILE_FILES, COMPILE_KILL_GRACE,
    COMPILE_MEMORY_BYTES, COMPILE_THREADS, COMPILE_WAIT, CompileCommand, CompileLimits,
    MAX_CODE_BYTES, MAX_COMPILE_CHILDREN, MAX_COMPILE_STDERR, compile_child,
};
pub use compile_cache::CACHE_BYTES;
pub use config::{CacheConfig, DEFAULT_MAX_MEMORY_BYTES, SandboxConfig, SandboxError};
pub use describe::{DESCRIBE_TIMEOUT, MAX_DOC_BYTES, MAX_SCHEMA_BYTES, MAX_TASKS};
pub use diagnosis::{CacheDiagnosis, CompileDiagnosis, Diagnosis, PoolDiagnosis};
pub use engine::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES, MAX_WASM_STACK_BYTES};
pub use epoch::EPOCH_TICK;
pub use flow_call::{
    MAX_CALL_NAME_BYTES, MAX_CALL_PARAMETERS, MAX_CALL_WORDS, MAX_MAP_NODES, MAX_WORD_BYTES,
};
pub use flow_run::FLOW_HANDLES;
pub use futures::MAX_WAITED;
pub use io::{MAX_POLL_LIST, MAX_RANDOM_BYTES};
pub use keeping::MAX_LISTED_ENTRIES;
pub use logs::MAX_LOG_LINE_BYTES;
pub use precheck::{MAX_COMPONENT_BYTES, MAX_EXPORTS, MAX_FUNCTION_BYTES, MAX_IMPORTS, MAX_NESTED};
pub use prepared::PREPARED_COMPONENTS;
pub use sandbox::Sandbox;
