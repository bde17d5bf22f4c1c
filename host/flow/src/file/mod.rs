//! The flow file as it is written: its tables, read with all faults noted. Whether the parts fit
//! together is checked in `check`.

mod amount;
mod argument;
mod cache;
mod component;
mod flow_file;
mod grants;
mod header;
mod hook;
mod limits;
mod reader;
mod retries;
mod task;

pub use argument::MAX_ARGUMENTS;
pub use cache::MAX_CACHE_KEY_BYTES;
pub use component::{Build, ComponentSpec};
pub(crate) use flow_file::directory;
pub use flow_file::{FlowFile, MAX_COMPONENTS, MAX_FILE_BYTES, MAX_PARAMETERS, MAX_TASKS};
pub(crate) use grants::beside;
pub use grants::{DirSpec, GrantSpec, Setting};
pub(crate) use header::ResultSpec;
pub use header::{MAX_FLOW_LABELS, MAX_RESULTS};
pub use hook::MAX_COMMAND_WORDS;
pub(crate) use hook::{HookActionSpec, HookSpec, HookTask};
pub use reader::{MAX_NAME_LENGTH, MAX_TIME_LIMIT};
pub(crate) use reader::{Node, Reader, name_problem};
pub use task::{TagError, TaskSpec, resource_of_tag};
