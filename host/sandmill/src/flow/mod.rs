//! Flows for embedders: planned, run, written down, taken up again and repeated on a host.

mod cancel;
mod coded;
mod error;
mod host_flows;
mod journaled;
mod source;
mod start;
mod watch;

pub use error::FlowError;
pub use start::{
    CancelledFlow, CodedFlow, FlowStart, PlannedFlow, RerunOptions, ResumeOptions, StartedFlow,
};
pub(crate) use watch::Flows;
pub use watch::{CANCEL_POLL, FLOWS_END_GRACE};
