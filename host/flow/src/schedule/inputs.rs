//! The arguments of a task's runs, made from known values and from results.

use std::sync::Arc;

use sandmill_wire::value::{ArgumentTemplate, Bounds, MAX_BYTES, MAX_NODES};
use sandmill_wire::{Failure, Value};

use super::stage::Stage;
use crate::argument::Zip;
use crate::plan::{Input, List, Node, NodeId, Plan, Target};

/// Kind of the failure of a run whose reference leads nowhere in a result.
pub(super) const MISSING_PATH: &str = "missing-path";
/// Kind of the failure of a task that is to map over something that is no array.
const NOT_AN_ARRAY: &str = "not-an-array";
/// Kind of the failure of a task whose lists are not equally long.
const LENGTH_MISMATCH: &str = "mapping-length-mismatch";
/// Kind of the failure of a run whose arguments are larger than a value may be.
pub(super) const ARGUMENTS_TOO_LARGE: &str = "arguments-too-large";

/// Largest list of a mapped task's results that can be a flow's result: 256 MiB.
pub const MAX_RESULT_BYTES: u64 = 256 << 20;

/// The bounds of a value that may have so many bytes: as many nodes to a byte as by default.
fn bounds(bytes: u64) -> Bounds {
    let max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(MAX_BYTES);
    let max_nodes = (max_bytes / (MAX_BYTES / MAX_NODES)).max(MAX_NODES);
    Bounds { max_bytes, max_nodes, ..Bounds::DEFAULT }
}

/// Everything that the arguments of a task's runs are made of.
pub(super) struct Inputs {
    template: ArgumentTemplate,
    varying: Vec<Varying>,
}

/// An argument that differs from run to run.
struct Varying {
    from: From,
    /// Where the value is in what comes from there.
    path: String,
    /// The reference, for messages.
    text: Arc<str>,
}

enum From {
    /// One after another, for runs that are handed out in order.
    Sequence(Box<dyn Iterator<Item = Value> + Send>),
    /// By position.
    Items(Vec<Value>),
    /// The results of a mapped task, by position.
    Results(NodeId),
}

/// The inputs of a task, and how many runs it will have.
pub(super) struct Opening {
    pub(super) inputs: Inputs,
    pub(super) total: u64,
}

impl Inputs {
    /// Gathers the inputs of a task whose upstream is there. `in_order` says whether its runs will
    /// be handed out in order.
    pub(super) fn open(
        plan: &Plan,
        node: &Node,
        stages: &[Stage],
        in_order: bool,
    ) -> Result<Opening, Failure> {
        // The task says how large its arguments may be.
        let limit = node.limits().input;
        let mut fixed: Vec<(&str, Value)> = Vec::new();
        let mut names = Vec::new();
        let mut varying: Vec<Varying> = Vec::new();
        let mut lengths: Vec<(Arc<str>, u64)> = Vec::new();
        for (name, input) in &node.inputs {
            let (list, levels) = match input {
                Input::Known(value) => {
                    fixed.push((name, value.clone()));
                    continue;
                }
                Input::Whole(target) => {
                    fixed.push((name, whole(plan, stages, target, limit)?));
                    continue;
                }
                Input::Each(list) => (list, 1),
                Input::EachOfEach(list) => (list, 2),
            };
            names.push(name.as_str());
            let (one, length) = each(plan, node, stages, (name, list, levels), in_order)?;
            lengths.push((Arc::clone(&one.text), length));
            varying.push(one);
        }
        let total = if node.mapped { common_length(&lengths, node.zip)? } else { 1 };
        let fixed = fixed.iter().map(|(name, value)| (*name, value));
        let template = ArgumentTemplate::within(fixed, names, bounds(limit))
            .map_err(|error| Failure::new(ARGUMENTS_TOO_LARGE, error.to_string()))?;
        Ok(Opening { inputs: Self { template, varying }, total })
    }

    /// The argument map of one run. Must be asked for every run in order when the inputs were
    /// opened so, also for runs that are not made.
    pub(super) fn arguments(&mut self, stages: &[Stage], index: u64) -> Result<Value, Failure> {
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        let mut values = Vec::with_capacity(self.varying.len());
        for one in &mut self.varying {
            let found = match &mut one.from {
                From::Sequence(items) => items.next(),
                From::Items(items) => items.get(position).cloned(),
                From::Results(node) => stages[*node].results.get(&index).cloned(),
            };
            // Lengths were compared, and results are kept for as long as somebody wants them.
            values.push(found.ok_or_else(|| {
                Failure::new(MISSING_PATH, format!("`{}` has no element {index}", one.text))
            }));
        }
        let mut found = Vec::with_capacity(values.len());
        for (value, one) in values.into_iter().zip(&self.varying) {
            found.push(at(&value?, &one.path, &one.text)?);
        }
        let parts: Vec<&Value> = found.iter().collect();
        self.template
            .render(&parts)
            .map_err(|error| Failure::new(ARGUMENTS_TOO_LARGE, error.to_string()))
    }
}

