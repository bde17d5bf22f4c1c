//! The table `[flow]`: what holds for the flow as a whole.

use std::time::Duration;

use sandmill_core::RetryPolicy;
use toml::de::{DeTable, DeValue};

use super::argument;
use super::cache::{self, CacheSpec};
use super::hook::{self, HookSpec};
use super::reader::{MAX_NAME_LENGTH, Node, Reader};
use super::retries;
use crate::argument::Located;
use crate::policy::ErrorsMode;
use crate::reference::Reference;

/// Most tasks whose results can be a flow's.
pub const MAX_RESULTS: usize = 256;
/// Most labels of a flow.
pub const MAX_FLOW_LABELS: usize = 64;

const KEYS: [&str; 10] = [
    "name",
    "description",
    "result",
    "timeout",
    "fail_fast",
    "retries",
    "cache",
    "labels",
    "on_start",
    "on_exit",
];

/// What `[flow]` says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) result: Option<ResultSpec>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fail_fast: bool,
    pub(crate) retries: Option<RetryPolicy>,
    pub(crate) cache: Option<CacheSpec>,
    pub(crate) labels: Vec<String>,
    pub(crate) on_start: Option<HookSpec>,
    pub(crate) on_exit: Option<HookSpec>,
}

/// The results that a flow's state follows.
#[derive(Debug, Clone)]
pub(crate) enum ResultSpec {
    /// This is the flow's value.
    One(Located<(Reference, ErrorsMode)>),
    /// The flow's value is the list of these.
    List(Vec<Located<(Reference, ErrorsMode)>>),
}

impl ResultSpec {
    pub(crate) fn all(&self) -> &[Located<(Reference, ErrorsMode)>] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::List(list) => list,
        }
    }
}

/// Reads the table.
pub(super) fn read(reader: &mut Reader, root: &DeTable<'_>) -> Header {
    let Some(node) = root.get("flow") else {
        reader.missing(
            &(0..0),
            "the file has no table [flow]",
            "write [flow] and below it name = \"…\"",
        );
        return Header::default();
    };
    let Some(table) = reader.table(node, "`flow`") else { return Header::default() };
    reader.only_either(table, &KEYS, "[flow]");
    let name = table.get("name").and_then(|node| reader.string(node, "`name`"));
    match &name {
        Some(name) if !is_flow_name(&name.value) => {
            let what = format!("`{}` cannot be the name of a flow", name.value);
            let hint = "use lower-case letters, digits, `.`, `_` and `-`, starting with a letter \
                        or digit, 128 at most";
            reader.hinted(&name.place, what, hint);
        }
        None if !table.contains_key("name") => {
            reader.missing(&node.span(), "[flow] has no `name`", "write name = \"…\"");
        }
        Some(_) | None => {}
    }
    let description =
        table.get("description").and_then(|node| reader.string(node, "`description`"));
    Header {
        name: name.map(|name| name.value).unwrap_or_default(),
        description: description.map(|text| text.value),
        result: table.get("result").and_then(|node| result(reader, node)),
        timeout: table.get("timeout").and_then(|node| reader.time_limit(node, "`timeout`")),
        fail_fast: fail_fast(reader, table).unwrap_or_default(),
        retries: table.get("retries").and_then(|node| retries::read(reader, node)),
        cache: table.get("cache").and_then(|node| cache::read(reader, node)),
        labels: table.get("labels").map(|node| labels(reader, node)).unwrap_or_default(),
        on_start: reader
            .either(table, "on_start")
            .and_then(|node| hook::read(reader, "on_start", node)),
        on_exit: reader
            .either(table, "on_exit")
            .and_then(|node| hook::read(reader, "on_exit", node)),
    }
}

/// Reads the `fail_fast` of a flow.
fn fail_fast(reader: &mut Reader, table: &DeTable<'_>) -> Option<bool> {
    let node = reader.either(table, "fail_fast")?;
    reader.boolean(node, "`fail_fast`")
}

fn result(reader: &mut Reader, node: &Node<'_>) -> Option<ResultSpec> {
    let DeValue::Array(items) = node.get_ref() else {
        return argument::result(reader, node, "`result`").map(ResultSpec::One);
    };
    if items.is_empty() || items.len() > MAX_RESULTS {
        let what = format!("`result` has from 1 to {MAX_RESULTS} entries, not {}", items.len());
        reader.fault(&node.span(), what);
        return None;
    }
    let list: Vec<_> =
        items.iter().map(|item| argument::result(reader, item, "an entry of `result`")).collect();
    list.into_iter().collect::<Option<_>>().map(ResultSpec::List)
}

fn labels(reader: &mut Reader, node: &Node<'_>) -> Vec<String> {
    let labels = reader.strings(node, "`labels`");
    if labels.len() > MAX_FLOW_LABELS {
        let what = format!("a flow has at most {MAX_FLOW_LABELS} labels, not {}", labels.len());
        reader.fault(&node.span(), what);
    }
    for label in &labels {
        if label.value.is_empty() || label.value.len() > MAX_NAME_LENGTH {
            let what = format!("a label has from 1 to {MAX_NAME_LENGTH} bytes");
            reader.fault(&label.place, format!("{what}, not {}", label.value.len()));
        }
    }
    labels.into_iter().map(|label| label.value).collect()
}

/// Whether a flow may have this name: `[a-z0-9][a-z0-9._-]{0,127}`.
fn is_flow_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_NAME_LENGTH
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || "._-".contains(c))
}
