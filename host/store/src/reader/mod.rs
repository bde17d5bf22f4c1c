//! Reading a store, beside whoever writes it and without its lock: flow runs, their stages and
//! runs, outcomes, and what happened in order. Logs and the cache have readers of their own.

mod damage;
mod events;
mod find;
mod handle;
mod lists;
mod notes;
mod open;
#[cfg(test)]
mod plans;
mod records;

pub use events::{EventCursor, HistoryEvent, HistoryKind, MAX_EVENT_PAGE};
pub use handle::Reader;
pub use notes::Note;
pub(crate) use open::open_read_only;
pub use records::{
    DEFAULT_FLOW_LIST, DEFAULT_RUN_PAGE, FlowFilter, FlowList, FlowRecord, MAX_LIST, RunFilter,
    StageSummary, StateCounts,
};
