//! The flow file as it is written: its tables, read with all faults noted. Whether the parts fit
//! together is checked in `check`.

mod component;
mod flow_file;
mod grants;
mod limits;
mod reader;
mod task;

pub use component::{Build, ComponentSpec};
pub(crate) use flow_file::directory;
pub use flow_file::{FlowFile, MAX_COMPONENTS, MAX_FILE_BYTES, MAX_PARAMETERS, MAX_TASKS};
pub(crate) use grants::beside;
pub use grants::{DirSpec, GrantSpec, Setting};
pub use reader::MAX_NAME_LENGTH;
pub(crate) use reader::{Node, Reader, name_problem};
pub use task::{MAX_ARGUMENTS, TagError, TaskSpec, resource_of_tag};
