//! [`Task`]: a task or flow by its name, and the calls that a flow makes of it. The functions that
//! `#[task]` writes for the tasks of a crate come down to the same.

use std::marker::PhantomData;

use super::argument::{AnyArgument, Gift, Given};
use super::elements::AnyElements;
use super::future::TaskFuture;
use super::host;
use super::host::know;
use super::list::FutureList;
use super::options::Options;
use crate::export::Entry;

/// A call in the making.
struct Draft<'a> {
    target: host::Target,
    options: Options,
    each: Vec<(String, host::Elements<'a>)>,
    same: Vec<(String, host::Argument<'a>)>,
}

impl<'a> Draft<'a> {
    fn new(component: Option<String>, task: String, options: Options) -> Self {
        let target = host::Target { component, task };
        Self { target, options, each: Vec::new(), same: Vec::new() }
    }

    fn give(&mut self, name: impl Into<String>, given: Given<'a>) {
        let name = name.into();
        match given.0 {
            Gift::Default => {}
            Gift::Same(argument) => self.same.push((name, argument)),
            Gift::Each(elements) => self.each.push((name, elements)),
            Gift::Fault(fault) => {
                panic!("argument `{name}` of `{}` cannot be sent: {fault}", self.target.task)
            }
        }
    }

    fn submit<T>(self) -> TaskFuture<T> {
        TaskFuture::new(host::submit(&self.target, &self.same, &self.options.to_host()))
    }

    fn map<T>(self) -> FutureList<T> {
        let options = self.options.to_host();
        FutureList::new(host::map(&self.target, &self.each, &self.same, &options))
    }
}

/// A call of a task of this crate in the making; for generated code.
pub struct OwnCall<'a>(Draft<'a>);

impl<'a> OwnCall<'a> {
    /// A call without arguments yet.
    pub fn new(entry: Entry, options: Options) -> Self {
        know(entry);
        Self(Draft::new(None, entry.name().to_owned(), options))
    }

    /// Adds an argument.
    ///
    /// # Panics
    /// It has no MessagePack form.
    pub fn give(mut self, name: &'static str, given: Given<'a>) -> Self {
        self.0.give(name, given);
        self
    }

    /// Makes the call.
    pub fn submit<T>(self) -> TaskFuture<T> {
        self.0.submit()
    }

    /// Makes the calls of a map.
    pub fn map<T>(self) -> FutureList<T> {
        self.0.map()
    }
}

/// A task or flow by its name: of another component, or of this one where the name is only known
/// when the flow runs. `T` is what it returns; arguments go by name, and the host checks them.
///
/// A task of the same crate has functions of its own, whose arguments the compiler checks:
/// `count::submit(…)`, `count::map(…)`, `count::with(options)`.
///
/// ```no_run
/// use sandmill_guest::Failure;
/// use sandmill_guest::flow::{Options, Task};
///
/// # fn flow(pages: Vec<String>) -> Result<u64, Failure> {
/// let words = Task::<u64>::of("texts", "count_words");
/// let first = words.arg("text", "to be or not").submit();
/// let patient = words.with(Options::new().retries(3));
/// let counts = patient.arg("shortest", &first).each("text", &pages).map();
/// Ok(counts.results(None)?.iter().sum())
/// # }
/// ```
pub struct Task<T> {
    component: Option<String>,
    task: String,
    options: Options,
    returns: PhantomData<fn() -> T>,
}

impl<T> Task<T> {
    /// A task of another component, by the name under which the flow's run knows that.
    pub fn of(component: impl Into<String>, task: impl Into<String>) -> Self {
        Self::new(Some(component.into()), task.into())
    }

    /// A task of the flow's own component.
    pub fn own(task: impl Into<String>) -> Self {
        Self::new(None, task.into())
    }

    fn new(component: Option<String>, task: String) -> Self {
        Self { component, task, options: Options::new(), returns: PhantomData }
    }

    /// The same task, called with these options instead of any said before.
    #[must_use]
    pub fn with(&self, options: Options) -> Self {
        Self { options, ..self.clone() }
    }

    /// Starts a call with an argument: any value with `serde::Serialize`, or a future or a list of
    /// futures by reference.
    ///
    /// # Panics
    /// The value has no MessagePack form, such as an integer beyond 64 bits.
    pub fn arg<'a>(&self, name: &str, argument: impl AnyArgument + 'a) -> NamedCall<'a, T> {
        self.call().arg(name, argument)
    }

    /// Starts a map over the elements of anything that [`each`](super::each) goes over.
    ///
    /// # Panics
    /// An element has no MessagePack form.
    pub fn each<'a>(&self, name: &str, elements: impl AnyElements + 'a) -> NamedMap<'a, T> {
        self.call().each(name, elements)
    }

    /// Calls it without arguments.
    pub fn submit(&self) -> TaskFuture<T> {
        self.call().submit()
    }

    fn call<'a>(&self) -> NamedCall<'a, T> {
        let draft = Draft::new(self.component.clone(), self.task.clone(), self.options.clone());
        NamedCall { draft, returns: PhantomData }
    }
}

impl<T> Clone for Task<T> {
    fn clone(&self) -> Self {
        Self {
            component: self.component.clone(),
            task: self.task.clone(),
            options: self.options.clone(),
            returns: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Task")
            .field("component", &self.component)
            .field("task", &self.task)
            .field("options", &self.options)
            .finish()
    }
}

/// A call of a [`Task`] in the making. Nothing is called before `submit`.
#[must_use = "nothing is called before `submit`"]
pub struct NamedCall<'a, T> {
    draft: Draft<'a>,
    returns: PhantomData<fn() -> T>,
}

impl<'a, T> NamedCall<'a, T> {
    /// Adds an argument, as [`Task::arg`].
    ///
    /// # Panics
    /// The value has no MessagePack form.
    pub fn arg(mut self, name: &str, argument: impl AnyArgument + 'a) -> Self {
        self.draft.give(name, argument.give_any());
        self
    }

    /// Makes a map of it, as [`Task::each`].
    ///
    /// # Panics
    /// An element has no MessagePack form.
    pub fn each(self, name: &str, elements: impl AnyElements + 'a) -> NamedMap<'a, T> {
        NamedMap { draft: self.draft, returns: PhantomData }.each(name, elements)
    }

    /// Makes the call. Never fails and does not wait: what is wrong with the call is the outcome of
    /// its run.
    pub fn submit(self) -> TaskFuture<T> {
        self.draft.submit()
    }
}

/// A map of a [`Task`] in the making. Nothing is called before `map`.
#[must_use = "nothing is called before `map`"]
pub struct NamedMap<'a, T> {
    draft: Draft<'a>,
    returns: PhantomData<fn() -> T>,
}

impl<'a, T> NamedMap<'a, T> {
    /// Adds an argument that each call is given alike, as [`Task::arg`].
    ///
    /// # Panics
    /// The value has no MessagePack form.
    pub fn arg(mut self, name: &str, argument: impl AnyArgument + 'a) -> Self {
        self.draft.give(name, argument.give_any());
        self
    }

    /// Goes over one more list of the same length.
    ///
    /// # Panics
    /// An element has no MessagePack form.
    pub fn each(mut self, name: &str, elements: impl AnyElements + 'a) -> Self {
        self.draft.give(name, elements.give_each_any());
        self
    }

    /// Makes the calls. Never fails and does not wait: lists of different lengths are an error that
    /// [`FutureList::len`] gives.
    pub fn map(self) -> FutureList<T> {
        self.draft.map()
    }
}
