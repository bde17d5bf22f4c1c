//! `retries`: a number, or a table of everything that a retry policy says.

use std::collections::BTreeSet;
use std::time::Duration;

use sandmill_core::{
    MAX_RETRIES, MAX_RETRY_DELAY, MAX_RETRY_DELAYS, RetryDelay, RetryPolicy, units,
};
use sandmill_wire::{EndKind, TrapKind};
use toml::de::{DeTable, DeValue};

use super::reader::{MAX_NAME_LENGTH, Node, Reader};
use crate::fault::nearest;

const KEYS: [&str; 7] = ["times", "delay", "jitter", "cap", "on", "memory_factor", "most_memory"];
const DELAY_KEYS: [&str; 2] = ["base", "factor"];
/// Largest factor of an exponential delay, and of a memory that grows.
const MAX_FACTOR: f64 = 1_000.0;
/// Most names in `on`.
const MAX_KINDS: usize = 64;

/// Names of ends that can be tried again. The others never are: a run that was cancelled,
/// refused or skipped ended for good.
const KINDS: [EndKind; 8] = [
    EndKind::Trapped(TrapKind::Other),
    EndKind::TimedOut,
    EndKind::OutOfMemory,
    EndKind::OutOfFuel,
    EndKind::OutputTooLarge,
    EndKind::InvalidResult,
    EndKind::HostLost,
    EndKind::HostError,
];
const FINAL: [EndKind; 4] =
    [EndKind::Cancelled, EndKind::Refused, EndKind::UpstreamFailed, EndKind::Skipped];
/// Names that stand for more than one kind.
const GROUPS: [&str; 2] = ["failure", "retriable"];

/// Reads a `retries`. None when it does not fit; that was noted.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>) -> Option<RetryPolicy> {
    match node.get_ref() {
        DeValue::Integer(_) => times(reader, node, "`retries`").map(RetryPolicy::times),
        DeValue::Table(table) => policy(reader, table, node),
        _ => {
            reader.wrong(node, "`retries`", "a number or a table");
            None
        }
    }
}

