//! Arguments of a flow or task that are all known, held against its schema before anything runs.

use sandmill_wire::Value;

use super::edges::holds_non_finite;
use super::schema::{Schema, Step};

/// What is wrong with an argument map by the schema of what is called: all of it. A schema that
/// cannot be read, or leaves something open, is no fault of the arguments.
#[must_use]
pub fn argument_faults(schema: &str, arguments: &Value) -> Vec<String> {
    let Some(wanted) = Schema::read(schema) else { return Vec::new() };
    let entries = match arguments.entries() {
        Ok(entries) => entries,
        Err(error) => return vec![format!("the arguments are no map by name: {error}")],
    };
    let entries: Vec<(String, Value)> =
        entries.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect();
    let mut faults = Vec::new();
    for (name, value) in &entries {
        match wanted.property(name) {
            Step::Found(wanted) => faults.extend(
                value_problem(&wanted, value)
                    .map(|problem| format!("parameter `{name}`: {problem}")),
            ),
            Step::Open => {}
            Step::Nothing(_) => faults.push(format!("there is no parameter `{name}`")),
        }
    }
    let given = |name: &str| entries.iter().any(|(given, _)| given == name);
    let missing = wanted.required().into_iter().filter(|name| !given(name));
    faults.extend(missing.map(|name| format!("parameter `{name}` is missing")));
    faults
}

/// What is wrong with the value of one parameter by the schema of what is called; nothing where that
/// does not know the parameter.
#[must_use]
pub fn argument_fault(schema: &str, name: &str, value: &Value) -> Option<String> {
    match Schema::read(schema)?.property(name) {
        Step::Found(wanted) => value_problem(&wanted, value),
        Step::Open | Step::Nothing(_) => None,
    }
}

/// Whether what is called may have a parameter of this name, as far as its schema says.
#[must_use]
pub fn may_have_parameter(schema: &str, name: &str) -> bool {
    Schema::read(schema).is_none_or(|schema| !matches!(schema.property(name), Step::Nothing(_)))
}

fn value_problem(wanted: &Schema, value: &Value) -> Option<String> {
    // What has no JSON form (bytes, infinite numbers) has no JSON Schema either.
    let json = value.decode::<serde_json::Value>().ok().filter(|_| !holds_non_finite(value))?;
    wanted.problems(&json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_with_arguments_is_told() {
        let schema = r#"{"type":"object","required":["n","m"],"additionalProperties":false,
            "properties":{"n":{"type":"integer"},"m":{"type":"string"},"o":{"type":"number"}}}"#;
        let map = |json: &str| Value::from_json_str(json).expect("it is JSON");
        assert_eq!(argument_faults(schema, &map(r#"{"n":1,"m":"a"}"#)), Vec::<String>::new());
        let faults = argument_faults(schema, &map(r#"{"n":"x","q":1,"o":[]}"#)).join("; ");
        for words in ["`n`: \"x\"", "no parameter `q`", "`o`: []", "`m` is missing"] {
            assert!(faults.contains(words), "{words} in {faults}");
        }
        assert_eq!(argument_faults("no schema", &map("{}")), Vec::<String>::new());
        assert!(argument_fault(schema, "n", &map("[]")).is_some());
        assert_eq!(argument_fault(schema, "q", &map("[]")), None);
    }
}
