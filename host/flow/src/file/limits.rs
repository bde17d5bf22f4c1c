//! `[limits]` tables: the keys of `LimitOverrides`, each fault at its key.

use sandmill_core::LimitOverrides;
use serde_json::{Map, Value as Json};

use super::reader::{Node, Reader};
use crate::literal::Literal;

/// The keys of a `[limits]` table.
const KEYS: [&str; 9] = [
    "memory",
    "table_elements",
    "timeout",
    "fuel",
    "input",
    "output",
    "logs",
    "handles",
    "cancel_grace",
];

const UNIT_HINT: &str = "write the number with its unit, in quotes: \"30s\" or \"64MiB\"";

/// Reads a `[limits]` table. What does not fit is left out, and noted.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>, of: &str) -> LimitOverrides {
    let Some(table) = reader.table(node, of) else { return LimitOverrides::default() };
    reader.only(table, &KEYS, of);
    let mut good = Map::new();
    for (key, value) in table {
        let name: &str = key.get_ref();
        if !KEYS.contains(&name) {
            continue;
        }
        let Some(literal) = reader.literal(value) else { continue };
        let Ok(json) = serde_json::to_value(&literal) else { continue };
        // One key at a time, so that what is wrong with it has its place.
        let one = Json::Object(Map::from_iter([(name.to_owned(), json.clone())]));
        match serde_json::from_value::<LimitOverrides>(one) {
            Ok(_) => {
                good.insert(name.to_owned(), json);
            }
            Err(why) => {
                let what = match &literal {
                    Literal::String(_) => why.to_string(),
                    _ => format!("the limit `{name}` does not fit: {why}"),
                };
                let fault = reader.source.fault(&value.span(), what);
                let unit =
                    matches!(literal, Literal::Integer(1..)) && why.to_string().contains("string");
                reader.faults.push(if unit { fault.hint(UNIT_HINT) } else { fault });
            }
        }
    }
    serde_json::from_value(Json::Object(good)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_limits() {
        let limits = serde_json::to_value(sandmill_core::Limits::default()).unwrap();
        let mut keys: Vec<&str> = limits.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = KEYS.to_vec();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }
}
