//! Futures inside of other data: found, waited for, and put in their place
//! (`prefect.futures.resolve_futures_to_states` and `_to_results`).

use std::time::Duration;

use sandmill_wire::Value;
use sandmill_wire::value::ValueError;

use super::error::RunError;
use super::task_future::TaskFuture;
use super::wait::{ReturnWhen, wait};
use crate::State;

/// Data that may hold leaves of type `L` anywhere: in lists, tuples, records, options, variants,
/// and in the keys as well as the values of maps.
#[derive(Debug, Clone, PartialEq)]
pub enum Nested<L> {
    /// A leaf: a future before resolving, a state or a value after.
    Leaf(L),
    /// Data without leaves: never touched.
    Value(Value),
    /// Items in order.
    List(Vec<Self>),
    /// A fixed number of items.
    Tuple(Vec<Self>),
    /// Fields by name, in order.
    Record(Vec<(String, Self)>),
    /// Keys and values, in order.
    Map(Vec<(Self, Self)>),
    /// Something or nothing.
    Option(Option<Box<Self>>),
    /// A named case, with or without data.
    Variant(String, Option<Box<Self>>),
}

/// What to do with runs that gave no value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Errors {
    /// Raise the first one, in the order in which the futures stand in the data.
    #[default]
    Raise,
    /// Leave them out of lists; put nil in their place elsewhere.
    Skip,
}

impl<L> Nested<L> {
    /// Every leaf, in the order in which they stand.
    pub fn leaves(&self) -> Vec<&L> {
        let mut found = Vec::new();
        self.visit(&mut |leaf| found.push(leaf));
        found
    }

    fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a L)) {
        match self {
            Self::Leaf(leaf) => visit(leaf),
            Self::Value(_) | Self::Option(None) | Self::Variant(_, None) => {}
            Self::List(items) | Self::Tuple(items) => {
                items.iter().for_each(|item| item.visit(visit));
            }
            Self::Record(fields) => fields.iter().for_each(|(_, value)| value.visit(visit)),
            Self::Map(entries) => entries.iter().for_each(|(key, value)| {
                key.visit(visit);
                value.visit(visit);
            }),
            Self::Option(Some(inner)) | Self::Variant(_, Some(inner)) => inner.visit(visit),
        }
    }

    /// The same data with every leaf replaced. `None` for a leaf leaves it out of its list, and
    /// puts nil in its place elsewhere.
    fn replace<M, E>(
        self,
        replace: &mut impl FnMut(L) -> Result<Option<M>, E>,
    ) -> Result<Nested<M>, E> {
        Ok(self.try_replace(replace)?.unwrap_or_else(|| Nested::Value(Value::nil())))
    }

    fn try_replace<M, E>(
        self,
        replace: &mut impl FnMut(L) -> Result<Option<M>, E>,
    ) -> Result<Option<Nested<M>>, E> {
        Ok(Some(match self {
            Self::Leaf(leaf) => return Ok(replace(leaf)?.map(Nested::Leaf)),
            Self::Value(value) => Nested::Value(value),
            Self::List(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for item in items {
                    kept.extend(item.try_replace(replace)?);
                }
                Nested::List(kept)
            }
            Self::Tuple(items) => Nested::Tuple(
                items.into_iter().map(|item| item.replace(replace)).collect::<Result<_, E>>()?,
            ),
            Self::Record(fields) => Nested::Record(
                fields
                    .into_iter()
                    .map(|(name, value)| Ok((name, value.replace(replace)?)))
                    .collect::<Result<_, E>>()?,
            ),
            Self::Map(entries) => Nested::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Ok((key.replace(replace)?, value.replace(replace)?)))
                    .collect::<Result<_, E>>()?,
            ),
            Self::Option(inner) => Nested::Option(match inner {
                Some(inner) => inner.try_replace(replace)?.map(Box::new),
                None => None,
            }),
            Self::Variant(name, inner) => Nested::Variant(
                name,
                inner.map(|inner| inner.replace(replace).map(Box::new)).transpose()?,
            ),
        }))
    }
}

/// Waits for every future in `data`, each once, and puts the run's final state in its place. Data
/// without futures comes back as it is. `timeout` bounds the wait; a run that has not ended then is
/// given in the state in which it stands.
pub fn resolve_futures_to_states(
    data: Nested<TaskFuture>,
    timeout: Option<Duration>,
) -> Nested<State> {
    wait_for(&data, timeout);
    let replaced =
        data.replace(&mut |future| Ok::<_, std::convert::Infallible>(Some(future.state())));
    match replaced {
        Ok(states) => states,
        Err(never) => match never {},
    }
}

/// Waits for every future in `data`, each once, and puts the run's value in its place. Data
/// without futures comes back as it is.
///
/// # Errors
/// With [`Errors::Raise`], the first run that gave no value: which one, and why. A run that has
/// not ended when `timeout` is over raises whatever `errors` says.
pub fn resolve_futures_to_results(
    data: Nested<TaskFuture>,
    timeout: Option<Duration>,
    errors: Errors,
) -> Result<Nested<Value>, RunError> {
    wait_for(&data, timeout);
    data.replace(&mut |future| match future.result(Some(Duration::ZERO)) {
        Ok(value) => Ok(Some(value)),
        Err(error) if errors == Errors::Skip && !error.is_wait_timeout() => Ok(None),
        Err(error) => Err(error),
    })
}

/// Makes one MessagePack value of resolved data: lists and tuples become arrays, records and maps
/// maps, nothing nil, and a case its name, or a map from its name to its data.
///
/// # Errors
/// When the value would be over the bounds of values.
pub fn resolve_to_value(data: &Nested<Value>) -> Result<Value, ValueError> {
    match data {
        Nested::Leaf(value) | Nested::Value(value) => Ok(value.clone()),
        Nested::List(items) | Nested::Tuple(items) => {
            let items = items.iter().map(resolve_to_value).collect::<Result<Vec<_>, _>>()?;
            Value::array_from(&items)
        }
        Nested::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| Ok((name.as_str(), resolve_to_value(value)?)))
                .collect::<Result<Vec<_>, ValueError>>()?;
            Value::map_from(fields.iter().map(|(name, value)| (*name, value)))
        }
        Nested::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| Ok((resolve_to_value(key)?, resolve_to_value(value)?)))
                .collect::<Result<Vec<_>, ValueError>>()?;
            Value::map_from_entries(&entries)
        }
        Nested::Option(None) => Ok(Value::nil()),
        Nested::Option(Some(inner)) => resolve_to_value(inner),
        Nested::Variant(name, None) => Value::encode(name),
        Nested::Variant(name, Some(inner)) => {
            Value::map_from([(name.as_str(), &resolve_to_value(inner)?)])
        }
    }
}

fn wait_for(data: &Nested<TaskFuture>, timeout: Option<Duration>) {
    let futures: Vec<TaskFuture> = data.leaves().into_iter().cloned().collect();
    wait(&futures, timeout, ReturnWhen::All);
}