fn times(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<u32> {
    reader.whole(node, of, 0, MAX_RETRIES.into()).and_then(|times| u32::try_from(times).ok())
}

fn policy(reader: &mut Reader, table: &DeTable<'_>, node: &Node<'_>) -> Option<RetryPolicy> {
    reader.only_either(table, &KEYS, "`retries`");
    let before = reader.faults.len();
    let mut policy = RetryPolicy::default();
    match table.get("times") {
        Some(node) => policy.retries = times(reader, node, "`times`").unwrap_or_default(),
        None => reader.missing(&node.span(), "`retries` has no `times`", "write times = 3"),
    }
    if let Some(delay) = table.get("delay").and_then(|node| delay(reader, node)) {
        policy.delay = delay;
    }
    if let Some(jitter) = table.get("jitter") {
        policy.jitter = between(reader, jitter, "`jitter`", 0.0, 1.0).unwrap_or_default();
    }
    if let Some(cap) = table.get("cap") {
        policy.cap = delay_of(reader, cap, "`cap`").unwrap_or_default();
    }
    policy.on = table.get("on").map(|node| on(reader, node));
    if let Some(factor) = reader.either(table, "memory_factor") {
        policy.memory_factor = between(reader, factor, "`memory_factor`", 1.0, MAX_FACTOR);
    }
    if let Some(most) = reader.either(table, "most_memory") {
        if policy.memory_factor.is_none() && reader.either(table, "memory_factor").is_none() {
            let what = "`most_memory` goes with `memory_factor`";
            reader.hinted(&most.span(), what, "write memory_factor = 2, or remove it");
        }
        policy.most_memory = size(reader, most, "`most_memory`").unwrap_or_default();
    }
    (reader.faults.len() == before).then_some(policy)
}

fn delay_of(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<Duration> {
    reader.duration(node, of, MAX_RETRY_DELAY)
}

fn delay(reader: &mut Reader, node: &Node<'_>) -> Option<RetryDelay> {
    match node.get_ref() {
        DeValue::Array(items) => {
            if items.len() > MAX_RETRY_DELAYS {
                let what = format!("`delay` has at most {MAX_RETRY_DELAYS} entries");
                reader.fault(&node.span(), format!("{what}, not {}", items.len()));
                return None;
            }
            let delays: Vec<_> =
                items.iter().map(|item| delay_of(reader, item, "a delay")).collect();
            delays.into_iter().collect::<Option<_>>().map(RetryDelay::List)
        }
        DeValue::Table(table) => {
            reader.only(table, &DELAY_KEYS, "`delay`");
            let (Some(base), Some(factor)) = (table.get("base"), table.get("factor")) else {
                let what = "a delay that grows has `base` and `factor`";
                reader.missing(&node.span(), what, "write { base = \"1s\", factor = 2 }");
                return None;
            };
            let base = delay_of(reader, base, "`base`");
            let factor = between(reader, factor, "`factor`", 1.0, MAX_FACTOR);
            Some(RetryDelay::Exponential { base: base?, factor: factor? })
        }
        _ => delay_of(reader, node, "`delay`").map(|delay| RetryDelay::List(vec![delay])),
    }
}

fn between(reader: &mut Reader, node: &Node<'_>, of: &str, least: f64, most: f64) -> Option<f64> {
    let number = reader.number(node, of)?;
    let fits = (least..=most).contains(&number);
    if !fits {
        reader.fault(&node.span(), format!("{of} is from {least} to {most}, not {number}"));
    }
    fits.then_some(number)
}

fn size(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<u64> {
    let DeValue::String(text) = node.get_ref() else {
        reader.wrong(node, of, "a size with its unit, in quotes, such as \"1GiB\"");
        return None;
    };
    let size = units::parse_size(text);
    if let Err(why) = &size {
        reader.fault(&node.span(), why.to_string());
    }
    size.ok()
}

/// The kinds of end and failure that are tried again.
fn on(reader: &mut Reader, node: &Node<'_>) -> BTreeSet<String> {
    let names = reader.strings(node, "`on`");
    if names.len() > MAX_KINDS {
        let what = format!("`on` has at most {MAX_KINDS} names, not {}", names.len());
        reader.fault(&node.span(), what);
    }
    let known = || KINDS.iter().map(|kind| kind.name()).chain(GROUPS);
    for name in &names {
        let text = name.value.as_str();
        if known().any(|known| known == text) {
            continue;
        }
        if FINAL.iter().any(|kind| kind.name() == text) {
            let hint = "a run that was cancelled, refused or skipped is never tried again";
            reader.hinted(&name.place, format!("`{text}` is no reason for another try"), hint);
        } else if let Some(near) = nearest(text, known()) {
            let what = format!("`{text}` is no kind of end");
            let hint = format!(
                "did you mean `{near}`? A failure's own kind that looks like it needs another name"
            );
            reader.hinted(&name.place, what, &hint);
        } else if !is_failure_kind(text) {
            let hint = "use lower-case letters, digits, `.`, `_` and `-`, starting with a letter";
            reader.hinted(&name.place, format!("`{text}` cannot be a failure's kind"), hint);
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

/// Whether a failure's kind can have this form: `[a-z][a-z0-9._-]{0,127}`.
fn is_failure_kind(text: &str) -> bool {
    text.len() <= MAX_NAME_LENGTH
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_tried_again_is_one_that_the_policy_can_try_again() {
        use sandmill_wire::{End, Outcome};
        let outcome = |kind| Outcome::Ended(End::new(kind, "x"));
        let policy = RetryPolicy::times(1);
        assert!(KINDS.iter().all(|kind| policy.retries_outcome(&outcome(*kind))));
        assert!(!FINAL.iter().any(|kind| policy.retries_outcome(&outcome(*kind))));
    }
}
