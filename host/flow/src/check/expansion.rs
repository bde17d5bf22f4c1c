//! How large a JSON Schema is when its references are written out. Schemas come from guests, and a
//! short one can be made to take for ever to look at.

use std::collections::HashMap;

use serde_json::Value as Json;

/// Most parts of a schema, counting what is referred to as often as it is.
pub(super) const MAX_EXPANSION: u64 = 100_000;
/// Deepest chain of parts and references.
const MAX_DEPTH: usize = 512;

/// Whether the schema stays small when its references are written out. One that refers to itself,
/// as that of a tree does, is counted once around.
pub(super) fn is_moderate(root: &Json) -> bool {
    let mut counter = Counter { root, known: HashMap::new() };
    let definitions =
        ["$defs", "definitions"].into_iter().filter_map(|key| root.get(key)?.as_object());
    let parts = definitions.flat_map(|map| map.values()).chain([root]);
    parts.map(|part| counter.count(part, 0)).all(|count| count <= MAX_EXPANSION)
}

struct Counter<'a> {
    root: &'a Json,
    /// How large what is referred to is; none while it is being counted.
    known: HashMap<&'a str, Option<u64>>,
}

impl<'a> Counter<'a> {
    fn count(&mut self, part: &'a Json, depth: usize) -> u64 {
        if depth > MAX_DEPTH {
            return u64::MAX;
        }
        let sum = |total: u64, more: u64| total.saturating_add(more);
        match part {
            Json::Array(items) => items.iter().map(|item| self.count(item, depth + 1)).fold(1, sum),
            Json::Object(entries) => entries
                .iter()
                .filter(|(key, _)| *key != "$defs" && *key != "definitions")
                .map(|(key, value)| match value {
                    Json::String(reference) if key == "$ref" => self.referred(reference, depth),
                    value => self.count(value, depth + 1),
                })
                .fold(1, sum),
            _ => 1,
        }
    }

    fn referred(&mut self, reference: &'a str, depth: usize) -> u64 {
        if let Some(known) = self.known.get(reference) {
            return known.unwrap_or(1);
        }
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let Some(target) = target else { return 1 };
        self.known.insert(reference, None);
        let count = self.count(target, depth + 1);
        self.known.insert(reference, Some(count));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubling(levels: usize) -> Json {
        let mut text = r##"{"oneOf":[{"$ref":"#/$defs/d0"}],"$defs":{"##.to_owned();
        for level in 0..levels {
            let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, level + 1);
            text.push_str(&format!(r#""d{level}":{{"oneOf":[{next},{next}]}},"#));
        }
        text.push_str(&format!(r#""d{levels}":{{"type":"string"}}}}}}"#));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_doubles_at_every_step_is_not_looked_at() {
        assert!(is_moderate(&doubling(5)));
        assert!(!is_moderate(&doubling(30)));
        assert!(!is_moderate(&doubling(5000)));
    }

    #[test]
    fn a_tree_may_refer_to_itself() {
        let tree = r##"{"$ref":"#/$defs/T","$defs":{"T":{"type":"object","properties":{
            "children":{"type":"array","items":{"$ref":"#/$defs/T"}}}}}}"##;
        assert!(is_moderate(&serde_json::from_str(tree).unwrap()));
    }
}
