//! The arguments of a task's runs, made from known values and from results.

use std::sync::Arc;

use sandmill_wire::value::{ArgumentTemplate, Bounds, MAX_BYTES, MAX_NODES};
use sandmill_wire::{Failure, RunId, Value};

use super::piece::{Piece, Refusal};
use super::stage::Stage;
use crate::argument::Zip;
use crate::plan::{Input, List, Node, NodeId, Plan, Target};
use crate::policy::ErrorsMode;

/// Kind of the failure of a run whose reference leads nowhere in a result.
const MISSING_PATH: &str = "missing-path";
/// Kind of the failure of a task that is to map over something that is no array.
const NOT_AN_ARRAY: &str = "not-an-array";
/// Kind of the failure of a task whose lists are not equally long.
const LENGTH_MISMATCH: &str = "mapping-length-mismatch";
/// Kind of the failure of a run whose arguments are larger than a value may be.
pub(super) const ARGUMENTS_TOO_LARGE: &str = "arguments-too-large";

/// Largest list of a mapped task's results that can be a flow's result: 256 MiB.
pub const MAX_RESULT_BYTES: u64 = 256 << 20;

/// The bounds of a value that may have so many bytes: as many nodes to a byte as by default.
pub(super) fn bounds(bytes: u64) -> Bounds {
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
    Sequence {
        items: Box<dyn Iterator<Item = Value> + Send>,
        /// The position of the next of them.
        next: u64,
    },
    /// By position.
    Items(Vec<Value>),
    /// What became of the runs of a mapped task that has ended, by position.
    Pieces(Vec<(Option<RunId>, Piece)>, ErrorsMode),
    /// The results of a mapped task, by position.
    Results(NodeId, ErrorsMode),
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
    ) -> Result<Opening, Refusal> {
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

    /// The argument map of one run. Runs must be asked for in order when the inputs were opened so;
    /// those that are never handed out may be left out.
    pub(super) fn arguments(&mut self, stages: &[Stage], index: u64) -> Result<Value, Refusal> {
        let mut found = Vec::with_capacity(self.varying.len());
        for one in &mut self.varying {
            found.push(one.take(stages, index));
        }
        // All were asked, so that all stand at the same position.
        let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&Value> = found.iter().collect();
        self.template
            .render(&parts)
            .map_err(|error| Failure::new(ARGUMENTS_TOO_LARGE, error.to_string()).into())
    }
}

impl Varying {
    /// The value for the run at a position.
    fn take(&mut self, stages: &[Stage], index: u64) -> Result<Value, Refusal> {
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        let value = match &mut self.from {
            From::Sequence { items, next } => {
                // What is between belongs to runs that are never handed out.
                let over = usize::try_from(index.saturating_sub(*next)).unwrap_or(usize::MAX);
                *next = index + 1;
                items.nth(over)
            }
            From::Items(items) => items.get(position).cloned(),
            From::Pieces(pieces, errors) => {
                let Some((run, piece)) = pieces.get(position) else {
                    return Err(self.lacks(index));
                };
                return of_run(piece, *run, *errors, &self.path, &self.text);
            }
            From::Results(node, errors) => {
                let stage = &stages[*node];
                let run = stage.runs.get(&index).copied();
                return of_run(&stage.piece(index), run, *errors, &self.path, &self.text);
            }
        };
        // Lengths were compared, so it is there.
        at(&value.ok_or_else(|| self.lacks(index))?, &self.path, &self.text).map_err(Refusal::from)
    }

    fn lacks(&self, index: u64) -> Refusal {
        Failure::new(MISSING_PATH, format!("`{}` has no element {index}", self.text)).into()
    }
}

/// What a run takes of its counterpart in a mapped task.
fn of_run(
    piece: &Piece,
    run: Option<RunId>,
    errors: ErrorsMode,
    path: &str,
    text: &str,
) -> Result<Value, Refusal> {
    if errors == ErrorsMode::Skip && !piece.is_value() {
        return Err(Refusal::Skipped(format!("what it takes of `{text}` is not there")));
    }
    piece.single(run, errors, text, |value| at(value, path, text))
}

/// What is at a path of a value.
pub(super) fn at(value: &Value, path: &str, text: &str) -> Result<Value, Failure> {
    value
        .path(path)
        .map_err(|error| Failure::new(MISSING_PATH, format!("`{text}` leads nowhere: {error}")))
}

