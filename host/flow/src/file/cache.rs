//! `cache`: whether results may be taken from earlier runs.

use sandmill_core::CachePolicy;
use toml::de::DeValue;

use super::reader::{MAX_TIME_LIMIT, Node, Reader};
use crate::argument::Located;

/// Most bytes of a cache's key.
pub const MAX_CACHE_KEY_BYTES: usize = 1_024;

const KEYS: [&str; 3] = ["expires", "key", "refresh"];

/// What `cache` says: a policy, or (`false`) none, whatever the flow says.
pub(crate) type CacheSpec = Located<Option<CachePolicy>>;

/// Reads a `cache`. None when it does not fit; that was noted.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>) -> Option<CacheSpec> {
    let table = match node.get_ref() {
        DeValue::Boolean(on) => {
            return Some(Located::new(on.then(CachePolicy::default), node.span()));
        }
        DeValue::Table(table) => table,
        _ => {
            reader.wrong(node, "`cache`", "true, false or a table");
            return None;
        }
    };
    reader.only(table, &KEYS, "`cache`");
    let before = reader.faults.len();
    let mut policy = CachePolicy::default();
    if let Some(node) = table.get("expires") {
        policy.expires = reader.duration(node, "`expires`", MAX_TIME_LIMIT);
    }
    if let Some(key) = table.get("key").and_then(|node| reader.string(node, "`key`")) {
        if key.value.is_empty() || key.value.len() > MAX_CACHE_KEY_BYTES {
            let what = format!("`key` has from 1 to {MAX_CACHE_KEY_BYTES} bytes");
            reader.fault(&key.place, format!("{what}, not {}", key.value.len()));
        }
        policy.key = Some(key.value.into());
    }
    if let Some(node) = table.get("refresh") {
        policy.refresh = reader.boolean(node, "`refresh`").unwrap_or_default();
    }
    (reader.faults.len() == before).then(|| Located::new(Some(policy), node.span()))
}
