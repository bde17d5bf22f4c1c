//! Where the arguments of a command's runs come from: values that the flow gave, and results of
//! earlier commands. What results there are is for `book`.

use std::sync::Arc;

use sandmill_core::{FlowArgument, FlowElements, FutureKey};
use sandmill_wire::value::{ArgumentTemplate, Bounds, Elements, MAX_BYTES, MAX_NODES};
use sandmill_wire::{Failure, Value};

use crate::schedule::Cause;

/// Kind of the failure of a map over something that is no array.
const NOT_AN_ARRAY: &str = "not-an-array";
/// Kind of the failure of a map whose lists are not equally long, or that has none.
const LENGTH_MISMATCH: &str = "mapping-length-mismatch";
/// Kind of the failure of a run whose arguments are larger than they may be.
const ARGUMENTS_TOO_LARGE: &str = "arguments-too-large";

/// The bounds of a value that may have so many bytes: as many nodes to a byte as by default.
pub(super) fn bounds(bytes: u64) -> Bounds {
    let max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let max_nodes = (max_bytes / (MAX_BYTES / MAX_NODES)).max(MAX_NODES);
    Bounds { max_bytes, max_nodes, ..Bounds::DEFAULT }
}

/// What a command was given.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) each: Vec<(String, FlowElements)>,
    pub(super) same: Vec<(String, FlowArgument)>,
}

/// What a command's runs have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// This run's result.
    One(FutureKey),
    /// All results of this command.
    All(u32),
    /// The results of this command, each for one run.
    Pipe(u32),
}

impl Given {
    /// What the runs take from elsewhere.
    pub(super) fn sources(&self) -> Vec<Source> {
        let each = self.each.iter().filter_map(|(_, elements)| match elements {
            FlowElements::Values(_) => None,
            FlowElements::Result(key) => Some(Source::One(*key)),
            FlowElements::Results(command) => Some(Source::Pipe(*command)),
        });
        let same = self.same.iter().filter_map(|(_, argument)| match argument {
            FlowArgument::Value(_) => None,
            FlowArgument::Result(key) => Some(Source::One(*key)),
            FlowArgument::Results(command) => Some(Source::All(*command)),
        });
        each.chain(same).collect()
    }

    /// Bytes of the values that the flow gave.
    pub(super) fn bytes(&self) -> u64 {
        let each = self.each.iter().map(|(name, elements)| match elements {
            FlowElements::Values(value) => value.len_bytes() + name.len(),
            _ => name.len(),
        });
        let same = self.same.iter().map(|(name, argument)| match argument {
            FlowArgument::Value(value) => value.len_bytes() + name.len(),
            _ => name.len(),
        });
        each.chain(same).sum::<usize>() as u64
    }
}

/// An argument that differs from run to run.
pub(super) enum Varying {
    /// The elements of an array, for runs that are handed out in order.
    Sequence {
        rest: Box<Elements>,
        /// The position of the first of `rest`.
        at: u64,
    },
    /// The same for runs that are handed out in any order.
    Items(Vec<Value>),
    /// The results of this command, by position.
    Pipe(u32),
}

/// The arguments of a command whose sources are there.
pub(super) struct Opened {
    pub(super) template: ArgumentTemplate,
    pub(super) varying: Vec<Varying>,
    pub(super) total: u64,
}

/// Puts together what was found for each parameter. `limit` is how many bytes the arguments of one
/// run may have.
pub(super) fn open(
    same: &[(String, Value)],
    varying: Vec<(String, Varying, u64)>,
    mapped: bool,
    limit: u64,
) -> Result<Opened, Cause> {
    let total = if mapped { common_length(&varying)? } else { 1 };
    let template = ArgumentTemplate::within(
        same.iter().map(|(name, value)| (&**name, value)),
        varying.iter().map(|(name, ..)| &**name),
        bounds(limit),
    );
    let template = template.map_err(too_large)?;
    let varying = varying.into_iter().map(|(_, varying, _)| varying).collect();
    Ok(Opened { template, varying, total })
}

pub(super) fn too_large(error: impl std::fmt::Display) -> Cause {
    Cause::Inputs(Failure::new(ARGUMENTS_TOO_LARGE, error.to_string()))
}

/// The elements of a mapped array.
pub(super) fn elements(name: &str, value: &Value, piped: bool) -> Result<(Varying, u64), Cause> {
    let elements = value.elements().map_err(|_| {
        let kind = value.kind();
        let what = format!("`{name}` is of kind {kind}, and only an array can be mapped over");
        Cause::Inputs(Failure::new(NOT_AN_ARRAY, what))
    })?;
    let length = elements.len() as u64;
    let varying = match piped {
        true => Varying::Items(elements.collect()),
        false => Varying::Sequence { rest: Box::new(elements), at: 0 },
    };
    Ok((varying, length))
}

fn common_length(lists: &[(String, Varying, u64)]) -> Result<u64, Cause> {
    let mismatch = |what: String| Err(Cause::Inputs(Failure::new(LENGTH_MISMATCH, what)));
    let Some((_, _, first)) = lists.first() else {
        return mismatch("there is nothing to map over".to_owned());
    };
    if lists.iter().all(|(_, _, length)| length == first) {
        return Ok(*first);
    }
    let shown: Vec<String> =
        lists.iter().map(|(name, _, length)| format!("`{name}` has {length}")).collect();
    mismatch(format!("the lists are not equally long: {}", shown.join(", ")))
}

impl Opened {
    /// The argument map of one run. `piped` gives the result of a command at that position.
    /// Positions of sequences may be left out, and must not go back.
    pub(super) fn arguments(
        &mut self,
        index: u64,
        mut piped: impl FnMut(u32) -> Result<Value, Cause>,
    ) -> Result<Value, Cause> {
        let mut values = Vec::with_capacity(self.varying.len());
        for varying in &mut self.varying {
            let value = match varying {
                Varying::Sequence { rest, at } => {
                    let skipped = usize::try_from(index.saturating_sub(*at)).unwrap_or(usize::MAX);
                    *at = index + 1;
                    rest.nth(skipped)
                }
                Varying::Items(items) => {
                    usize::try_from(index).ok().and_then(|index| items.get(index).cloned())
                }
                Varying::Pipe(command) => Some(piped(*command)?),
            };
            // Lengths were compared.
            values.push(value.ok_or_else(|| {
                Cause::Refused(Arc::from(format!("there is no element {index} to map over")))
            })?);
        }
        let values: Vec<&Value> = values.iter().collect();
        self.template.render(&values).map_err(too_large)
    }
}
