//! What outlives a process: run history, journals, results and the cache of results.
#![forbid(unsafe_code)]

mod record;

pub use record::{
    AttemptRecord, FlowSource, NewFlow, Recorded, RunKey, RunRecord, SourceComponent, StageRecord,
};
