//! What is called around a flow: commands of the host. When a hook is called, and what its end
//! means for the flow, is the runner's; hooks that are tasks go the way of tasks.

mod command;
mod facts;
mod last_words;

pub(crate) use command::run_command;
pub use command::{HOOK_KILL_GRACE, HOOK_OUTPUT_GRACE, MAX_HOOK_LINE, MAX_HOOK_OUTPUT};
pub(crate) use facts::Facts;
pub use facts::MAX_HOOK_MESSAGE;
pub use last_words::{HOOK_LAST_LINE, HOOK_LAST_LINES};
