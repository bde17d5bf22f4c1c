//! Run WebAssembly components as sandboxed tasks: one call, a map over any number of inputs, or a
//! flow. Every run gets a fresh instance with nothing granted by default.
//!
//! ```no_run
//! use sandmill::{Host, args};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::new()?;
//! let component = host.load("montecarlo.wasm")?;
//! let estimate = host.task(&component, "estimate")?;
//!
//! // One call.
//! let one: f64 = estimate.call(args! { "seed" => 7, "samples" => 10_000 }?).typed().result(None)?;
//!
//! // One call for each seed, as many at a time as there are slots, in the order of the seeds.
//! let estimate = estimate.with("samples", &10_000)?;
//! for run in estimate.map_over("seed", 0..1_000u64).into_ordered() {
//!     println!("{}", run.typed::<f64>().result(None)?);
//! }
//! host.close();
//! # let _ = one;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here needs an async runtime; futures can be awaited in any.
#![forbid(unsafe_code)]

mod attach;
mod error;
mod flow;
mod host;
mod load;
mod remote;
mod task;
mod worker_host;
mod zip;

pub use attach::{ATTACH_POLL_LEAST, ATTACH_POLL_MOST, AttachError, MAX_ATTACHED, Runs};
pub use error::HostError;
pub use flow::{
    CANCEL_POLL, CancelledFlow, CodedFlow, FLOWS_END_GRACE, FlowError, FlowStart, PlannedFlow,
    RerunOptions, ResumeOptions, StartedFlow,
};
pub use host::{ExecutorKind, Host, HostBuilder, SETTLE_GRACE};
pub use load::load_component;
pub use remote::{
    DEFAULT_LOCAL_WORKERS, Isolation, MAX_POOL_PROCESSES, RemoteSettings, RemoteWorkers,
    WorkerCommand,
};
pub use task::Task;
pub use worker_host::{WorkerHost, WorkerHostError, WorkerSettings};
pub use zip::{Zip, ZipError};

/// Flow files: reading, checking and running them.
pub use sandmill_flow as flow_file;

/// Everything that crosses a seam: calls, futures, states, events, limits, grants, and the traits
/// for executors and invokers of your own.
pub use sandmill_core as core;
pub use sandmill_core::{
    Access, CachePolicy, Call, CallOptions, Component, ComponentInfo, DirGrant, Event, EventKind,
    Events, Executor, FutureList, Grants, HttpGrant, LimitOverrides, Limits, MapOptions, NetGrant,
    Observer, RetryDelay, RetryPolicy, RunError, State, StateType, TaskDescriptor, TaskFuture,
    TypedFuture, future,
};
/// The executors: of one process, of processes of this machine, of other hosts.
pub use sandmill_executors as executors;
pub use sandmill_executors::remote::{HostState, HostStatus};
/// The sandbox and its limits.
pub use sandmill_sandbox as sandbox;
pub use sandmill_sandbox::{CompileCommand, CompileLimits};
/// Where runs are placed among hosts, and how many workers there should be.
pub use sandmill_scheduler as scheduler;
/// Run history, journals, results and the cache of results: what outlives a process.
pub use sandmill_store as store;
/// What crosses between hosts: addresses, certificates, join tokens, links, the engine.
pub use sandmill_transport as transport;
pub use sandmill_transport::engine::EngineConfig;
pub use sandmill_wire::{Digest, End, EndKind, Failure, Outcome, RunId, TrapKind, Value, value};

/// An argument map: `args! { "name" => value, … }`, where a value is anything that serde can
/// serialize. Gives a `Result`: a value may not be one that MessagePack can hold.
///
/// ```
/// let arguments = sandmill::args! { "width" => 128, "title" => "small" }?;
/// assert_eq!(arguments.get("width"), Some(sandmill::Value::encode(&128)?));
/// # Ok::<(), sandmill::value::ValueError>(())
/// ```
#[macro_export]
macro_rules! args {
    ($($name:expr => $value:expr),* $(,)?) => {
        (|| -> ::std::result::Result<$crate::Value, $crate::value::ValueError> {
            $crate::Value::map_from([$(($name, &$crate::Value::encode(&$value)?)),*])
        })()
    };
}