/// What is at a path of a value.
pub(super) fn at(value: &Value, path: &str, text: &str) -> Result<Value, Failure> {
    value
        .path(path)
        .map_err(|error| Failure::new(MISSING_PATH, format!("`{text}` leads nowhere: {error}")))
}

/// A task's result, or the list of a mapped task's results, or what is in it.
/// `limit` is how many bytes a list that is made for it may have.
pub(super) fn whole(
    plan: &Plan,
    stages: &[Stage],
    target: &Target,
    limit: u64,
) -> Result<Value, Failure> {
    let results = &stages[target.node].results;
    if !plan.nodes[target.node].mapped {
        let value = results.get(&0).cloned().unwrap_or_default();
        return at(&value, &target.path, &target.text);
    }
    // An index goes to its element, so that the list need not be made.
    let (first, rest) = target.path.split_once('.').unwrap_or((&target.path, ""));
    if let Ok(index) = first.parse::<u64>()
        && let Some(value) = results.get(&index)
    {
        return at(value, rest, &target.text);
    }
    let list = Value::array_within(results.values(), &bounds(limit)).map_err(|error| {
        let what = format!("the list `{}` is too large to be one value: {error}", target.text);
        Failure::new(ARGUMENTS_TOO_LARGE, what)
    })?;
    at(&list, &target.path, &target.text)
}

/// What an argument takes for each run, and for how many.
fn each(
    plan: &Plan,
    node: &Node,
    stages: &[Stage],
    (name, list, levels): (&str, &List, u8),
    in_order: bool,
) -> Result<(Varying, u64), Failure> {
    let (array, text): (Value, Arc<str>) = match list {
        List::Known(value) => (value.clone(), format!("arguments.{name}").into()),
        List::Of(target) if plan.nodes[target.node].mapped => {
            let text = Arc::clone(&target.text);
            let stage = &stages[target.node];
            if levels == 1 {
                // A gate's results are all there, and are let go of as soon as they were read here.
                let from = if node.pipes.contains(&target.node) {
                    From::Results(target.node)
                } else {
                    From::Items(stage.results.values().cloned().collect())
                };
                let path = target.path.clone();
                return Ok((Varying { from, path, text }, stage.total.unwrap_or(0)));
            }
            // Each result is one of the lists to be joined.
            let lists = stage.results.values().map(|value| at(value, &target.path, &text));
            let lists = lists.collect::<Result<Vec<_>, _>>()?;
            return flattened(lists.into_iter(), text, in_order);
        }
        List::Of(target) => {
            (whole(plan, stages, target, node.limits().input)?, Arc::clone(&target.text))
        }
    };
    let items = array.elements().map_err(|_| not_an_array(&text, &array))?;
    if levels == 2 {
        return flattened(items, text, in_order);
    }
    let length = items.len() as u64;
    let from =
        if in_order { From::Sequence(Box::new(items)) } else { From::Items(items.collect()) };
    Ok((Varying { from, path: String::new(), text }, length))
}

/// The elements of all lists, one list after another.
fn flattened(
    lists: impl Iterator<Item = Value> + Clone + Send + 'static,
    text: Arc<str>,
    in_order: bool,
) -> Result<(Varying, u64), Failure> {
    let mut length = 0;
    for list in lists.clone() {
        let count = list.elements().map_err(|_| {
            let what = format!("an element of `{text}` is of kind {}, no array", list.kind());
            Failure::new(NOT_AN_ARRAY, what)
        })?;
        length += count.len() as u64;
    }
    let items = lists.flat_map(|list| list.elements().into_iter().flatten());
    let from =
        if in_order { From::Sequence(Box::new(items)) } else { From::Items(items.collect()) };
    Ok((Varying { from, path: String::new(), text }, length))
}

fn not_an_array(text: &str, found: &Value) -> Failure {
    let what =
        format!("`{text}` is of kind {}, and only an array can be mapped over", found.kind());
    Failure::new(NOT_AN_ARRAY, what)
}

fn common_length(lengths: &[(Arc<str>, u64)], zip: Zip) -> Result<u64, Failure> {
    let shortest = lengths.iter().map(|(_, length)| *length).min().unwrap_or(0);
    if zip == Zip::Strict && lengths.iter().any(|(_, length)| *length != shortest) {
        let shown: Vec<String> =
            lengths.iter().map(|(text, length)| format!("`{text}` has {length}")).collect();
        let what = format!(
            "the lists are not equally long: {}; zip = \"shortest\" stops at the shortest",
            shown.join(", ")
        );
        return Err(Failure::new(LENGTH_MISMATCH, what));
    }
    Ok(shortest)
}
