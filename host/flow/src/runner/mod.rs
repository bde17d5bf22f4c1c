//! Runs flows on an executor. What comes next is a script's word (`crate::script`); here calls are
//! submitted, their ends waited for, events sent, and the journal kept, so that a flow that was cut
//! short goes on from where it stood.

mod brake;
mod calls;
mod drive;
mod flow_runner;
mod history;
mod hooks;
mod paces;
mod recorder;
mod stages;
mod start;
mod stop;

pub use drive::FLYING_BYTES;
pub use flow_runner::{FlowRunner, QUEUED_AT_LEAST, QUEUED_PER_SLOT};
pub use history::{JOURNAL_MISMATCH, MAX_SHOWN_ARGUMENTS};
pub use hooks::{HOOK_EXIT, HOOK_FAILED, HOOK_START};
pub use paces::MOMENT;
pub use start::{FlowProgram, Part, Rerun, Reuse, StartOptions, SubFlowCall, SubFlows};
