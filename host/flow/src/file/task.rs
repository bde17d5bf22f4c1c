//! `[tasks.NAME]` tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandmill_core::{CachePolicy, LimitOverrides, RetryPolicy};

use super::grants::{self, GrantSpec};
use super::reader::{Node, Reader};
use super::{amount, argument, cache, limits, retries};
use crate::argument::{Argument, Located, Operand, Zip};
use crate::policy::{Amount, Trigger};

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
    /// When a run that did not complete is tried again; none: as the flow says.
    pub retries: Option<RetryPolicy>,
    /// How long a run may wait for a slot.
    pub queue_timeout: Option<Duration>,
    /// Whether results may be taken from earlier runs; none: as the flow says. `false` in the file
    /// is a policy that is none.
    pub cache: Option<Located<Option<CachePolicy>>>,
    /// By how the tasks before it ended, whether it runs.
    pub trigger: Option<Located<Trigger>>,
    /// Whether it is skipped when something that it depends on was.
    pub skip_with_upstream: bool,
    /// When its failed runs end a map.
    pub max_failures: Option<Located<Amount>>,
    /// Whether the first failed run of a map stops the others.
    pub fail_fast: bool,
}

const KEYS: [&str; 17] = [
    "call",
    "arguments",
    "zip",
    "after",
    "limits",
    "grants",
    "tags",
    "labels",
    "resources",
    "timeout",
    "queue_timeout",
    "retries",
    "cache",
    "trigger",
    "skip_on_upstream_skip",
    "max_failures",
    "fail_fast",
];
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
    reader.only_either(table, &KEYS, &of);
    let arguments =
        table.get("arguments").map(|node| argument::read(reader, node)).unwrap_or_default();
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
    let mut limits = table
        .get("limits")
        .map(|node| limits::read(reader, node, "the limits"))
        .unwrap_or_default();
    if let Some(node) = table.get("timeout") {
        let timeout = reader.time_limit(node, "`timeout`");
        let within = table.get("limits").and_then(|node| node.get_ref().as_table());
        if within.is_some_and(|limits| limits.contains_key("timeout")) {
            let what = "`timeout` and `limits.timeout` are the same";
            reader.hinted(&node.span(), what, "remove one of them");
        }
        limits.timeout = timeout.or(limits.timeout);
    }
    let grants = table
        .get("grants")
        .map(|node| grants::read(reader, node, "the grants"))
        .unwrap_or_default();
    let tags = table.get("tags").map(|node| reader.strings(node, "`tags`")).unwrap_or_default();
    let labels =
        table.get("labels").map(|node| reader.strings(node, "`labels`")).unwrap_or_default();
    let resources = resources(reader, &tags, table.get("resources"));
    let retries = table.get("retries").and_then(|node| retries::read(reader, node));
    let queue_timeout = reader
        .either(table, "queue_timeout")
        .and_then(|node| reader.time_limit(node, "`queue_timeout`"));
    let cache = table.get("cache").and_then(|node| cache::read(reader, node));
    let trigger = table
        .get("trigger")
        .and_then(|node| Some(Located::new(amount::trigger(reader, node)?, node.span())));
    let skip_with_upstream = reader
        .either(table, "skip_on_upstream_skip")
        .and_then(|node| reader.boolean(node, "`skip_on_upstream_skip`"))
        .unwrap_or(true);
    let max_failures = reader.either(table, "max_failures").and_then(|node| {
        Some(Located::new(amount::amount(reader, node, "`max_failures`")?, node.span()))
    });
    let fail_fast = reader
        .either(table, "fail_fast")
        .and_then(|node| Some(Located::new(reader.boolean(node, "`fail_fast`")?, node.span())));
    // What could not be read may have been meant to be a map.
    if arguments.iter().all(|(_, argument)| {
        !argument.value.is_mapped() && argument.value != Argument::Same(Operand::Unread)
    }) {
        let max_failures = max_failures.as_ref().map(|max| ("max_failures", &max.place));
        let fail_fast = fail_fast.as_ref().map(|fail_fast| ("fail_fast", &fail_fast.place));
        for (key, place) in max_failures.into_iter().chain(fail_fast) {
            let what = format!("{of} maps over nothing, so `{key}` says nothing");
            reader.hinted(place, what, "remove it");
        }
    }
    let fail_fast = fail_fast.is_some_and(|fail_fast| fail_fast.value);
    let Some(call) = table.get("call") else {
        reader.missing(
            &name.place,
            format!("{of} has no `call`"),
            "write call = \"COMPONENT.TASK\"",
        );
        return None;
    };
    let (component, task) = self::call(reader, call)?;
    Some(TaskSpec {
        name,
        component,
        task,
        arguments,
        zip,
        after,
        limits,
        grants,
        tags: tags.into_iter().map(|tag| tag.value).collect(),
        labels: labels.into_iter().map(|label| label.value).collect(),
        resources,
        retries,
        queue_timeout,
        cache,
        trigger,
        skip_with_upstream,
        max_failures,
        fail_fast,
    })
}

/// Reads the name of a component's task: the component's, and its own there.
pub(super) fn call(
    reader: &mut Reader,
    node: &Node<'_>,
) -> Option<(Located<String>, Located<String>)> {
    let call = reader.string(node, "`call`")?;
    let (component, task) = match call.value.split_once('.') {
        Some((component, task)) if !component.is_empty() && !task.is_empty() => (component, task),
        _ => {
            let what = format!("`{}` does not name a component's task", call.value);
            reader.hinted(&call.place, what, "write call = \"COMPONENT.TASK\"");
            return None;
        }
    };
    let located = |text: &str| Located::new(text.to_owned(), call.place.clone());
    Some((located(component), located(task)))
}

/// The amounts that tags and the table `resources` ask for.
fn resources(
    reader: &mut Reader,
    tags: &[Located<String>],
    table: Option<&Node<'_>>,
) -> BTreeMap<String, f64> {
    let mut resources = BTreeMap::new();
    for tag in tags {
        match resource_of_tag(&tag.value) {
            Ok(None) => {}
            Ok(Some((key, amount))) => {
                resources.insert(key, amount);
            }
            Err(error) => reader.fault(&tag.place, error.to_string()),
        }
    }
    if let Some(table) = table.and_then(|node| reader.table(node, "`resources`")) {
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
    resources
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
