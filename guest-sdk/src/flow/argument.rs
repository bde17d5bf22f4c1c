//! [`Argument`]: what may be given for a parameter when a flow makes a call. What may be given for
//! a mapped one is in `elements`.

use serde::Serialize;

use super::future::TaskFuture;
use super::host;
use super::list::FutureList;
use crate::codec;

/// What may be given for a parameter of type `T`: a value (`T`, `&T`; `&str` for a `String`; a slice
/// or an array for a `Vec`), or the future of a run that returns one (`&TaskFuture<T>`; for a
/// `Vec<T>` also `&FutureList<T>`). The result of a future goes to the task without passing
/// through the flow, and the call starts when it is there.
///
/// A value without a MessagePack form, such as an integer beyond 64 bits, makes the call panic.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given for a parameter of type `{T}`",
    label = "a `{T}` goes here, or the future of one",
    note = "give a `{T}`, a `&{T}`, or a `&TaskFuture<{T}>` whose run returns one; `each(…)` is for maps, and `DEFAULT` for parameters with `#[default]`"
)]
pub trait Argument<T>: AnyArgument {
    /// The argument in the contract's words.
    #[doc(hidden)]
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

/// What may be given for a parameter of type `T` that has a default: an [`Argument`], or
/// [`DEFAULT`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given for a parameter of type `{T}`",
    label = "a `{T}` goes here, the future of one, or `DEFAULT`",
    note = "give a `{T}`, a `&{T}`, a `&TaskFuture<{T}>` whose run returns one, or `sandmill_guest::flow::DEFAULT`"
)]
pub trait DefaultedArgument<T> {
    /// The argument in the contract's words.
    #[doc(hidden)]
    fn give_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

/// Leaves a parameter with `#[default]` to its default.
pub const DEFAULT: UseDefault = UseDefault(());

/// The type of [`DEFAULT`].
#[derive(Clone, Copy, Debug)]
pub struct UseDefault(());

/// An argument in the contract's words, or why it cannot be put into them.
#[derive(Debug)]
pub struct Given<'a>(pub(super) Gift<'a>);

#[derive(Debug)]
pub(super) enum Gift<'a> {
    /// Nothing: the task's default.
    Default,
    /// The same for each call.
    Same(host::Argument<'a>),
    /// One for each call of a map.
    Each(host::Elements<'a>),
    /// It has no MessagePack form.
    Fault(String),
}

impl Given<'_> {
    /// A value.
    pub(super) fn value<V: Serialize + ?Sized>(value: &V) -> Self {
        Self(match codec::encode(value) {
            Ok(bytes) => Gift::Same(host::Argument::Value(bytes)),
            Err(fault) => Gift::Fault(fault.to_string()),
        })
    }
}

impl<T: Serialize> Argument<T> for T {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(&self)
    }
}

impl<T: Serialize> Argument<T> for &T {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(self)
    }
}

impl Argument<String> for &str {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(self)
    }
}

impl Argument<crate::Bytes> for &[u8] {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(&crate::Bytes::from(self))
    }
}

impl<T: Serialize> Argument<Vec<T>> for &[T] {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(self)
    }
}

impl<T: Serialize, const N: usize> Argument<Vec<T>> for [T; N]
where
    [T; N]: Serialize,
{
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(self.as_slice())
    }
}

impl<T: Serialize, const N: usize> Argument<Vec<T>> for &[T; N]
where
    [T; N]: Serialize,
{
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(self.as_slice())
    }
}

impl<T> Argument<T> for &TaskFuture<T> {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Same(host::Argument::Result(self.handle())))
    }
}

impl<T> Argument<Option<T>> for &TaskFuture<T> {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Same(host::Argument::Result(self.handle())))
    }
}

impl<T> Argument<Vec<T>> for &FutureList<T> {
    fn give<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Same(host::Argument::Results(self.handle())))
    }
}

#[diagnostic::do_not_recommend]
impl<T, A: AnyArgument + Argument<T>> DefaultedArgument<T> for A {
    fn give_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        self.give()
    }
}

impl<T> DefaultedArgument<T> for UseDefault {
    fn give_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Default)
    }
}

/// What may be given by name to a task whose parameters the flow's author's compiler does not know:
/// any value, or any future.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given to a task",
    label = "a value that implements `serde::Serialize` goes here, or a future by reference",
    note = "a future goes by reference, `&future`: the flow keeps its handle"
)]
pub trait AnyArgument {
    /// The argument in the contract's words.
    #[doc(hidden)]
    fn give_any<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

impl<V: Serialize> AnyArgument for V {
    fn give_any<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::value(&self)
    }
}

impl<T> AnyArgument for &TaskFuture<T> {
    fn give_any<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Same(host::Argument::Result(self.handle())))
    }
}

impl<T> AnyArgument for &FutureList<T> {
    fn give_any<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Same(host::Argument::Results(self.handle())))
    }
}
