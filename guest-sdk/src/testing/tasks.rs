//! [`Tasks`]: what a test puts in the place of tasks that a flow calls.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desk;
use crate::flow::{State, StateType};
use crate::{Failure, codec};

/// What stands in for tasks while a test runs a flow: see [`with_tasks`]. Tasks of the flow's own
/// crate need none; they run as they are.
///
/// ```
/// use sandmill_guest::flow::{RunError, Task};
/// use sandmill_guest::testing::{Stub, Tasks, with_tasks};
/// use sandmill_guest::{Failure, flow};
///
/// #[flow]
/// fn price(item: String) -> Result<u64, Failure> {
///     let net = Task::<u64>::of("shop", "net").arg("item", item).submit();
///     let tax = Task::<u64>::of("shop", "tax").arg("net", &net).submit();
///     Ok(net.result(None)? + tax.result(None)?)
/// }
///
/// let shop = Tasks::new()
///     .stub("shop", "net", |_| Stub::value(&100))
///     .stub("shop", "tax", |arguments| match arguments.get::<u64>("net") {
///         Ok(net) => Stub::value(&(net / 5)),
///         Err(failure) => Stub::failure(failure),
///     });
/// assert_eq!(with_tasks(shop, || price("pear".to_owned())).unwrap(), 120);
///
/// let closed = Tasks::new().stub("shop", "net", |_| Stub::failure(Failure::new("closed", "")));
/// let failure = with_tasks(closed, || price("pear".to_owned())).unwrap_err();
/// assert_eq!(failure.kind(), Failure::RUN_FAILED);
/// ```
#[derive(Clone, Default)]
pub struct Tasks {
    stubs: BTreeMap<(Option<String>, String), Rc<Answer>>,
}

type Answer = dyn Fn(&StubArguments<'_>) -> Stub;

impl Tasks {
    /// Nothing stands in for anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// `answer` stands in for a task of another component.
    #[must_use]
    pub fn stub(
        mut self,
        component: impl Into<String>,
        task: impl Into<String>,
        answer: impl Fn(&StubArguments<'_>) -> Stub + 'static,
    ) -> Self {
        self.stubs.insert((Some(component.into()), task.into()), Rc::new(answer));
        self
    }

    /// `answer` stands in for a task of the flow's own component.
    #[must_use]
    pub fn own_stub(
        mut self,
        task: impl Into<String>,
        answer: impl Fn(&StubArguments<'_>) -> Stub + 'static,
    ) -> Self {
        self.stubs.insert((None, task.into()), Rc::new(answer));
        self
    }

    pub(super) fn find(&self, component: Option<&str>, task: &str) -> Option<Rc<Answer>> {
        self.stubs.get(&(component.map(str::to_owned), task.to_owned())).cloned()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.stubs.keys()).finish()
    }
}

/// Runs `body` with `tasks` in place. Calls of these may nest; the innermost stub counts.
pub fn with_tasks<T>(tasks: Tasks, body: impl FnOnce() -> T) -> T {
    let _guard = desk::put(tasks);
    body()
}

/// The arguments of a call that a stub answers.
#[derive(Debug)]
pub struct StubArguments<'a>(pub(super) &'a [(String, Vec<u8>)]);

impl StubArguments<'_> {
    /// The argument of a name.
    ///
    /// # Errors
    /// It was not given, or is no `T`: kind [`Failure::INVALID_ARGUMENTS`].
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let fault = |message: String| Failure::new(Failure::INVALID_ARGUMENTS, message);
        let (_, bytes) = self
            .0
            .iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| fault(format!("`{name}` is missing")))?;
        codec::decode(bytes).map_err(|error| fault(format!("`{name}` does not fit: {error}")))
    }
}

/// What a run comes to by the word of a stub.
#[derive(Clone, Debug)]
pub struct Stub(pub(super) Come);

#[derive(Clone, Debug)]
pub(super) enum Come {
    Value(Vec<u8>),
    Failure(Failure),
    State(State),
    Never,
}

impl Stub {
    /// It returns this value.
    ///
    /// # Panics
    /// The value has no MessagePack form.
    pub fn value<T: Serialize + ?Sized>(value: &T) -> Self {
        let bytes = codec::encode(value).unwrap_or_else(|fault| panic!("a stub's value: {fault}"));
        Self(Come::Value(bytes))
    }

    /// It returns this failure.
    pub fn failure(failure: Failure) -> Self {
        Self(Come::Failure(failure))
    }

    /// The host ends it in this state, such as `StateType::Failed`, `"TimedOut"`.
    ///
    /// # Panics
    /// No run ends in a state of this type, or only one with a value.
    pub fn ended(kind: StateType, name: impl Into<String>, message: impl Into<String>) -> Self {
        assert!(
            kind.is_final() && kind != StateType::Completed,
            "a run without a value does not end as {kind}"
        );
        Self(Come::State(State { kind, name: name.into(), message: Some(message.into()) }))
    }

    /// It does not end, unless it is cancelled. A flow that waits for it without a time makes the
    /// test panic rather than hang.
    pub fn never() -> Self {
        Self(Come::Never)
    }
}
