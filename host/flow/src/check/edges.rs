//! Arguments of tasks: where each value comes from, and whether it fits what takes it, as far as
//! literals and schemas tell.

use std::collections::BTreeSet;

use sandmill_wire::Value;
use sandmill_wire::value::Kind;

use super::called::{self, Called};
use super::names::Names;
use super::schema::{Kinds, Schema, Step};
use crate::argument::{Argument, Operand, Zip};
use crate::fault::Place;
use crate::file::TaskSpec;
use crate::plan::{Input, List, Target};
use crate::policy::ErrorsMode;
use crate::reference::{Reference, Root};

/// What the edges of one task come to.
#[derive(Default)]
pub(super) struct Edges {
    pub(super) inputs: Vec<(String, Input)>,
    /// Tasks it waits for as a whole.
    pub(super) gates: BTreeSet<usize>,
    /// Mapped tasks it maps over.
    pub(super) pipes: BTreeSet<usize>,
}

impl Edges {
    /// All tasks it waits for.
    pub(super) fn upstream(&self) -> Vec<usize> {
        self.gates.union(&self.pipes).copied().collect()
    }
}

/// Checks the arguments of one task, and what it waits for.
pub(super) fn check(names: &mut Names<'_>, position: usize) -> Edges {
    let spec = &names.file.tasks[position];
    let mut edges = Edges::default();
    let called = Called::new(names, &spec.component, &spec.task);
    for (name, argument) in &spec.arguments {
        if let Some(input) = called.argument(names, Some(position), name, argument) {
            match &input {
                Input::Each(List::Of(target)) if is_mapped(&names.file.tasks[target.node]) => {
                    edges.pipes.insert(target.node);
                }
                other => edges.gates.extend(other.target().map(|target| target.node)),
            }
            edges.inputs.push((name.value.clone(), input));
        }
    }
    lengths(names, spec, &edges);
    let hint = |required: &str| format!("add arguments.{required} to task `{}`", spec.name.value);
    called.requires(names, &spec.arguments, &spec.name.place, hint);
    for after in &spec.after {
        if let Some(other) = names.task(&after.value, &after.place) {
            if other == position {
                names.fault(&after.place, format!("task `{}` cannot wait for itself", after.value));
            } else {
                edges.gates.insert(other);
            }
        }
    }
    // What it waits for as a whole anyway has nothing to start early.
    edges.pipes.retain(|pipe| !edges.gates.contains(pipe));
    if let Some(trigger) = &spec.trigger
        && edges.upstream().is_empty()
        && !names.file.broken
        && spec.after.is_empty()
        && !spec.arguments.iter().any(|(_, argument)| argument.value.takes_result())
    {
        let what = format!(
            "task `{}` waits for no other task, so `trigger` says nothing",
            spec.name.value
        );
        names.hinted(&trigger.place, what, "remove it, or name tasks in `after`");
    }
    edges
}

/// Notes it when lists that a task maps over are known, and not equally long.
fn lengths(names: &mut Names<'_>, spec: &TaskSpec, edges: &Edges) {
    if spec.zip != Zip::Strict {
        return;
    }
    let lengths: Vec<(&str, usize)> = edges
        .inputs
        .iter()
        .filter_map(|(name, input)| Some((name.as_str(), known_length(input)?)))
        .collect();
    let Some((first, length)) = lengths.first() else { return };
    let Some((other, unlike)) = lengths.iter().find(|(_, other)| other != length) else { return };
    let what = format!(
        "the lists that task `{}` maps over are not equally long: `{first}` has {length}, \
         `{other}` has {unlike}",
        spec.name.value
    );
    let argument = spec.arguments.iter().find(|(name, _)| name.value == *other);
    let place = argument.map_or(&spec.name.place, |(_, argument)| &argument.place);
    let hint = "make them so, or write zip = \"shortest\" to stop at the shortest";
    names.hinted(place, what, hint);
}

/// How many runs a list asks for that is known before anything runs.
fn known_length(input: &Input) -> Option<usize> {
    match input {
        Input::Each(List::Known(list)) => Some(list.elements().ok()?.count()),
        Input::EachOfEach(List::Known(lists)) => {
            lists.elements().ok()?.map(|list| Some(list.elements().ok()?.count())).sum()
        }
        _ => None,
    }
}

/// Whether a task runs once for each element of something.
pub(super) fn is_mapped(spec: &TaskSpec) -> bool {
    spec.arguments.iter().any(|(_, argument)| argument.value.is_mapped())
}

/// One argument on its way to a task.
pub(super) struct Edge {
    /// The task that takes it; none for one that is called around the flow.
    pub(super) task: Option<usize>,
    pub(super) what: String,
    pub(super) wanted: Option<Schema>,
    pub(super) place: Place,
}

impl Edge {
    pub(super) fn input(&self, names: &mut Names<'_>, argument: &Argument) -> Option<Input> {
        let levels = match argument {
            Argument::Same(_) => 0,
            Argument::Each(_) => 1,
            Argument::EachOfEach(_) => 2,
        };
        match argument.operand() {
            Operand::Unread => None,
            Operand::Literal(literal) => {
                let value = names
                    .literal(&crate::argument::Located::new(literal.clone(), self.place.clone()))?;
                self.known(names, value, levels, None)
            }
            Operand::Reference { reference, errors } => match &reference.root {
                Root::Parameter(_) => {
                    let value = names.parameter_at(reference, &self.place)?;
                    self.known(names, value, levels, Some(reference))
                }
                Root::Task(name) => {
                    let node = names.task(name, &self.place)?;
                    if Some(node) == self.task {
                        let what = format!("task `{name}` cannot take its own result");
                        names.fault(&self.place, what);
                        return None;
                    }
                    self.result(names, node, reference, levels, *errors);
                    let target = Target::new(node, reference, *errors);
                    Some(match levels {
                        0 => Input::Whole(target),
                        1 => Input::Each(List::Of(target)),
                        _ => Input::EachOfEach(List::Of(target)),
                    })
                }
            },
        }
    }

