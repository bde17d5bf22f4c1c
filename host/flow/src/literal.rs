//! Values as a flow file writes them, and their forms for tasks and for schemas.

use sandmill_wire::Value;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A value that stands in the flow file itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number, also an infinite one.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// A table, in the order of the file.
    Table(Vec<(String, Self)>),
}

impl Literal {
    /// The value for a task.
    ///
    /// # Errors
    /// When it is nested too deeply or has too many parts.
    pub fn to_value(&self) -> Result<Value, String> {
        Value::encode(self).map_err(|error| error.to_string())
    }

    /// What it is, for people.
    pub(crate) const fn kind_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Self::Table(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}
