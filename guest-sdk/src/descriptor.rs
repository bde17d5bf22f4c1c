//! [`TaskDescriptor`]: what a host may know of a task before it runs it. Schemas are made here, at
//! `describe` only: a run never pays for them.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::Value;

use crate::arguments::missing;
use crate::task::{ReturnType, TaskDefault, TaskParameter, TaskResult};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A task in the words of the contract; schemas are JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDescriptor {
    /// The name by which `run` knows the task.
    pub name: String,
    /// What the task does.
    pub doc: Option<String>,
    /// JSON Schema of the argument map.
    pub parameters: String,
    /// JSON Schema of the result.
    pub result: String,
}

/// A [`TaskDescriptor`] in the making, filled by the code that `#[task]` generates.
pub struct Descriptor {
    name: &'static str,
    doc: &'static str,
    parameters: String,
}

impl Descriptor {
    /// Starts from what the macro knows.
    pub fn new(name: &'static str, doc: &'static str, parameters: Parameters) -> Self {
        Self { name, doc, parameters: parameters.finish() }
    }

    /// Completes it with the schema of the result.
    pub fn with_result<T: TaskResult>(self, _: ReturnType<T>) -> TaskDescriptor {
        let schema = SchemaSettings::draft2020_12()
            .for_serialize()
            .into_generator()
            .into_root_schema_for::<T>();
        let doc = self.doc.trim();
        TaskDescriptor {
            name: self.name.to_owned(),
            doc: (!doc.is_empty()).then(|| doc.to_owned()),
            parameters: self.parameters,
            result: Value::from(schema).to_string(),
        }
    }
}

/// The schema of an argument map in the making.
///
/// Its text is put together by hand because the contract wants the order of declaration, which
/// serde_json's maps only keep with a feature that brings a randomly seeded hasher into the guest.
pub struct Parameters {
    generator: SchemaGenerator,
    properties: Vec<String>,
    required: Vec<Value>,
}

impl Parameters {
    /// No parameters yet.
    pub fn new() -> Self {
        Self {
            generator: SchemaSettings::draft2020_12().for_deserialize().into_generator(),
            properties: Vec::new(),
            required: Vec::new(),
        }
    }

    /// Adds a parameter without a default: required, if a `T` cannot be missing.
    pub fn required<T: TaskParameter>(&mut self, name: &'static str, doc: &'static str) {
        if missing::<T>().is_none() {
            self.required.push(name.into());
        }
        self.add::<T>(name, doc, None);
    }

    /// Adds a parameter with a default. A default that has no JSON form is left out.
    pub fn or_default<T: TaskParameter + TaskDefault>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        default: fn() -> T,
    ) {
        self.add::<T>(name, doc, serde_json::to_value(default()).ok());
    }

    fn add<T: TaskParameter>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        default: Option<Value>,
    ) {
        let mut schema = self.generator.subschema_for::<T>();
        let doc = doc.trim();
        if !doc.is_empty() {
            schema.insert("description".to_owned(), doc.into());
        }
        if let Some(default) = default {
            schema.insert("default".to_owned(), default);
        }
        self.properties.push(format!("{}:{}", Value::from(name), Value::from(schema)));
    }

    fn finish(mut self) -> String {
        let mut schema = format!(
            r#"{{"$schema":{},"type":"object","properties":{{{}}},"required":{},"additionalProperties":false"#,
            Value::from(DIALECT),
            self.properties.join(","),
            Value::from(self.required),
        );
        let definitions = self.generator.take_definitions(true);
        if !definitions.is_empty() {
            schema.push_str(&format!(r#","$defs":{}"#, Value::from(definitions)));
        }
        schema.push('}');
        schema
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::new()
    }
}
