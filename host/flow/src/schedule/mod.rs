//! Which call of a flow comes next: a plain function of a plan and of what has ended so far. No
//! threads, no clock, no I/O, so that a journal can drive it as well as a runner.

mod blame;
mod conclusion;
mod ending;
mod inputs;
mod links;
mod marks;
mod piece;
mod recall;
#[expect(clippy::module_inception, reason = "the schedule is the one noun of the file")]
mod schedule;
mod stage;
mod step;
mod trigger;
mod verdict;

pub use blame::Blame;
pub use inputs::MAX_RESULT_BYTES;
pub(crate) use marks::Marks;
pub use schedule::Schedule;
pub use step::{Cause, Conclusion, Ended, Step};
