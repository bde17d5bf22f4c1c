//! `[tasks.NAME]` tables.

use std::collections::{BTreeMap, BTreeSet};

use sandmill_core::LimitOverrides;
use toml::de::DeValue;

use super::grants::{self, GrantSpec};
use super::limits;
use super::reader::{Node, Reader};
use crate::argument::{Argument, Located, Operand, Zip};
use crate::reference::Reference;

/// Most arguments of one task.
pub const MAX_ARGUMENTS: usize = 256;

/// A `[tasks.NAME]` table.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// Its name in the flow.
    pub name: Located<String>,
    /// The flow's name for the component that holds the task.
    pub component: Located<String>,
    /// The task's name in the component.
    pub task: Located<String>,
    /// Its arguments by parameter name, in the order of the file.
    pub arguments: Vec<(Located<String>, Located<Argument>)>,
    /// What to do when the lists it maps over are not equally long.
    pub zip: Zip,
    /// Tasks that have to complete before it may start.
    pub after: Vec<Located<String>>,
    /// Its limits, over the flow's.
    pub limits: LimitOverrides,
    /// Its grants, with the flow's.
    pub grants: GrantSpec,
    /// Words for whoever looks for its runs later.
    pub tags: BTreeSet<String>,
    /// Labels that a host must carry.
    pub labels: BTreeSet<String>,
    /// Amounts that a host must have free: of `resources`, and of tags such as `resource:gpu=1`.
    pub resources: BTreeMap<String, f64>,
}

const KEYS: [&str; 9] =
    ["call", "arguments", "zip", "after", "limits", "grants", "tags", "labels", "resources"];
const FORMS: [&str; 5] = ["from", "map", "flatten", "unmapped", "literal"];
/// What the tags begin with that ask for resources (`dask-resource:` in Prefect 0.x).
const RESOURCE_TAGS: [&str; 2] = ["resource", "dask-resource"];

/// Reads one task. None when it has no call, because nothing can be said of it then.
pub(super) fn read(
    reader: &mut Reader,
    name: Located<String>,
    node: &Node<'_>,
) -> Option<TaskSpec> {
    let of = format!("task `{}`", name.value);
    let table = reader.table(node, &of)?;
    reader.only(table, &KEYS, &of);
    let arguments = table.get("arguments").map(|node| arguments(reader, node)).unwrap_or_default();
    let zip = table.get("zip").and_then(|node| Some((zip(reader, node)?, node.span())));
    if let Some((_, place)) = &zip
        && arguments.iter().all(|(_, argument)| argument.value != Argument::Same(Operand::Unread))
        && arguments.iter().filter(|(_, argument)| argument.value.is_mapped()).count() < 2
    {
        let what = format!("{of} maps over fewer than two lists, so `zip` says nothing");
        reader.hinted(place, what, "remove it");
    }
    let zip = zip.map(|(zip, _)| zip).unwrap_or_default();
    let after = table.get("after").map(|node| reader.strings(node, "`after`")).unwrap_or_default();
    let limits = table
        .get("limits")
        .map(|node| limits::read(reader, node, "the limits"))
        .unwrap_or_default();
    let grants = table
        .get("grants")
        .map(|node| grants::read(reader, node, "the grants"))
        .unwrap_or_default();
    let tags = table.get("tags").map(|node| reader.strings(node, "`tags`")).unwrap_or_default();
    let labels =
        table.get("labels").map(|node| reader.strings(node, "`labels`")).unwrap_or_default();
    let mut resources = BTreeMap::new();
    for tag in &tags {
        match resource_of_tag(&tag.value) {
            Ok(None) => {}
            Ok(Some((key, amount))) => {
                resources.insert(key, amount);
            }
            Err(error) => reader.fault(&tag.place, error.to_string()),
        }
    }
    if let Some(table) = table.get("resources").and_then(|node| reader.table(node, "`resources`")) {
        for (key, node) in table {
            let amount = reader.number(node, &format!("the amount of `{}`", key.get_ref()));
            match amount {
                Some(amount) if amount >= 0.0 && amount.is_finite() => {
                    resources.insert(key.get_ref().to_string(), amount);
                }
                Some(_) => reader.fault(&node.span(), "the amount of a resource is 0 or more"),
                None => {}
            }
        }
    }
    let Some(call) = table.get("call") else {
        reader.missing(
            &name.place,
            format!("{of} has no `call`"),
            "write call = \"COMPONENT.TASK\"",
        );
        return None;
    };
    let call = reader.string(call, "`call`")?;
    let (component, task) = match call.value.split_once('.') {
        Some((component, task)) if !component.is_empty() && !task.is_empty() => (component, task),
        _ => {
            let what = format!("`{}` does not name a component's task", call.value);
            reader.hinted(&call.place, what, "write call = \"COMPONENT.TASK\"");
            return None;
        }
    };
    Some(TaskSpec {
        name,
        component: Located::new(component.to_owned(), call.place.clone()),
        task: Located::new(task.to_owned(), call.place),
        arguments,
        zip,
        after,
        limits,
        grants,
        tags: tags.into_iter().map(|tag| tag.value).collect(),
        labels: labels.into_iter().map(|label| label.value).collect(),
        resources,
    })
}

fn zip(reader: &mut Reader, node: &Node<'_>) -> Option<Zip> {
    let text = reader.string(node, "`zip`")?;
    match text.value.as_str() {
        "strict" => Some(Zip::Strict),
        "shortest" => Some(Zip::Shortest),
        other => {
            let what = format!("unknown way to zip `{other}`");
            reader.hinted(&text.place, what, "write `strict` (the default) or `shortest`");
            None
        }
    }
}

