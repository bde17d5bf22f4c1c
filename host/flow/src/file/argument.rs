//! `arguments` tables: the forms in which a value is written, and what becomes of results that are
//! not there.

use toml::de::{DeTable, DeValue};

use super::reader::{Node, Reader, kind_name};
use crate::argument::{Argument, Located, Operand};
use crate::policy::ErrorsMode;
use crate::reference::Reference;

/// Most arguments of one task.
pub const MAX_ARGUMENTS: usize = 256;

const FORMS: [&str; 5] = ["from", "map", "flatten", "unmapped", "literal"];
/// The key that stands beside a form which takes results.
const ERRORS: &str = "errors";
const MODES: [(&str, ErrorsMode); 3] =
    [("raise", ErrorsMode::Raise), ("skip", ErrorsMode::Skip), ("states", ErrorsMode::States)];

/// Reads an `arguments` table.
pub(super) fn read(
    reader: &mut Reader,
    node: &Node<'_>,
) -> Vec<(Located<String>, Located<Argument>)> {
    let Some(table) = reader.table(node, "`arguments`") else { return Vec::new() };
    if table.len() > MAX_ARGUMENTS {
        let what = format!("a task has at most {MAX_ARGUMENTS} arguments, not {}", table.len());
        reader.fault(&node.span(), what);
        return Vec::new();
    }
    let mut arguments = Vec::with_capacity(table.len());
    for (key, value) in table {
        let name = Located::new(key.get_ref().to_string(), key.span());
        // Where it could not be read its fault is noted; it is there all the same, so it must not
        // be reported missing.
        let argument = argument(reader, value).unwrap_or(Argument::Same(Operand::Unread));
        arguments.push((name, Located::new(argument, value.span())));
    }
    arguments
}

fn argument(reader: &mut Reader, node: &Node<'_>) -> Option<Argument> {
    let literal =
        |reader: &mut Reader| Some(Argument::Same(Operand::Literal(reader.literal(node)?)));
    let DeValue::Table(table) = node.get_ref() else { return literal(reader) };
    let forms: Vec<_> = table.iter().filter(|(key, _)| FORMS.contains(&&**key.get_ref())).collect();
    let count = forms.len();
    let others = table.len() - count;
    let errors = table.get(ERRORS);
    if count > 1 && others == usize::from(errors.is_some()) {
        let keys: Vec<String> =
            forms.iter().map(|(key, _)| format!("`{}`", key.get_ref())).collect();
        let what = format!("an argument has one form, not {}", keys.join(" and "));
        reader.hinted(&node.span(), what, "for a table with such keys write { literal = { … } }");
        return None;
    }
    let Some(&(form, value)) = forms.first() else { return literal(reader) };
    if others != usize::from(errors.is_some()) {
        return literal(reader);
    }
    let mode = match errors {
        Some(errors) => Some(mode(reader, errors)?),
        None => None,
    };
    let argument = match &**form.get_ref() {
        "from" => Argument::Same(reference(reader, value, "`from`")?),
        "literal" => Argument::Same(Operand::Literal(reader.literal(value)?)),
        "map" => Argument::Each(iterated(reader, value, "`map`")?),
        "flatten" => Argument::EachOfEach(iterated(reader, value, "`flatten`")?),
        _ => Argument::Same(match value.get_ref() {
            DeValue::String(text) if Reference::looks_like_one(text) => {
                reference(reader, value, "`unmapped`")?
            }
            DeValue::Table(table) if table.len() == 1 && table.contains_key("literal") => {
                Operand::Literal(reader.literal(&table["literal"])?)
            }
            _ => Operand::Literal(reader.literal(value)?),
        }),
    };
    match (errors, mode) {
        (Some(errors), Some(mode)) => with_errors(reader, argument, mode, errors),
        _ => Some(argument),
    }
}

/// The same argument, with what becomes of results that are not there.
fn with_errors(
    reader: &mut Reader,
    argument: Argument,
    mode: ErrorsMode,
    place: &Node<'_>,
) -> Option<Argument> {
    let of_result = matches!(
        argument.operand(),
        Operand::Reference { reference, .. } if reference.task().is_some()
    );
    if !of_result {
        let what = "`errors` says what becomes of results, and this takes none";
        reader.hinted(&place.span(), what, "remove it, or take `TASK.result`");
        return None;
    }
    if mode == ErrorsMode::States && matches!(argument, Argument::EachOfEach(_)) {
        let what = "states are no lists, so they cannot be flattened";
        reader.hinted(&place.span(), what, "write { map = …, errors = \"states\" }");
        return None;
    }
    Some(argument.with_errors(mode))
}

fn reference(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<Operand> {
    let reference = reader.reference(node, of)?.value;
    Some(Operand::Reference { reference, errors: ErrorsMode::Raise })
}

/// What is mapped over: a reference, or a list.
fn iterated(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<Operand> {
    match node.get_ref() {
        DeValue::String(_) => reference(reader, node, of),
        DeValue::Array(_) => Some(Operand::Literal(reader.literal(node)?)),
        other => {
            let what = format!("{of} takes a reference or an array, not {}", kind_name(other));
            reader.fault(&node.span(), what);
            None
        }
    }
}

/// What becomes of results that are not there.
fn mode(reader: &mut Reader, node: &Node<'_>) -> Option<ErrorsMode> {
    let text = reader.string(node, "`errors`")?;
    let known = MODES.iter().find(|(name, _)| *name == text.value);
    if known.is_none() {
        let what = format!("unknown way to take errors `{}`", text.value);
        let fault = reader.source.fault(&text.place, what);
        reader.faults.push(fault.suggest(&text.value, MODES.iter().map(|(name, _)| *name)));
    }
    known.map(|(_, mode)| *mode)
}

/// A reference to a result as the flow's `result` has it: as a text, or with `errors`.
pub(super) fn result(
    reader: &mut Reader,
    node: &Node<'_>,
    of: &str,
) -> Option<Located<(Reference, ErrorsMode)>> {
    let DeValue::Table(table) = node.get_ref() else {
        let reference = reader.reference(node, of)?;
        return Some(Located::new((reference.value, ErrorsMode::Raise), reference.place));
    };
    from_table(reader, table, node, of)
}

fn from_table(
    reader: &mut Reader,
    table: &DeTable<'_>,
    node: &Node<'_>,
    of: &str,
) -> Option<Located<(Reference, ErrorsMode)>> {
    reader.only(table, &["from", ERRORS], of);
    let errors = match table.get(ERRORS) {
        Some(node) => mode(reader, node)?,
        None => ErrorsMode::Raise,
    };
    let Some(from) = table.get("from") else {
        let hint = "write { from = \"TASK.result\", errors = \"skip\" }";
        reader.missing(&node.span(), format!("{of} has no `from`"), hint);
        return None;
    };
    let reference = reader.reference(from, "`from`")?;
    Some(Located::new((reference.value, errors), reference.place))
}
