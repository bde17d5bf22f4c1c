//! Flows: files that name tasks and what goes from one to the next. Read, checked as a whole
//! before anything runs, planned, scheduled and run.
//!
//! ```text
//! FlowFile::read(path, text)                 the file, with its faults noted
//!     .check(&components, &given)            → Arc<Plan>, or Faults: all of them, with their places
//! FlowRunner::new(executor, events)
//!     .start(plan)                           → FlowRunFuture: wait, result, report, cancel, .await
//! ```
//!
//! The schedule ([`Schedule`]) is a plain function of a plan and of what has ended, so that
//! something other than the runner can drive it too. Nothing here knows of Wasm: components are
//! loaded by a [`ComponentSource`], and runs are an executor's.
#![forbid(unsafe_code)]

mod argument;
mod check;
mod component;
mod fault;
mod file;
mod flow_future;
mod graph;
mod hook;
mod literal;
mod parameter;
mod plan;
mod plan_script;
mod policy;
mod reference;
mod runner;
mod schedule;
mod script;
mod signals;
mod summary;

pub use argument::{Argument, Located, Operand, Zip};
pub use check::{ComponentSource, Given, argument_fault, argument_faults, may_have_parameter};
pub use component::{
    ComponentFlow, ComponentSubFlows, FLOW_CHANGED, FLOW_TOO_LONG, FlowHistory, MAX_FLOW_DEPTH,
    MAX_FLOW_STEPS, MAX_GIVEN_BYTES, MAX_HELD_RESULT_BYTES, MAX_OPEN_COMMANDS,
    MAX_UNJOURNALED_RESULT_BYTES, OWN_COMPONENT, RESULTS_TOO_LARGE, SubFlowJournal,
    SubFlowJournals,
};
pub use fault::{Fault, Faults, MAX_FAULTS, Place, Source};
pub use file::{
    Build, ComponentSpec, DirSpec, FlowFile, GrantSpec, MAX_ARGUMENTS, MAX_CACHE_KEY_BYTES,
    MAX_COMMAND_WORDS, MAX_COMPONENTS, MAX_FILE_BYTES, MAX_FLOW_LABELS, MAX_NAME_LENGTH,
    MAX_PARAMETERS, MAX_RESULTS, MAX_TASKS, MAX_TIME_LIMIT, Setting, TagError, TaskSpec,
    resource_of_tag,
};
pub use flow_future::{FlowRunFuture, FlowStopper};
pub use hook::{
    HOOK_KILL_GRACE, HOOK_LAST_LINE, HOOK_LAST_LINES, HOOK_OUTPUT_GRACE, MAX_HOOK_LINE,
    MAX_HOOK_MESSAGE, MAX_HOOK_OUTPUT,
};
pub use literal::Literal;
pub use parameter::{ParameterSpec, ParameterType};
pub use plan::{Node, NodeId, Plan, PlannedComponent};
pub use plan_script::PlanScript;
pub use policy::{Amount, DEFAULT_HOOK_TIMEOUT, ErrorsMode, Hook, HookAction, MapPolicy, Trigger};
pub use reference::{MAX_PATH_STEPS, Reference, Root};
pub use runner::{
    FLYING_BYTES, FlowProgram, FlowRunner, HOOK_EXIT, HOOK_FAILED, HOOK_START, JOURNAL_MISMATCH,
    MAX_SHOWN_ARGUMENTS, MOMENT, Part, QUEUED_AT_LEAST, QUEUED_PER_SLOT, Rerun, Reuse,
    StartOptions, SubFlowCall, SubFlows,
};
pub use schedule::{Blame, Cause, Conclusion, Ended, MAX_RESULT_BYTES, Schedule, Step};
pub use script::{Act, Done, FailureLimit, Script, StageId, StageSpec, StageTarget};
pub use summary::{
    FailedRun, FlowReport, HookReport, MAX_FAILED_LISTED, MAX_STAGES_LISTED, StageReport,
};