fn arguments(reader: &mut Reader, node: &Node<'_>) -> Vec<(Located<String>, Located<Argument>)> {
    let Some(table) = reader.table(node, "`arguments`") else { return Vec::new() };
    if table.len() > MAX_ARGUMENTS {
        let what = format!("a task has at most {MAX_ARGUMENTS} arguments, not {}", table.len());
        reader.fault(&node.span(), what);
        return Vec::new();
    }
    let mut arguments = Vec::with_capacity(table.len());
    for (key, value) in table {
        let name = Located::new(key.get_ref().to_string(), key.span());
        if let Some(argument) = argument(reader, value) {
            arguments.push((name, Located::new(argument, value.span())));
        } else {
            // Its fault is noted; it is there all the same, so it must not be reported missing.
            let unread = Argument::Same(Operand::Unread);
            arguments.push((name, Located::new(unread, value.span())));
        }
    }
    arguments
}

fn argument(reader: &mut Reader, node: &Node<'_>) -> Option<Argument> {
    let DeValue::Table(table) = node.get_ref() else {
        return Some(Argument::Same(Operand::Literal(reader.literal(node)?)));
    };
    let forms = table.keys().filter(|key| FORMS.contains(&&**key.get_ref())).count();
    if forms > 1 && forms == table.len() {
        let keys: Vec<String> = table.keys().map(|key| format!("`{}`", key.get_ref())).collect();
        let what = format!("an argument has one form, not {}", keys.join(" and "));
        reader.hinted(&node.span(), what, "for a table with such keys write { literal = { … } }");
        return None;
    }
    let (Some((key, value)), 1) = (table.iter().next(), table.len()) else {
        return Some(Argument::Same(Operand::Literal(reader.literal(node)?)));
    };
    Some(match &**key.get_ref() {
        "from" => Argument::Same(Operand::Reference(reader.reference(value, "`from`")?.value)),
        "literal" => Argument::Same(Operand::Literal(reader.literal(value)?)),
        "map" => Argument::Each(iterated(reader, value, "`map`")?),
        "flatten" => Argument::EachOfEach(iterated(reader, value, "`flatten`")?),
        "unmapped" => Argument::Same(match value.get_ref() {
            DeValue::String(text) if Reference::looks_like_one(text) => {
                Operand::Reference(reader.reference(value, "`unmapped`")?.value)
            }
            DeValue::Table(table) if table.len() == 1 && table.contains_key("literal") => {
                Operand::Literal(reader.literal(&table["literal"])?)
            }
            _ => Operand::Literal(reader.literal(value)?),
        }),
        _ => Argument::Same(Operand::Literal(reader.literal(node)?)),
    })
}

/// What is mapped over: a reference, or a list.
fn iterated(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<Operand> {
    match node.get_ref() {
        DeValue::String(_) => Some(Operand::Reference(reader.reference(node, of)?.value)),
        DeValue::Array(_) => Some(Operand::Literal(reader.literal(node)?)),
        other => {
            let what = format!(
                "{of} takes a reference or an array, not {}",
                super::reader::kind_name(other)
            );
            reader.fault(&node.span(), what);
            None
        }
    }
}

/// A tag that should have asked for a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tag `{tag}` does not ask for a resource as resource:KEY=NUM: {why}")]
pub struct TagError {
    /// The tag.
    pub tag: String,
    why: &'static str,
}

/// The resource that a tag asks for, if it is such a tag: `resource:KEY=NUM`, or
/// `dask-resource:KEY=NUM` as in Prefect 0.x, whose prefix is read in any case, and whose key
/// keeps its own.
///
/// # Errors
/// When it begins like one and does not go on like one.
pub fn resource_of_tag(tag: &str) -> Result<Option<(String, f64)>, TagError> {
    let error = |why| TagError { tag: tag.to_owned(), why };
    let prefix = tag.split([':', '=']).next().unwrap_or_default();
    if !RESOURCE_TAGS.iter().any(|known| prefix.eq_ignore_ascii_case(known)) || prefix == tag {
        return Ok(None);
    }
    let rest = tag[prefix.len()..].strip_prefix(':').ok_or_else(|| error("it has no `:`"))?;
    let (key, amount) = rest.split_once('=').ok_or_else(|| error("it has no `=`"))?;
    if key.is_empty() || key.contains(':') {
        return Err(error("the key is empty or has a `:`"));
    }
    let amount: f64 = amount.trim().parse().map_err(|_| error("NUM is not a number"))?;
    if !(amount >= 0.0 && amount.is_finite()) {
        return Err(error("NUM is not 0 or more"));
    }
    Ok(Some((key.to_owned(), amount)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_ask_for_resources() {
        assert_eq!(resource_of_tag("resource:GPU=1.5"), Ok(Some(("GPU".to_owned(), 1.5))));
        assert_eq!(resource_of_tag("Dask-Resource:mem=2e9"), Ok(Some(("mem".to_owned(), 2e9))));
        for plain in ["resource", "resources:x=1", "nightly", "a:b=1", ""] {
            assert_eq!(resource_of_tag(plain), Ok(None), "{plain}");
        }
        for wrong in [
            "resource:gpu",
            "resource=1",
            "resource:=1",
            "resource:a=b",
            "resource:a=-1",
            "resource:a=1=2",
            "dask-resource:a=inf",
            "resource:a=NaN",
        ] {
            assert!(resource_of_tag(wrong).unwrap_err().to_string().contains(wrong), "{wrong}");
        }
    }
}
