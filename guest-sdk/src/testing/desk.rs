//! Where calls of a flow under test are answered: which tasks there are, and what a run of one
//! comes to. What the flow sees of it is in `futures`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::contract::{CallOptions, RetryPolicy, State, StateType, Target};
use super::tasks::{Come, StubArguments, Tasks};
use super::{Context, nested};
use crate::export::Entry;
use crate::flow::StateType as PublicType;
use crate::{Failure, codec};

#[derive(Default)]
struct Desk {
    /// The tasks of this crate that were called, by name.
    own: BTreeMap<&'static str, Entry>,
    /// The stubs in place, innermost last.
    stubs: Vec<Tasks>,
    /// How many runs there were: their ids are numbered.
    runs: u64,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) state: State,
    pub(super) value: Option<Vec<u8>>,
    pub(super) failure: Option<Failure>,
}

impl End {
    pub(super) fn of_host(kind: StateType, name: &str, message: impl Into<String>) -> Self {
        let state = State { kind, name: name.to_owned(), message: Some(message.into()) };
        Self { state, value: None, failure: None }
    }

    pub(super) fn cancelled() -> Self {
        Self::of_host(StateType::Cancelled, "Cancelled", "cancelled by the flow")
    }

    fn value(bytes: Vec<u8>) -> Self {
        let state =
            State { kind: StateType::Completed, name: "Completed".to_owned(), message: None };
        Self { state, value: Some(bytes), failure: None }
    }

    fn failure(failure: Failure) -> Self {
        let (kind, name) = match failure.kind() {
            Failure::SKIPPED => (StateType::Completed, "Skipped"),
            _ => (StateType::Failed, "Failed"),
        };
        let state = State { kind, name: name.to_owned(), message: Some(failure.to_string()) };
        Self { state, value: None, failure: Some(failure) }
    }
}

/// Takes the innermost stubs away even if the body panics.
pub(super) struct StubsGuard;

impl Drop for StubsGuard {
    fn drop(&mut self) {
        let tasks = DESK.with_borrow_mut(|desk| desk.stubs.pop());
        drop(tasks);
    }
}

/// Puts stubs in place.
pub(super) fn put(tasks: Tasks) -> StubsGuard {
    DESK.with_borrow_mut(|desk| desk.stubs.push(tasks));
    StubsGuard
}

/// Remembers a task that is about to be called.
pub(crate) fn know(entry: Entry) {
    DESK.with_borrow_mut(|desk| desk.own.insert(entry.name(), entry));
}

/// A new run's id.
pub(super) fn new_id() -> String {
    DESK.with_borrow_mut(|desk| {
        desk.runs += 1;
        format!("00000000-0000-7000-8000-{:012x}", desk.runs)
    })
}

/// Performs a run, with all its attempts; `None` when it does not end.
pub(super) fn perform(
    target: &Target,
    arguments: &[(String, Vec<u8>)],
    options: &CallOptions,
    run_id: &str,
    map_index: Option<u64>,
) -> Option<End> {
    let mut attempt = 1;
    loop {
        let context = Context {
            run_id: run_id.to_owned(),
            attempt,
            map_index,
            deadline: options.timeout.map(Duration::from_nanos),
            is_cancelled: false,
        };
        let end = nested(context, || attempt_of(target, arguments))?;
        match &options.retries {
            Some(policy) if attempt <= policy.retries && is_retried(policy, &end) => attempt += 1,
            _ => return Some(end),
        }
    }
}

fn attempt_of(target: &Target, arguments: &[(String, Vec<u8>)]) -> Option<End> {
    let (component, task) = (target.component.as_deref(), &target.task);
    let (stub, own) = DESK.with_borrow(|desk| {
        let stub = desk.stubs.iter().rev().find_map(|tasks| tasks.find(component, task));
        let own = component.is_none().then(|| desk.own.get(&**task).copied()).flatten();
        (stub, own)
    });
    if let Some(stub) = stub {
        return match stub(&StubArguments(arguments)).0 {
            Come::Value(bytes) => Some(End::value(bytes)),
            Come::Failure(failure) => Some(End::failure(failure)),
            Come::Never => None,
            Come::State(state) => Some(End {
                state: State {
                    kind: match state.kind {
                        PublicType::Crashed => StateType::Crashed,
                        PublicType::Cancelled => StateType::Cancelled,
                        _ => StateType::Failed,
                    },
                    name: state.name,
                    message: state.message,
                },
                value: None,
                failure: None,
            }),
        };
    }
    let Some(own) = own else {
        let place = match component {
            Some(component) => format!("component `{component}`"),
            None => "this component".to_owned(),
        };
        let message = format!(
            "this test knows no task `{task}` of {place}: put a stub in its place with \
             `sandmill_guest::testing::with_tasks`"
        );
        return Some(End::of_host(StateType::Failed, "Refused", message));
    };
    let arguments = codec::join(arguments);
    // A panic is the end of the task's run, as in a host, and not of the flow's.
    let returned = catch_unwind(AssertUnwindSafe(|| own.run(&arguments)));
    Some(match returned {
        Ok(Ok(bytes)) => End::value(bytes),
        Ok(Err(failure)) => End::failure(failure),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("panicked");
            End::of_host(StateType::Failed, "Trapped", message)
        }
    })
}

/// Whether a host would try again after such an end.
fn is_retried(policy: &RetryPolicy, end: &End) -> bool {
    let is_final = match (&end.failure, end.state.kind) {
        (_, StateType::Completed | StateType::Cancelled) => true,
        (Some(failure), _) => {
            [Failure::INVALID_ARGUMENTS, Failure::UNKNOWN_TASK].contains(&failure.kind())
        }
        (None, _) => end.state.name == "Refused",
    };
    if matches!(end.state.kind, StateType::Completed | StateType::Cancelled) {
        return false;
    }
    let Some(names) = &policy.on else { return !is_final };
    let kind = match &end.failure {
        Some(failure) => failure.kind().to_owned(),
        None => kebab(&end.state.name),
    };
    let is_failure = end.failure.is_some();
    let is_retriable = end.failure.as_ref().is_some_and(Failure::is_retriable);
    names.iter().any(|name| {
        *name == kind || (name == "failure" && is_failure) || (name == "retriable" && is_retriable)
    })
}

/// `TimedOut` as `timed-out`: the name of a state as that of an end.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(character.to_ascii_lowercase());
    }
    kebab
}
