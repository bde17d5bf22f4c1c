//! [`each`]: the values of one parameter over the calls of a map. What every call is given alike is
//! in `argument`.

use serde::Serialize;

use super::argument::{AnyArgument, Argument, Gift, Given, UseDefault};
use super::future::TaskFuture;
use super::host;
use super::list::FutureList;
use crate::codec::ArrayEncoder;

/// Maps over `elements`: the call at position *i* takes element *i*. They may be values, from
/// anything that can be iterated over; the elements of the array that a run returns
/// (`&TaskFuture<Vec<T>>`); or the results of another map (`&FutureList<T>`), where each call starts
/// when the one that it takes from has ended, and not when all have.
///
/// Values are written down once and handed to the host, so a map of 100,000 calls costs the flow's
/// memory their bytes, once, and one handle.
///
/// ```
/// use sandmill_guest::flow::each;
/// use sandmill_guest::task;
///
/// #[task]
/// fn half(number: u64) -> u64 {
///     number / 2
/// }
///
/// #[task]
/// fn add(left: u64, right: u64) -> u64 {
///     left + right
/// }
///
/// # fn flow() -> Result<(), sandmill_guest::Failure> {
/// let halves = half::map(each(0..4));
/// let sums = add::map(each(&halves), 100);
/// assert_eq!(sums.results(None)?, [100, 100, 101, 101]);
/// # Ok(())
/// # }
/// # flow().unwrap();
/// ```
pub fn each<S>(elements: S) -> Each<S> {
    Each(elements)
}

/// What a map goes over: see [`each`].
#[derive(Clone, Copy, Debug)]
pub struct Each<S>(S);

/// What [`each`] can go over for a parameter of type `T`.
#[diagnostic::on_unimplemented(
    message = "a map over `{Self}` does not give a `{T}` to each call",
    label = "something with elements of type `{T}` goes here",
    note = "give anything that can be iterated over and has elements `{T}` or `&{T}`, a `&FutureList<{T}>`, or a `&TaskFuture<Vec<{T}>>`"
)]
pub trait Elements<T> {
    /// The elements in the contract's words.
    #[doc(hidden)]
    fn give_each<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

/// One value that [`each`] goes over, for a parameter of type `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given for a parameter of type `{T}`",
    label = "these elements are no `{T}`",
    note = "the elements are `{T}` or `&{T}`"
)]
pub trait Element<T>: Serialize {}

impl<T: Serialize> Element<T> for T {}
impl<T: Serialize> Element<T> for &T {}
impl Element<String> for &str {}
impl Element<String> for &&str {}

#[diagnostic::do_not_recommend]
impl<T, I> Elements<T> for I
where
    I: IntoIterator,
    I::Item: Element<T>,
{
    fn give_each<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        values(self)
    }
}

impl<T> Elements<T> for &TaskFuture<Vec<T>> {
    fn give_each<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Each(host::Elements::Result(self.handle())))
    }
}

impl<T> Elements<T> for &FutureList<T> {
    fn give_each<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Each(host::Elements::Results(self.handle())))
    }
}

fn values<'a>(items: impl IntoIterator<Item: Serialize>) -> Given<'a> {
    let mut array = ArrayEncoder::new();
    for item in items {
        if let Err(fault) = array.push(&item) {
            return Given(Gift::Fault(fault.to_string()));
        }
    }
    Given(Gift::Each(host::Elements::Values(array.finish())))
}

/// What may be given for a parameter of type `T` in a map: an [`Argument`], which each call is given
/// alike, or [`each`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given for a parameter of type `{T}`",
    label = "a `{T}` goes here, the future of one, or `each(…)`",
    note = "give `each(…)` over elements of type `{T}`, or for all calls alike a `{T}`, a `&{T}` or a `&TaskFuture<{T}>`"
)]
pub trait MapArgument<T> {
    /// Whether it is one for each call.
    #[doc(hidden)]
    const IS_EACH: bool;

    /// The argument in the contract's words.
    #[doc(hidden)]
    fn give_to_map<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

#[diagnostic::do_not_recommend]
impl<T, A: AnyArgument + Argument<T>> MapArgument<T> for A {
    const IS_EACH: bool = false;

    fn give_to_map<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        self.give()
    }
}

impl<T, S: Elements<T>> MapArgument<T> for Each<S> {
    const IS_EACH: bool = true;

    fn give_to_map<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        self.0.give_each()
    }
}

/// What may be given in a map for a parameter of type `T` that has a default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given for a parameter of type `{T}`",
    label = "a `{T}` goes here, the future of one, `each(…)`, or `DEFAULT`",
    note = "give `each(…)` over elements of type `{T}`, or for all calls alike a `{T}`, a `&{T}`, a `&TaskFuture<{T}>` or `sandmill_guest::flow::DEFAULT`"
)]
pub trait DefaultedMapArgument<T> {
    /// Whether it is one for each call.
    #[doc(hidden)]
    const IS_EACH: bool;

    /// The argument in the contract's words.
    #[doc(hidden)]
    fn give_to_map_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

#[diagnostic::do_not_recommend]
impl<T, A: AnyArgument + Argument<T>> DefaultedMapArgument<T> for A {
    const IS_EACH: bool = false;

    fn give_to_map_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        self.give()
    }
}

impl<T> DefaultedMapArgument<T> for UseDefault {
    const IS_EACH: bool = false;

    fn give_to_map_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Default)
    }
}

impl<T, S: Elements<T>> DefaultedMapArgument<T> for Each<S> {
    const IS_EACH: bool = true;

    fn give_to_map_or_default<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        self.0.give_each()
    }
}

/// What a map over a task can go over whose parameters the flow's author's compiler does not know.
#[diagnostic::on_unimplemented(
    message = "a map cannot go over `{Self}`",
    label = "something with elements goes here",
    note = "give anything that can be iterated over, a `&FutureList<_>`, or a `&TaskFuture<Vec<_>>`"
)]
pub trait AnyElements {
    /// The elements in the contract's words.
    #[doc(hidden)]
    fn give_each_any<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

impl<I> AnyElements for I
where
    I: IntoIterator,
    I::Item: Serialize,
{
    fn give_each_any<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        values(self)
    }
}

impl<T> AnyElements for &TaskFuture<Vec<T>> {
    fn give_each_any<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Each(host::Elements::Result(self.handle())))
    }
}

impl<T> AnyElements for &FutureList<T> {
    fn give_each_any<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given(Gift::Each(host::Elements::Results(self.handle())))
    }
}

/// Stops the build of a map that goes over nothing.
pub const fn assert_maps(is_each: &[bool]) {
    let mut index = 0;
    while index < is_each.len() {
        if is_each[index] {
            return;
        }
        index += 1;
    }
    panic!("a map goes over something: give `each(…)` for at least one parameter, or use `submit`");
}
