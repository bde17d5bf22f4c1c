//! What a flow run that has an idempotency key already has to do with the one that was asked for
//! with it. As with the Idempotency-Key of HTTP interfaces (an IETF draft, and Stripe), the same
//! key with other parameters or for another flow is a mistake, which is said; a flow that was
//! changed meanwhile is the same one.

use std::collections::BTreeMap;
use std::path::Path;

use sandmill::flow_file::OWN_COMPONENT;
use sandmill::store::{FlowRecord, FlowSource};
use sandmill::{CodedFlow, Component, Digest, PlannedFlow, Value};

use crate::error::{CliError, Result};
use crate::output::short;

/// Characters of a parameter's value that are shown.
const SHOWN: usize = 60;

/// What is asked for, as far as it tells one flow run from another.
pub(super) struct Asked<'a> {
    name: &'a str,
    /// The text of the flow file; none for a flow component.
    text: Option<&'a str>,
    path: String,
    parameters: BTreeMap<String, Value>,
    components: BTreeMap<&'a str, Digest>,
}

impl<'a> Asked<'a> {
    /// A flow file.
    pub(super) fn file(flow: &'a PlannedFlow) -> Self {
        let components = flow.plan.components().iter();
        Self {
            name: flow.plan.name(),
            text: Some(&flow.text),
            path: absolute(&flow.path),
            parameters: flow.plan.parameters().iter().cloned().collect(),
            components: components.map(|of| (of.name.as_ref(), of.component.digest())).collect(),
        }
    }

    /// A flow that is code in a component.
    pub(super) fn code(flow: &'a CodedFlow) -> Self {
        let of = |(name, component): (&'a str, &Component)| (name, component.digest());
        let others = flow.components.iter().map(|(name, other)| (name.as_str(), other));
        let all = std::iter::once((OWN_COMPONENT, &flow.component)).chain(others);
        Self {
            name: &flow.flow,
            text: None,
            path: flow.component.origin().to_owned(),
            parameters: by_name(&flow.arguments),
            components: all.map(of).collect(),
        }
    }

    /// Holds it against the flow run that has the key: in what it was changed since.
    ///
    /// # Errors
    /// It is another flow, or has other parameters.
    pub(super) fn check(
        &self,
        key: &str,
        was: &FlowRecord,
        source: &FlowSource,
    ) -> Result<Changed> {
        let digests: BTreeMap<&str, Digest> =
            source.components.iter().map(|of| (of.name.as_str(), of.digest)).collect();
        let changed = Changed {
            text: source.text.as_deref() != self.text,
            components: digests != self.components,
        };
        let refused = |what: String| {
            CliError::input(format!(
                "the idempotency key `{}` is that of flow run {}, which {what}; nothing was run",
                short(key),
                was.run
            ))
        };
        if !self.is_same_flow(was, source, changed) {
            return Err(refused(format!("is one of another flow, `{}`", short(&was.name)))
                .detail(format!("that flow: {}", short(&source.path)))
                .detail(format!("this flow: {}", short(&self.path)))
                .hint("a key is for one run of one flow: take another key"));
        }
        let differences = differences(&by_name(&source.parameters), &self.parameters);
        if differences.is_empty() {
            return Ok(changed);
        }
        Err(refused("has other parameters".to_owned())
            .details(differences)
            .hint("take another key, or the same parameters")
            .hint(format!("`sandmill runs rerun {} -p NAME=VALUE` runs it with others", was.run)))
    }

    /// The same name, and either the same place or the same contents.
    fn is_same_flow(&self, was: &FlowRecord, source: &FlowSource, changed: Changed) -> bool {
        let same_kind = source.text.is_some() == self.text.is_some();
        let same_place = match self.text {
            Some(_) => source.path == self.path,
            // The path of a component is as it was typed.
            None => Path::new(&source.path).file_name() == Path::new(&self.path).file_name(),
        };
        let same_contents = match self.text {
            Some(_) => !changed.text,
            None => !changed.components,
        };
        same_kind && *was.name == *self.name && (same_place || same_contents)
    }
}

/// In what a flow was changed since the flow run with the key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    text: bool,
    components: bool,
}

impl Changed {
    /// In words; none where it was not.
    pub(super) fn words(self) -> Option<&'static str> {
        match (self.text, self.components) {
            (true, true) => Some("the flow file and its components were changed since"),
            (true, false) => Some("the flow file was changed since"),
            (false, true) => Some("the flow's components were changed since"),
            (false, false) => None,
        }
    }
}

/// A map's entries by name.
fn by_name(map: &Value) -> BTreeMap<String, Value> {
    let entries = map.entries().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect()
}

/// What differs, a line for each parameter.
fn differences(was: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Vec<String> {
    let mut names: Vec<&String> = was.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&String| {
        was.get(*name).map(Value::canonical) != now.get(*name).map(Value::canonical)
    };
    let line = |name: &String| {
        let shown = |of: &BTreeMap<String, Value>| of.get(name).map_or("nothing".into(), value);
        format!("parameter `{}`: it was {}, and is {} now", short(name), shown(was), shown(now))
    };
    names.into_iter().filter(differs).map(line).collect()
}

fn value(value: &Value) -> String {
    console::truncate_str(&short(&value.to_json_string()), SHOWN, "…").into_owned()
}

/// Where a file is, as the store has it.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_the_same_where_they_mean_the_same() {
        let of = |json: &str| by_name(&Value::from_json_str(json).expect("it is JSON"));
        let was = of(r#"{"a": 1, "b": {"x": 1, "y": [2]}}"#);
        assert!(differences(&was, &of(r#"{"b": {"y": [2], "x": 1}, "a": 1}"#)).is_empty());
        assert_eq!(
            differences(&was, &of(r#"{"b": {"y": [2], "x": 1}, "a": 2, "c": "z"}"#)),
            [
                "parameter `a`: it was 1, and is 2 now",
                "parameter `c`: it was nothing, and is \"z\" now"
            ]
        );
        let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(500));
        assert!(differences(&was, &of(&long))[0].len() < 300);
    }
}
