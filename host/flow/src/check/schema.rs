//! JSON Schemas of tasks, as far as edges need them: what kinds of value there can be, what is at
//! a path, and whether a literal fits. What a schema leaves open fits everything.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::expansion::is_moderate;

/// Largest schema that is looked at. A larger one leaves everything open.
const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// Most `$ref`s in a row, and most alternatives inside one another.
const MAX_HOPS: usize = 32;
/// Most characters of a validation message.
const MAX_MESSAGE: usize = 200;
/// Largest compiled regular expression of a schema's `pattern`, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A schema, or a part of one that may refer to its whole.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    root: Arc<Json>,
    here: Json,
}

/// What is at a step of a path.
pub(super) enum Step {
    /// This.
    Found(Schema),
    /// The schema does not say.
    Open,
    /// Nothing can be there.
    Nothing(String),
}

impl Schema {
    /// Reads a schema; none when it is no JSON, or too large to look at with its references.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_SCHEMA_BYTES {
            return None;
        }
        let root: Json = serde_json::from_str(text).ok().filter(is_moderate)?;
        Some(Self { here: root.clone(), root: Arc::new(root) })
    }

    /// The schema of the map that tells of a run, or of a list of such maps.
    pub(super) fn state(listed: bool) -> Self {
        let one = json!({ "type": "object" });
        let here = if listed { json!({ "type": "array", "items": one }) } else { one };
        Self { root: Arc::new(here.clone()), here }
    }

    fn part(&self, here: &Json) -> Self {
        Self { root: Arc::clone(&self.root), here: here.clone() }
    }

    /// The schema of an array of these.
    pub(super) fn listed(&self) -> Self {
        self.part(&json!({ "type": "array", "items": self.here }))
    }

    /// The schema with the `$ref`s at its top followed; none when they lead nowhere.
    fn resolved(&self) -> Option<&Json> {
        let mut here = &self.here;
        for _ in 0..MAX_HOPS {
            let Some(reference) = here.get("$ref").and_then(Json::as_str) else {
                return Some(here);
            };
            here = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    /// The names of parameters, when this is the schema of an argument map.
    pub(super) fn properties(&self) -> Vec<&str> {
        let properties = self.resolved().and_then(|here| here.get("properties")?.as_object());
        properties.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect()
    }

    pub(super) fn required(&self) -> Vec<&str> {
        let list = self.resolved().and_then(|here| here.get("required")?.as_array());
        list.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// The schema of one property.
    pub(super) fn property(&self, name: &str) -> Step {
        let Some(here) = self.resolved() else { return Step::Open };
        if let Some(found) = here.get("properties").and_then(|map| map.get(name)) {
            return Step::Found(self.part(found));
        }
        match here.get("additionalProperties") {
            Some(Json::Bool(false)) => {}
            Some(more @ Json::Object(_)) => return Step::Found(self.part(more)),
            Some(_) => return Step::Open,
            // A schema that lists its properties means them to be all, though it need not say so:
            // most are made from types.
            None => {
                let others =
                    ["patternProperties", "unevaluatedProperties", "anyOf", "oneOf", "allOf", "if"];
                if here.get("properties").is_none()
                    || others.iter().any(|key| here.get(key).is_some())
                {
                    return Step::Open;
                }
            }
        }
        Step::Nothing(format!("there is no `{name}`"))
    }

    /// The schema of an array's elements.
    pub(super) fn element(&self, index: Option<usize>) -> Step {
        let Some(here) = self.resolved() else { return Step::Open };
        if let Some(first) = here.get("prefixItems").and_then(Json::as_array) {
            return match index.map(|index| first.get(index)) {
                Some(Some(found)) => Step::Found(self.part(found)),
                _ => Step::Open,
            };
        }
        match here.get("items") {
            Some(items @ Json::Object(_)) => Step::Found(self.part(items)),
            _ => Step::Open,
        }
    }

    /// What is at a step of a path: a field of an object, or an index of an array.
    pub(super) fn step(&self, step: &str) -> Step {
        let Some(kinds) = self.kinds() else { return Step::Open };
        if kinds.has(Kinds::ARRAY) && !kinds.has(Kinds::OBJECT) {
            return match step.parse() {
                Ok(index) => self.element(Some(index)),
                Err(_) => Step::Nothing(format!("it is an array, and `{step}` is no index")),
            };
        }
        if !kinds.has(Kinds::OBJECT) {
            return Step::Nothing(format!("it is {kinds}, and has no `{step}`"));
        }
        if kinds.has(Kinds::ARRAY) {
            return Step::Open;
        }
        self.property(step)
    }

    /// Which kinds of value there can be; none when the schema does not say.
    pub(super) fn kinds(&self) -> Option<Kinds> {
        self.kinds_within(MAX_HOPS)
    }

    fn kinds_within(&self, hops: usize) -> Option<Kinds> {
        let here = self.resolved()?;
        if here.get("x-msgpack").and_then(Json::as_str) == Some("bin") {
            return Some(Kinds::BYTES);
        }
        match here.get("type") {
            Some(Json::String(name)) => return Kinds::named(name),
            Some(Json::Array(names)) => {
                return union(names.iter().map(|name| Kinds::named(name.as_str()?)));
            }
            _ => {}
        }
        if let Some(value) = here.get("const") {
            return Some(Kinds::of(value));
        }
        if let Some(values) = here.get("enum").and_then(Json::as_array) {
            return union(values.iter().map(|value| Some(Kinds::of(value))));
        }
        let alternatives = here.get("anyOf").or_else(|| here.get("oneOf"))?.as_array()?;
        let hops = hops.checked_sub(1)?;
        union(alternatives.iter().map(|schema| self.part(schema).kinds_within(hops)))
    }

    /// What is wrong with a value by this schema; nothing when the schema itself is broken.
    pub(super) fn problems(&self, value: &Json) -> Option<String> {
        let mut schema = json!({ "allOf": [self.here] });
        for key in ["$schema", "$defs", "definitions"] {
            if let Some(shared) = self.root.get(key) {
                schema[key] = shared.clone();
            }
        }
        let patterns = jsonschema::PatternOptions::regex()
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES);
        let validator =
            jsonschema::options().offline().with_pattern_options(patterns).build(&schema).ok()?;
        let first = validator.iter_errors(value).next()?;
        let mut message = first.to_string();
        if let Some((cut, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(cut);
            message.push('…');
        }
        let at = first.instance_path().to_string();
        Some(if at.is_empty() { message } else { format!("{message}, at {at}") })
    }
}

/// All of them together; none when one is not known.
fn union(mut kinds: impl Iterator<Item = Option<Kinds>>) -> Option<Kinds> {
    kinds.try_fold(Kinds::NONE, |all, kinds| Some(all.or(kinds?)))
}

/// A set of kinds of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

const NAMES: [(Kinds, &str, &str); 8] = [
    (Kinds(1), "null", "null"),
    (Kinds(2), "boolean", "a boolean"),
    (Kinds(4), "integer", "an integer"),
    (Kinds(8), "number", "a number"),
    (Kinds(16), "string", "a string"),
    (Kinds::ARRAY, "array", "an array"),
    (Kinds::OBJECT, "object", "an object"),
    (Kinds::BYTES, "", "bytes"),
];

impl Kinds {
    const NONE: Self = Self(0);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    const BYTES: Self = Self(128);
    const INTEGER: Self = Self(4);
    const NUMBER: Self = Self(8);
    const STRING: Self = Self(16);

    fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known, _)| *known == name).map(|(kind, ..)| *kind)
    }

    fn of(value: &Json) -> Self {
        match value {
            Json::Null => Self(1),
            Json::Bool(_) => Self(2),
            Json::Number(number) if number.is_f64() => Self::NUMBER,
            Json::Number(_) => Self::INTEGER,
            Json::String(_) => Self::STRING,
            Json::Array(_) => Self::ARRAY,
            Json::Object(_) => Self::OBJECT,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether some value of these kinds can be one of `wanted`: an integer is a number too, and
    /// bytes are also taken from strings and arrays of numbers.
    pub(super) const fn can_be(self, wanted: Self) -> bool {
        let mut given = self;
        if given.has(Self::INTEGER) {
            given = given.or(Self::NUMBER);
        }
        if given.has(Self::STRING) || given.has(Self::ARRAY) {
            given = given.or(Self::BYTES);
        }
        given.has(wanted)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = NAMES.iter().filter(|(kind, ..)| self.has(*kind)).map(|(.., name)| *name);
        f.write_str(names.next().unwrap_or("nothing"))?;
        names.try_for_each(|name| write!(f, " or {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::read(text).unwrap()
    }

    #[test]
    fn kinds_are_found_behind_references_and_alternatives() {
        let nullable = schema(
            r##"{"anyOf":[{"$ref":"#/$defs/N"},{"type":"null"}],"$defs":{"N":{"type":"integer"}}}"##,
        );
        assert_eq!(nullable.kinds().unwrap().to_string(), "null or an integer");
        let number = schema(r#"{"type":"number"}"#).kinds().unwrap();
        assert!(nullable.kinds().unwrap().can_be(number));
        assert!(!number.can_be(schema(r#"{"type":"integer"}"#).kinds().unwrap()));
        assert_eq!(
            schema(r#"{"enum":["a",1]}"#).kinds().unwrap().to_string(),
            "an integer or a string"
        );
        assert_eq!(schema("{}").kinds(), None);
        assert_eq!(schema("true").kinds(), None);
    }

    #[test]
    fn a_schema_that_runs_in_circles_leaves_everything_open() {
        let circle = schema(r##"{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/A"}}}"##);
        assert_eq!(circle.kinds(), None);
        assert!(matches!(circle.step("x"), Step::Open));
        let nested =
            schema(r##"{"$ref":"#/$defs/A","$defs":{"A":{"anyOf":[{"$ref":"#/$defs/A"}]}}}"##);
        assert_eq!(nested.kinds(), None);
    }

    #[test]
    fn literals_are_held_against_the_schema() {
        let names = schema(
            r##"{"type":"array","items":{"$ref":"#/$defs/S"},"$defs":{"S":{"type":"string"}}}"##,
        );
        assert_eq!(names.problems(&json!(["a"])), None);
        let problem = names.problems(&json!(["a", 7])).unwrap();
        assert!(problem.contains("7") && problem.contains("/1"), "{problem}");
        assert_eq!(schema(r#"{"type":"no such type"}"#).problems(&json!(1)), None);
    }

    #[test]
    fn a_hostile_schema_does_not_bring_the_host_down() {
        let circle = schema(r##"{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/A"}}}"##);
        assert_eq!(circle.problems(&json!(1)), None);
        let nested = schema(
            r##"{"allOf":[{"$ref":"#/$defs/A"}],"$defs":{"A":{"anyOf":[{"$ref":"#/$defs/A"},{"type":"string"}]}}}"##,
        );
        nested.problems(&json!(1));
        let pattern = schema(r#"{"type":"string","pattern":"^(a+)+$"}"#);
        assert!(pattern.problems(&json!("a".repeat(5000) + "b")).is_some());
    }
}
