//! What the JSON Schema of a task says, as far as the command line needs it: names, types for
//! people, defaults. Values are checked by the guest and by flows, not here.

use serde_json::{Map, Value as Json};

/// Most characters of a type that are shown.
const MOST_TYPE: usize = 60;

/// How deep types are followed: a type may hold itself.
const DEEPEST: usize = 4;

/// A parameter of a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// Its type, for people: `integer`, `list of string`.
    pub(crate) r#type: String,
    /// Whether a call must give it.
    pub(crate) required: bool,
    /// What it is when a call does not give it, where the schema says so.
    pub(crate) default: Option<Json>,
    /// What it is for.
    pub(crate) doc: Option<String>,
    /// What kind of value it takes.
    pub(crate) takes: Takes,
}

/// What kind of value a parameter takes, as far as it says how to read what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Strings and nothing else.
    Text,
    /// Binary data and nothing else.
    Bytes,
    /// Anything but strings and binary data.
    Json,
    /// Anything, as far as is known.
    Anything,
}

/// The parameters in a task's schema, in its order; none when the schema is not one that names
/// them.
pub(crate) fn parameters(schema: &str) -> Option<Vec<Parameter>> {
    let schema: Json = serde_json::from_str(schema).ok()?;
    let properties = schema.get("properties").and_then(Json::as_object);
    let none = Map::new();
    if properties.is_none() && schema.get("type").and_then(Json::as_str) != Some("object") {
        return None;
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .map(|names| names.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let parameter = |(name, own): (&String, &Json)| Parameter {
        name: name.clone(),
        r#type: type_text(own, &schema, 0),
        required: required.contains(&name.as_str()),
        default: own.get("default").cloned(),
        doc: own.get("description").and_then(Json::as_str).map(str::to_owned),
        takes: takes(own, &schema, 0).unwrap_or(Takes::Anything),
    };
    Some(properties.unwrap_or(&none).iter().map(parameter).collect())
}

/// The type that a schema describes, for people.
pub(crate) fn result_type(schema: &str) -> String {
    match serde_json::from_str::<Json>(schema) {
        Ok(schema) => type_text(&schema, &schema, 0),
        Err(_) => "unknown".to_owned(),
    }
}

fn resolve<'a>(schema: &'a Json, root: &'a Json) -> &'a Json {
    let target = schema
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|reference| reference.strip_prefix('#'))
        .and_then(|pointer| root.pointer(pointer));
    target.unwrap_or(schema)
}

/// The guest SDK's mark for a value that is MessagePack binary: JSON Schema has no word for it.
fn is_binary(schema: &Json) -> bool {
    schema.get("x-msgpack").and_then(Json::as_str) == Some("bin")
}

/// What it takes beside nil, which is never typed: an optional one is left out. None for nothing.
fn takes(schema: &Json, root: &Json, depth: usize) -> Option<Takes> {
    let schema = resolve(schema, root);
    if is_binary(schema) {
        return Some(Takes::Bytes);
    }
    let one = |name: &str| match name {
        "null" => None,
        "string" => Some(Takes::Text),
        "array" | "object" | "integer" | "number" | "boolean" => Some(Takes::Json),
        _ => Some(Takes::Anything),
    };
    let either = |one: Takes, other| if one == other { one } else { Takes::Anything };
    match schema.get("type") {
        Some(Json::String(name)) => return one(name),
        Some(Json::Array(names)) => {
            return names.iter().filter_map(Json::as_str).filter_map(one).reduce(either);
        }
        _ => {}
    }
    let choices = ["anyOf", "oneOf"].iter().find_map(|choice| schema.get(choice)?.as_array());
    match choices {
        Some(choices) if depth < DEEPEST => {
            choices.iter().filter_map(|choice| takes(choice, root, depth + 1)).reduce(either)
        }
        _ => Some(Takes::Anything),
    }
}

fn type_text(schema: &Json, root: &Json, depth: usize) -> String {
    let named = schema.get("$ref").and_then(Json::as_str);
    let named = named.and_then(|path| path.rsplit('/').next()).filter(|name| *name != "#");
    let schema = resolve(schema, root);
    if depth > DEEPEST {
        return "…".to_owned();
    }
    if is_binary(schema) {
        return "bytes".to_owned();
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return cut(words.iter().map(Json::to_string).collect::<Vec<_>>().join(" | "));
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(choice).and_then(Json::as_array) {
            let texts: Vec<_> =
                choices.iter().map(|choice| type_text(choice, root, depth + 1)).collect();
            return cut(texts.join(" or "));
        }
    }
    match schema.get("type") {
        Some(Json::String(name)) => one_type(name, named, schema, root, depth),
        Some(Json::Array(names)) => {
            let texts: Vec<_> = names
                .iter()
                .filter_map(Json::as_str)
                .map(|name| one_type(name, named, schema, root, depth))
                .collect();
            cut(texts.join(" or "))
        }
        _ => match schema.get("const") {
            Some(word) => cut(word.to_string()),
            None => named.unwrap_or("any").to_owned(),
        },
    }
}

fn one_type(name: &str, named: Option<&str>, schema: &Json, root: &Json, depth: usize) -> String {
    match name {
        "array" => match schema.get("items") {
            Some(items @ Json::Object(_)) => {
                format!("list of {}", type_text(items, root, depth + 1))
            }
            _ => "list".to_owned(),
        },
        "object" => {
            if let Some(named) = named {
                return named.to_owned();
            }
            let fields = schema.get("properties").and_then(Json::as_object);
            match fields {
                Some(fields) => {
                    let names: Vec<_> = fields.keys().map(String::as_str).collect();
                    cut(format!("{{{}}}", names.join(", ")))
                }
                None => match schema.get("additionalProperties") {
                    Some(values @ Json::Object(_)) => {
                        format!("map of {}", type_text(values, root, depth + 1))
                    }
                    _ => "map".to_owned(),
                },
            }
        }
        other => other.to_owned(),
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MOST_TYPE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_well() {
        for (schema, text) in [
            (r#"{"type":"integer","format":"uint32","minimum":0}"#, "integer"),
            (r#"{"type":["string","null"]}"#, "string or null"),
            (
                r#"{"type":"array","items":{"type":"array","items":{"type":"number"}}}"#,
                "list of list of number",
            ),
            (
                r##"{"$ref":"#/$defs/Size","$defs":{"Size":{"type":"object","properties":{"w":{}}}}}"##,
                "Size",
            ),
            (r#"{"type":"object","properties":{"w":{},"h":{}}}"#, "{w, h}"),
            (r#"{"type":"object","additionalProperties":{"type":"integer"}}"#, "map of integer"),
            (r#"{"type":"string","contentEncoding":"base64","x-msgpack":"bin"}"#, "bytes"),
            (r#"{"enum":["a","b"]}"#, r#""a" | "b""#),
            (r##"{"$ref":"#"}"##, "any"),
            (
                r##"{"type":"array","items":{"$ref":"#"}}"##,
                "list of list of list of list of list of …",
            ),
            ("true", "any"),
            ("no json", "unknown"),
        ] {
            assert_eq!(result_type(schema), text, "{schema}");
        }
    }

    #[test]
    fn parameters_keep_their_order_defaults_and_docs() {
        let schema = r#"{"type":"object","properties":{
            "b":{"type":"string","description":"the b"},"a":{"type":"integer","default":2}},
            "required":["b"],"additionalProperties":false}"#;
        let parameters = parameters(schema).expect("it names parameters");
        assert_eq!(parameters[0].name, "b");
        assert!(parameters[0].required && parameters[0].takes == Takes::Text);
        assert_eq!(parameters[0].doc.as_deref(), Some("the b"));
        assert_eq!(parameters[1].default, Some(Json::from(2)));
        assert!(!parameters[1].required && parameters[1].takes == Takes::Json);
        let takes = |text: &str| {
            let schema = serde_json::from_str(text).expect("JSON");
            super::takes(&schema, &schema, 0)
        };
        for (schema, what) in [
            (r#"{"type":["string","null"]}"#, Some(Takes::Text)),
            (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, Some(Takes::Text)),
            (r#"{"type":["string","integer"]}"#, Some(Takes::Anything)),
            (r#"{"type":["null"]}"#, None),
            (r#"{"type":"string","x-msgpack":"bin"}"#, Some(Takes::Bytes)),
            (r#"{"type":["array","null"]}"#, Some(Takes::Json)),
            (r##"{"anyOf":[{"$ref":"#"}]}"##, Some(Takes::Anything)),
            ("true", Some(Takes::Anything)),
        ] {
            assert_eq!(takes(schema), what, "{schema}");
        }
        assert_eq!(super::parameters("true"), None);
        assert_eq!(super::parameters(r#"{"type":"object"}"#), Some(Vec::new()));
    }
}