    /// A value that is known before anything runs.
    fn known(
        &self,
        names: &mut Names<'_>,
        value: Value,
        levels: u8,
        reference: Option<&Reference>,
    ) -> Option<Input> {
        let shown = reference.map_or_else(|| "the literal".to_owned(), |text| format!("`{text}`"));
        if levels == 0 {
            self.fits(names, &value, reference, levels);
            return Some(Input::Known(value));
        }
        let Ok(mut items) = value.elements() else {
            let what = format!("{shown} is no array, but of kind {}", value.kind());
            names.fault(&self.place, what);
            return None;
        };
        if levels > 1
            && let Some(item) = items.find(|item| item.kind() != Kind::Array)
        {
            let what =
                format!("{shown} is to be flattened, but has an element of kind {}", item.kind());
            names.fault(&self.place, what);
            return None;
        }
        self.fits(names, &value, reference, levels);
        let list = List::Known(value);
        Some(if levels == 1 { Input::Each(list) } else { Input::EachOfEach(list) })
    }

    /// Notes it when a known value does not fit the parameter's schema; with `levels`, when what is
    /// in its lists does not.
    fn fits(
        &self,
        names: &mut Names<'_>,
        value: &Value,
        reference: Option<&Reference>,
        levels: u8,
    ) {
        let Some(wanted) = &self.wanted else { return };
        // What has no JSON form (bytes, infinite numbers) has no JSON Schema either.
        let Ok(json) = value.decode::<serde_json::Value>() else { return };
        if holds_non_finite(value) {
            return;
        }
        // One look at the whole list, because making a schema ready costs more than using it.
        let wanted = (0..levels).fold(wanted.clone(), |wanted, _| wanted.listed());
        if let Some(problem) = wanted.problems(&json) {
            let from = reference.map(|text| format!(" (from `{text}`)")).unwrap_or_default();
            names.fault(&self.place, format!("{} does not fit{from}: {problem}", self.what));
        }
    }

    /// The result of another task.
    fn result(
        &self,
        names: &mut Names<'_>,
        node: usize,
        reference: &Reference,
        levels: u8,
        errors: ErrorsMode,
    ) {
        let upstream = &names.file.tasks[node];
        let mapped = is_mapped(upstream);
        if errors == ErrorsMode::States && levels > 0 && !mapped {
            let what = format!(
                "`{}` runs once, so the elements of its result have no states",
                upstream.name.value
            );
            names.hinted(&self.place, what, "write errors = \"skip\", or take it with `from`");
            return;
        }
        let described = called::descriptor(names, &upstream.component, &upstream.task);
        let Some(schema) = described.and_then(|task| Schema::read(&task.result)) else { return };
        let at = format!("`{reference}`");
        let Some(mut schema) = self.at_path(names, schema, reference, mapped && levels == 0) else {
            return;
        };
        // What is mapped over is in each of a mapped task's results, else in the list of them.
        let each = mapped && levels > 0;
        if errors == ErrorsMode::States {
            // In the place of each result is a map that tells of it.
            let one = each || !mapped || reference.path.first().is_some_and(|step| is_index(step));
            schema = Schema::state(!one);
        } else {
            for level in 0..levels - u8::from(each) {
                let Some(kinds) = schema.kinds() else { return };
                if !kinds.has(Kinds::ARRAY) {
                    let word = if levels == 1 { "map" } else { "flatten" };
                    let of = if level > 0 || each { "an element of " } else { "" };
                    let what = format!("`{word}` needs an array, but {of}{at} is {kinds}");
                    names.fault(&self.place, what);
                    return;
                }
                match schema.element(None) {
                    Step::Found(next) => schema = next,
                    Step::Open | Step::Nothing(_) => return,
                }
            }
        }
        let (Some(given), Some(wanted)) =
            (schema.kinds(), self.wanted.as_ref().and_then(Schema::kinds))
        else {
            return;
        };
        if !given.can_be(wanted) {
            let each = if levels > 0 { "each element of " } else { "" };
            let states = if errors == ErrorsMode::States { "the states of " } else { "" };
            let what = format!("{} takes {wanted}, but {each}{states}{at} is {given}", self.what);
            names.fault(&self.place, what);
        }
    }

    /// What is at the path of a reference; none where the schema does not say, or nothing can be
    /// there, which was noted.
    fn at_path(
        &self,
        names: &mut Names<'_>,
        mut schema: Schema,
        reference: &Reference,
        listed: bool,
    ) -> Option<Schema> {
        if listed {
            schema = schema.listed();
        }
        for step in &reference.path {
            match schema.step(step) {
                Step::Found(next) => schema = next,
                Step::Open => return None,
                Step::Nothing(why) => {
                    let what = format!("`{reference}` leads nowhere: {why}");
                    let fault = names.file.source.fault(&self.place, what);
                    names.faults.push(fault.suggest(step, schema.properties()));
                    return None;
                }
            }
        }
        Some(schema)
    }
}

/// Whether a step of a path is a position in a list.
fn is_index(step: &str) -> bool {
    step.parse::<u64>().is_ok()
}

pub(super) fn holds_non_finite(value: &Value) -> bool {
    match value.kind() {
        Kind::Float => value.decode::<f64>().is_ok_and(|number| !number.is_finite()),
        Kind::Array => value.elements().into_iter().flatten().any(|item| holds_non_finite(&item)),
        Kind::Map => value.entries().into_iter().flatten().any(|(_, item)| holds_non_finite(&item)),
        _ => false,
    }
}
