//! Unit tests of tasks, on any target that is not WebAssembly: a stand-in for the host that
//! answers [`context`](crate::context) and keeps what the task logs and reports. A flow's calls are
//! answered here too: tasks of its own crate run when they are called, and [`with_tasks`] puts
//! stubs in the place of others.
//!
//! ```
//! use sandmill_guest::testing::{self, Context};
//! use sandmill_guest::{context, log, task};
//!
//! /// Succeeds on the second try.
//! #[task]
//! fn flaky() -> u32 {
//!     log::warn!("this is attempt {}", context::attempt());
//!     context::report_progress(1, Some(2), "half");
//!     context::attempt()
//! }
//!
//! let seen = testing::with(Context { attempt: 2, ..Context::default() }, flaky);
//! assert_eq!(seen.result, 2);
//! assert_eq!(seen.log[0].message, "this is attempt 2");
//! assert_eq!(seen.progress[0].total, Some(2));
//! ```
mod contract;
mod desk;
pub(crate) mod futures;
mod tasks;

use std::cell::RefCell;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::ser::Serialize;

use crate::log::Level;
use crate::task::Task;
use crate::{Failure, codec};

pub use tasks::{Stub, StubArguments, Tasks, with_tasks};

/// What a task reads from [`crate::context`]. The default is a first attempt outside of a map,
/// with no deadline and nobody who asked it to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// See [`crate::context::run_id`].
    pub run_id: String,
    /// See [`crate::context::attempt`].
    pub attempt: u32,
    /// See [`crate::context::map_index`].
    pub map_index: Option<u64>,
    /// See [`crate::context::deadline`]; it does not run down. At most 584 years are kept.
    pub deadline: Option<Duration>,
    /// See [`crate::context::is_cancelled`].
    pub is_cancelled: bool,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            // The first UUIDv7 there is.
            run_id: "00000000-0000-7000-8000-000000000000".to_owned(),
            attempt: 1,
            map_index: None,
            deadline: None,
            is_cancelled: false,
        }
    }
}

/// A line written through [`crate::log`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// Its text.
    pub message: String,
}

/// A call of [`crate::context::report_progress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// A few words.
    pub message: String,
}

/// What [`with`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// What the body returned.
    pub result: T,
    /// Every line it logged, in order.
    pub log: Vec<LogLine>,
    /// Every report of progress, in order; a host may merge them.
    pub progress: Vec<Progress>,
}

#[derive(Default)]
struct Stage {
    context: Context,
    log: Vec<LogLine>,
    progress: Vec<Progress>,
}

thread_local! {
    /// The stand-ins of this thread, innermost last.
    static STAGES: RefCell<Vec<Stage>> = const { RefCell::new(Vec::new()) };
}

/// Takes the innermost stage down even if the body panics, as a failed assertion does.
struct StageGuard;

impl StageGuard {
    fn take(self) -> Stage {
        std::mem::forget(self);
        STAGES.with_borrow_mut(|stages| stages.pop().unwrap_or_default())
    }
}

impl Drop for StageGuard {
    fn drop(&mut self) {
        STAGES.with_borrow_mut(|stages| stages.pop());
    }
}

/// Runs `body` on this thread with `context` in place, and returns what it logged and reported as
/// well. Outside of `with`, tasks see the default context and what they log is dropped.
pub fn with<T>(context: Context, body: impl FnOnce() -> T) -> Seen<T> {
    STAGES.with_borrow_mut(|stages| stages.push(Stage { context, ..Stage::default() }));
    let guard = StageGuard;
    let result = body();
    let Stage { log, progress, .. } = guard.take();
    Seen { result, log, progress }
}

/// Runs `body` as a run of its own inside of another: with a context of its own, while what it logs
/// joins what the other does.
fn nested<T>(context: Context, body: impl FnOnce() -> T) -> T {
    STAGES.with_borrow_mut(|stages| stages.push(Stage { context, ..Stage::default() }));
    let guard = StageGuard;
    let result = body();
    let Stage { mut log, .. } = guard.take();
    STAGES.with_borrow_mut(|stages| {
        if let Some(outer) = stages.last_mut() {
            outer.log.append(&mut log);
        }
    });
    result
}

/// Calls a task as a host does: `arguments` (a map or a struct with named fields) becomes
/// MessagePack, is checked against the parameters, and the result comes back through MessagePack
/// too. So this covers names, defaults and encodings, which a plain call of the function does not.
///
/// ```
/// use sandmill_guest::{task, testing};
///
/// #[task]
/// fn double(number: u32, #[default(2)] factor: u32) -> u32 {
///     number * factor
/// }
///
/// let arguments = std::collections::BTreeMap::from([("number", 21)]);
/// assert_eq!(testing::call::<double, u32>(&arguments).unwrap(), 42);
/// ```
///
/// # Errors
/// What the task returned, or [`Failure::INVALID_ARGUMENTS`], or [`Failure::INVALID_RESULT`] (also
/// when the result is no `R`).
pub fn call<T: Task, R: DeserializeOwned>(
    arguments: &(impl Serialize + ?Sized),
) -> Result<R, Failure> {
    let arguments = codec::encode(arguments)
        .map_err(|error| Failure::new(Failure::INVALID_ARGUMENTS, error.to_string()))?;
    let result = T::ENTRY.run(&arguments)?;
    codec::decode(&result).map_err(|fault| Failure::new(Failure::INVALID_RESULT, fault.to_string()))
}

/// The face of the bindings that [`crate::context`] and [`crate::log`] use, answered from here.
pub(crate) mod host {
    use super::{Context, Level, LogLine, Progress, STAGES};

    fn context<T>(read: impl FnOnce(&Context) -> T) -> T {
        STAGES.with_borrow(|stages| match stages.last() {
            Some(stage) => read(&stage.context),
            None => read(&Context::default()),
        })
    }

    pub(crate) fn run_id() -> String {
        context(|context| context.run_id.clone())
    }

    pub(crate) fn attempt() -> u32 {
        context(|context| context.attempt)
    }

    pub(crate) fn map_index() -> Option<u64> {
        context(|context| context.map_index)
    }

    pub(crate) fn deadline() -> Option<u64> {
        let left = context(|context| context.deadline)?;
        Some(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn is_cancelled() -> bool {
        context(|context| context.is_cancelled)
    }

    pub(crate) fn report_progress(done: u64, total: Option<u64>, message: &str) {
        STAGES.with_borrow_mut(|stages| {
            if let Some(stage) = stages.last_mut() {
                stage.progress.push(Progress { done, total, message: message.to_owned() });
            }
        });
    }

    pub(crate) fn write(level: Level, message: &str) {
        STAGES.with_borrow_mut(|stages| {
            if let Some(stage) = stages.last_mut() {
                stage.log.push(LogLine { level, message: message.to_owned() });
            }
        });
    }
}
