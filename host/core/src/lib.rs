//! Vocabulary and seams of Sandmill: what a call, a run, a state, a future and an executor are,
//! what a run may use and reach, and what is told of it. No Wasm, no I/O, no async runtime.
#![forbid(unsafe_code)]

mod cache_policy;
mod call;
mod cancel;
mod ceiling;
mod clock;
mod component;
mod event;
mod executor;
mod flow_calls;
mod flow_invoker;
pub mod future;
mod grants;
mod invoker;
mod limits;
mod retry;
mod state;
mod trace;
pub mod units;

pub use cache_policy::CachePolicy;
pub use call::{Call, CallOptions, Past};
pub use cancel::CancelToken;
pub use ceiling::{
    Ceiling, DEFAULT_CEILING_HANDLES, DEFAULT_CEILING_MEMORY, DEFAULT_CEILING_TIMEOUT,
    DEFAULT_CEILING_TRANSFER, DirCeiling,
};
pub use clock::{Clock, Timestamp};
pub use component::{Component, ComponentInfo, TaskDescriptor};
pub use event::{
    AttemptEnd, Event, EventKind, Events, LogLevel, LogLine, LogSource, Mapped, Observer, Progress,
    Submitted, Usage,
};
pub use executor::{
    Calls, Executor, ExecutorExt, ExecutorId, MapOptions, Session, StartContext, StartError,
};
pub use flow_calls::{
    FlowArgument, FlowCallOptions, FlowCalls, FlowElements, FlowEnd, FlowNext, FlowReturnWhen,
    FlowTarget, FlowWatched, FutureKey,
};
pub use flow_invoker::{FlowInstance, FlowInvoker};
pub use future::{FutureList, RunError, TaskFuture, TypedFuture};
pub use grants::{Access, DirGrant, GrantError, Grants, HttpGrant, NetGrant};
pub use invoker::{Attempt, Invoker, Report};
pub use limits::{
    DEFAULT_HANDLES, DEFAULT_INPUT_BYTES, DEFAULT_LOG_BYTES, DEFAULT_MEMORY_BYTES,
    DEFAULT_OUTPUT_BYTES, DEFAULT_TABLE_ELEMENTS, DEFAULT_TIMEOUT, LimitOverrides, Limits,
};
pub use retry::{
    DEFAULT_MOST_MEMORY, DEFAULT_RETRY_CAP, MAX_RETRIES, MAX_RETRY_DELAY, MAX_RETRY_DELAYS,
    RetryDelay, RetryPolicy,
};
pub use state::{State, StateType};
pub use trace::{TraceContext, TraceContextError};
