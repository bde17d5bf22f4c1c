//! Flows that are components: code in the sandbox that makes calls (world `flow`). The instance
//! runs on a thread of its own and asks ([`calls`]); the runner asks what to call ([`script`]); what
//! was asked for and what became of it is between them ([`book`]). Everything that the flow is told
//! is in its journal ([`step`], [`tape`]), so that a flow that is taken up again is told the same
//! and stands where it stood.

mod book;
mod calls;
mod command;
mod handles;
mod history;
mod ids;
mod inputs;
mod opening;
mod program;
mod resolve;
mod results;
mod script;
mod shared;
mod step;
mod sub_flows;
mod tape;
mod watch;

pub use calls::{MAX_GIVEN_BYTES, MAX_OPEN_COMMANDS};
pub use history::FlowHistory;
pub use program::ComponentFlow;
pub use results::{MAX_HELD_RESULT_BYTES, MAX_UNJOURNALED_RESULT_BYTES, RESULTS_TOO_LARGE};
pub use sub_flows::{
    ComponentSubFlows, MAX_FLOW_DEPTH, OWN_COMPONENT, SubFlowJournal, SubFlowJournals,
};
pub use tape::{FLOW_CHANGED, FLOW_TOO_LONG, MAX_FLOW_STEPS};