/// A task's result, or the list of a mapped task's results, or what is in it; or what stands in its
/// place where it is not there. `limit` is how many bytes a list that is made for it may have.
pub(super) fn whole(
    plan: &Plan,
    stages: &[Stage],
    target: &Target,
    limit: u64,
) -> Result<Value, Refusal> {
    let (stage, text) = (&stages[target.node], &*target.text);
    let single = |index: u64, path: &str| {
        let run = stage.runs.get(&index).copied();
        stage.piece(index).single(run, target.errors, text, |value| at(value, path, text))
    };
    if !plan.nodes[target.node].mapped {
        return single(0, &target.path);
    }
    if !target.path.is_empty() {
        // An index goes to its element, so that the list need not be made.
        let (first, rest) = target.path.split_once('.').unwrap_or((&target.path, ""));
        let total = stage.total.unwrap_or(1);
        return match first.parse::<u64>() {
            Ok(_) if stage.is_unsized() => single(0, rest),
            Ok(index) if index < total => single(index, rest),
            Ok(_) => Err(nowhere(text, &format!("it has {total} elements"))),
            Err(_) => Err(nowhere(text, &format!("it is a list, and `{first}` is no position"))),
        };
    }
    let list = match (target.errors, &stage.blame) {
        (ErrorsMode::Raise, Some(blame)) => return Err(Refusal::missing(text, blame)),
        (ErrorsMode::Raise, None) if stage.is_unsized() => return Ok(Value::nil()),
        (ErrorsMode::Raise, None) if stage.tally.skipped > 0 => {
            let value = |(_, piece)| match piece {
                Piece::Value(value) => value,
                Piece::Skipped | Piece::Failed(_) => Value::nil(),
            };
            let items: Vec<Value> = stage.pieces().map(value).collect();
            Value::array_within(&items, &bounds(limit))
        }
        (ErrorsMode::Raise | ErrorsMode::Skip, _) => {
            Value::array_within(stage.results.values(), &bounds(limit))
        }
        (ErrorsMode::States, _) => {
            let told = stage.pieces().map(|(run, piece)| match &piece {
                Piece::Value(value) => piece.told(run, Some(value)),
                Piece::Skipped | Piece::Failed(_) => piece.told(run, None),
            });
            let items = told.collect::<Result<Vec<_>, _>>()?;
            Value::array_within(&items, &bounds(limit))
        }
    };
    list.map_err(|error| {
        let what = format!("the list `{text}` is too large to be one value: {error}");
        Failure::new(ARGUMENTS_TOO_LARGE, what).into()
    })
}

fn nowhere(text: &str, why: &str) -> Refusal {
    Failure::new(MISSING_PATH, format!("`{text}` leads nowhere: {why}")).into()
}

/// Whether what is to be mapped over is there.
pub(super) fn is_there(plan: &Plan, stages: &[Stage], target: &Target) -> bool {
    let stage = &stages[target.node];
    if plan.nodes[target.node].mapped { !stage.is_unsized() } else { stage.piece(0).is_value() }
}

/// What an argument takes for each run, and for how many.
fn each(
    plan: &Plan,
    node: &Node,
    stages: &[Stage],
    (name, list, levels): (&str, &List, u8),
    in_order: bool,
) -> Result<(Varying, u64), Refusal> {
    let (array, text): (Value, Arc<str>) = match list {
        List::Known(value) => (value.clone(), format!("arguments.{name}").into()),
        List::Of(target) if !is_there(plan, stages, target) => {
            return Err(not_there(&stages[target.node], target));
        }
        List::Of(target) if plan.nodes[target.node].mapped => {
            let text = Arc::clone(&target.text);
            let stage = &stages[target.node];
            if levels == 1 {
                // A gate's results are all there, and are let go of as soon as they were read here.
                let from = if node.pipes.contains(&target.node) {
                    From::Results(target.node, target.errors)
                } else {
                    From::Pieces(stage.pieces().collect(), target.errors)
                };
                let path = target.path.clone();
                return Ok((Varying { from, path, text }, stage.total.unwrap_or(0)));
            }
            // Each result is one of the lists to be joined. What was skipped has none.
            if let (ErrorsMode::Raise, Some(blame)) = (target.errors, &stage.blame) {
                return Err(Refusal::missing(&text, blame));
            }
            let lists = stage.results.values().map(|value| at(value, &target.path, &text));
            let lists = lists.collect::<Result<Vec<_>, _>>()?;
            return Ok(flattened(lists.into_iter(), text, in_order)?);
        }
        List::Of(target) => {
            (whole(plan, stages, target, node.limits().input)?, Arc::clone(&target.text))
        }
    };
    let items = array.elements().map_err(|_| not_an_array(&text, &array))?;
    if levels == 2 {
        return Ok(flattened(items, text, in_order)?);
    }
    let length = items.len() as u64;
    Ok((Varying { from: listed(items, in_order), path: String::new(), text }, length))
}

/// Why a task cannot map over the result of a task that did not complete.
fn not_there(stage: &Stage, target: &Target) -> Refusal {
    let text = &target.text;
    let why = match stage.piece(0) {
        Piece::Failed(blame) => format!("because of {blame}"),
        Piece::Value(_) | Piece::Skipped => "because it was skipped".to_owned(),
    };
    if target.errors == ErrorsMode::Skip {
        return Refusal::Skipped(format!("`{text}` is not there, {why}"));
    }
    Refusal::Unmet(format!(
        "`{text}` is not there, {why}; so it is not known how many runs there would be"
    ))
}

fn listed(items: impl Iterator<Item = Value> + Send + 'static, in_order: bool) -> From {
    if in_order {
        From::Sequence { items: Box::new(items), next: 0 }
    } else {
        From::Items(items.collect())
    }
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
    Ok((Varying { from: listed(items, in_order), path: String::new(), text }, length))
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
