//! Flows: functions under [`macro@crate::flow`] that call tasks and other flows, and go on with what
//! becomes of them. A flow is sandboxed like a task, and survives its host: when it is taken up
//! again after a crash it runs from its beginning, is told what it was told before, and nothing is
//! done twice.
//!
//! ```
//! use sandmill_guest::flow::{Options, as_completed, each};
//! use sandmill_guest::{Failure, flow, task};
//!
//! /// How many words a text has.
//! #[task]
//! fn count_words(text: String) -> u64 {
//!     text.split_whitespace().count() as u64
//! }
//!
//! /// How many words several texts have.
//! #[flow]
//! fn count_all(texts: Vec<String>) -> Result<u64, Failure> {
//!     let counts = count_words::with(Options::new().retries(2)).map(each(&texts));
//!     let mut sum = 0;
//!     for run in as_completed(&counts, None) {
//!         sum += run?.result(None)?;
//!     }
//!     Ok(sum)
//! }
//!
//! sandmill_guest::export!(count_words, flow count_all);
//!
//! // In a test, the tasks run inside of the flow, each when it is called:
//! let texts = ["to be", "or not to be"].map(str::to_owned);
//! assert_eq!(count_all(texts.to_vec()).unwrap(), 6);
//! ```
//!
//! # Calls
//!
//! `#[task]` and `#[flow]` write for each function, beside it, what a flow calls it by:
//!
//! | | |
//! |---|---|
//! | `count::submit(a, b)` | calls it: a [`TaskFuture`] of what it returns |
//! | `count::map(each(list), b)` | calls it once for each element: a [`FutureList`] |
//! | `count::with(options)` | the same two, with [`Options`] |
//! | [`Task::of`]`("component", "count")` | a task of another component, by name |
//!
//! For a parameter go a value, or the [future](Argument) of a run whose result it is. In the run of
//! a task every call traps: only flows may make them.
//!
//! # The same again
//!
//! A flow has to ask the same, in the same order, whenever it is told the same. It has no clock, no
//! randomness, no files and no network of its own unless they are granted, so it does; a grant of
//! one of them is for its tasks. What depends on the outside belongs into a task.

mod argument;
mod as_completed;
mod cache;
mod call;
mod callbacks;
mod elements;
mod error;
mod future;
mod host;
mod list;
mod options;
mod retries;
mod state;
mod wait;

pub use argument::{AnyArgument, Argument, DEFAULT, DefaultedArgument, Given, UseDefault};
pub use as_completed::{AsCompleted, AsTaskFuture, Watch, as_completed};
pub use cache::Cache;
pub use call::{NamedCall, NamedMap, Task};
pub use elements::{AnyElements, DefaultedMapArgument, Each, Element, Elements, MapArgument, each};
pub use error::{FailedRun, RunError, WaitError, WaitTimeout};
pub use future::{AnyFuture, FlowResult, TaskFuture};
pub use list::FutureList;
pub use options::Options;
pub use retries::Retries;
pub use state::{State, StateType};
pub use wait::{DoneAndNotDone, ReturnWhen, sleep, wait};
#[doc(hidden)]
pub use {call::OwnCall, callbacks::run_flow, elements::assert_maps};
