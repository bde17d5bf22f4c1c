//! `trigger`, `max_failures` and what they count: numbers of runs, and parts of them.

use toml::de::DeValue;

use super::reader::{Node, Reader};
use crate::policy::{Amount, Trigger};

const TRIGGERS: [(&str, Trigger); 5] = [
    ("all-successful", Trigger::AllSuccessful),
    ("any-successful", Trigger::AnySuccessful),
    ("all-failed", Trigger::AllFailed),
    ("any-failed", Trigger::AnyFailed),
    ("all-finished", Trigger::AllFinished),
];
const SOME: &str = "some_successful";
const SOME_HINT: &str = "write { some_successful = { at_least = 2, at_most = \"50%\" } }";

/// Reads a `trigger`.
pub(super) fn trigger(reader: &mut Reader, node: &Node<'_>) -> Option<Trigger> {
    let table = match node.get_ref() {
        DeValue::Table(table) => table,
        DeValue::String(text) => {
            // Prefect 0.x writes them with underscores.
            let name = text.replace('_', "-");
            let known = TRIGGERS.iter().find(|(known, _)| *known == name);
            if known.is_none() {
                let fault = reader.source.fault(&node.span(), format!("unknown trigger `{text}`"));
                reader.faults.push(if name == "some-successful" {
                    fault.hint(SOME_HINT)
                } else {
                    fault.suggest(&name, TRIGGERS.iter().map(|(name, _)| *name))
                });
            }
            return known.map(|(_, trigger)| *trigger);
        }
        _ => {
            reader.wrong(node, "`trigger`", "a name or a table");
            return None;
        }
    };
    reader.only_either(table, &[SOME], "`trigger`");
    let Some(node) = reader.either(table, SOME) else {
        reader.missing(&node.span(), "the trigger has no `some_successful`", SOME_HINT);
        return None;
    };
    let table = reader.table(node, "`some_successful`")?;
    reader.only_either(table, &["at_least", "at_most"], "`some_successful`");
    let at_least = reader.either(table, "at_least").map(|node| amount(reader, node, "`at_least`"));
    let at_most = reader.either(table, "at_most").map(|node| amount(reader, node, "`at_most`"));
    let Some(at_least) = at_least else {
        // As in Prefect 0.x, where `at_least` has no default either once `at_most` is given.
        reader.missing(&node.span(), "`some_successful` has no `at_least`", SOME_HINT);
        return None;
    };
    let (at_least, at_most) = (
        at_least?,
        match at_most {
            Some(at_most) => Some(at_most?),
            None => None,
        },
    );
    let contradiction = match (at_least, at_most) {
        (Amount::Count(least), Some(Amount::Count(most))) => least > most,
        (Amount::Part(least), Some(Amount::Part(most))) => least > most,
        _ => false,
    };
    if contradiction {
        reader.fault(&node.span(), "`at_least` is more than `at_most`, so it would never hold");
        return None;
    }
    Some(Trigger::SomeSuccessful { at_least, at_most })
}

/// Reads a number of runs: as it is, or as a percentage.
pub(super) fn amount(reader: &mut Reader, node: &Node<'_>, of: &str) -> Option<Amount> {
    match node.get_ref() {
        DeValue::Integer(_) => reader.whole(node, of, 0, i64::MAX as u64).map(Amount::Count),
        DeValue::String(text) => {
            let part = text.trim().strip_suffix('%').and_then(|part| part.trim().parse().ok());
            let part = part.filter(|part: &f64| (0.0..=100.0).contains(part));
            if part.is_none() {
                let what = format!("`{text}` is no part: {of} is a number or a percentage");
                reader.hinted(&node.span(), what, "write 10, or \"5%\"");
            }
            part.map(|part| Amount::Part(part / 100.0))
        }
        _ => {
            reader.wrong(node, of, "a number or a percentage");
            None
        }
    }
}
