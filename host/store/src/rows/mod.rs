//! Rows of the history: how each is read, sealed and written. What they mean for one another is
//! with the writer, and with whoever reads them.

mod attempt;
mod change;
mod columns;
mod counters;
mod flow;
mod kept;
mod note;
mod run;
mod source;
mod stage;
mod step;

pub(crate) use attempt::{ATTEMPT_COLUMNS, AttemptRow};
pub(crate) use change::{CHANGE_COLUMNS, ChangeRow};
pub(crate) use columns::{fault, id, kind_number, micros, run_id};
pub(crate) use counters::Counters;
pub(crate) use flow::{FLOW_COLUMNS, FlowRow};
pub(crate) use kept::Kept;
pub use kept::MAX_INLINE_RESULT;
pub(crate) use note::{NOTE_COLUMNS, NoteRow};
pub(crate) use run::{RUN_COLUMNS, RunRow, idx};
pub(crate) use source::SourceRow;
pub(crate) use stage::StageRow;
pub(crate) use step::StepRow;
