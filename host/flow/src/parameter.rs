//! Parameters of a flow: their types, their defaults, and the values they are given.

use std::path::{Path, PathBuf};

use sandmill_wire::Value;
use sandmill_wire::value::Kind;

use crate::argument::Located;
use crate::file::{Node, Reader};
use crate::literal::Literal;

/// A `[parameters.NAME]` table.
#[derive(Debug, Clone)]
pub struct ParameterSpec {
    /// Its name.
    pub name: Located<String>,
    /// What it takes.
    pub kind: ParameterType,
    /// What it is for.
    pub description: Option<String>,
    /// What it is when it is not given; without one it has to be given.
    pub default: Option<Located<Literal>>,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// Binary data.
    Bytes,
    /// A list.
    Array,
    /// A table.
    Object,
    /// Anything.
    Any,
    /// A path of the host: `~/` and `$VAR/` at its start are filled in, and it is made absolute.
    Path,
}

const TYPES: [(&str, ParameterType); 9] = [
    ("string", ParameterType::String),
    ("integer", ParameterType::Integer),
    ("number", ParameterType::Number),
    ("boolean", ParameterType::Boolean),
    ("bytes", ParameterType::Bytes),
    ("array", ParameterType::Array),
    ("object", ParameterType::Object),
    ("any", ParameterType::Any),
    ("path", ParameterType::Path),
];
const KEYS: [&str; 3] = ["type", "description", "default"];

impl ParameterType {
    /// The name by which flow files know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("any", |(name, _)| name)
    }

    /// Whether it takes this value.
    #[must_use]
    pub fn takes(self, value: &Value) -> bool {
        let kind = value.kind();
        match self {
            Self::Any => true,
            Self::String | Self::Path => kind == Kind::String,
            Self::Integer => kind == Kind::Integer,
            Self::Number => matches!(kind, Kind::Integer | Kind::Float),
            Self::Boolean => kind == Kind::Bool,
            Self::Bytes => matches!(kind, Kind::Binary | Kind::String),
            Self::Array => kind == Kind::Array,
            Self::Object => kind == Kind::Map,
        }
    }

    /// Reads what a user wrote on a command line: the text itself for a string, a path or bytes,
    /// else JSON; for `any` JSON if it is some, and the text if not.
    ///
    /// # Errors
    /// When the text is not JSON, in a fragment that says so.
    pub fn read(self, text: &str) -> Result<Value, String> {
        let plain = || Value::encode(text).map_err(|error| error.to_string());
        match self {
            Self::String | Self::Path | Self::Bytes => plain(),
            Self::Any => Value::from_json_str(text).or_else(|_| plain()),
            _ => {
                Value::from_json_str(text).map_err(|error| format!("`{text}` is not JSON: {error}"))
            }
        }
    }
}

/// Reads one parameter. None when its type is not known.
pub(crate) fn read(
    reader: &mut Reader,
    name: Located<String>,
    node: &Node<'_>,
) -> Option<ParameterSpec> {
    let of = format!("parameter `{}`", name.value);
    let table = reader.table(node, &of)?;
    reader.only(table, &KEYS, &of);
    let description =
        table.get("description").and_then(|node| reader.string(node, "`description`"));
    let default = table
        .get("default")
        .map(|node| reader.literal(node).map(|literal| Located::new(literal, node.span())));
    let Some(kind) = table.get("type") else {
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        reader.missing(
            &name.place,
            format!("{of} has no `type`"),
            &format!("one of {}", names.join(", ")),
        );
        return None;
    };
    let kind = reader.string(kind, "`type`")?;
    let Some((_, known)) = TYPES.iter().find(|(name, _)| *name == kind.value) else {
        let fault = reader.source.fault(&kind.place, format!("unknown type `{}`", kind.value));
        reader.faults.push(fault.suggest(&kind.value, TYPES.iter().map(|(name, _)| *name)));
        return None;
    };
    // A default that could not be read has its fault; the parameter is not required because of it.
    let default = match default {
        Some(None) => return None,
        Some(Some(default)) => Some(default),
        None => None,
    };
    let description = description.map(|text| text.value);
    Some(ParameterSpec { name, kind: *known, description, default })
}

/// Fills in `~/` or `$VAR/` at the start of a path, and makes it start from `base`.
pub(crate) fn complete(
    text: &str,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PathBuf, String> {
    let home = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("`{text}`: the environment has no variable `{name}`"))
    };
    let path = if text == "~" {
        PathBuf::from(home("HOME")?)
    } else if let Some(rest) = text.strip_prefix("~/") {
        PathBuf::from(home("HOME")?).join(rest)
    } else if let Some(rest) = text.strip_prefix('$') {
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let found = PathBuf::from(home(name)?);
        if rest.is_empty() { found } else { found.join(rest) }
    } else {
        PathBuf::from(text)
    };
    let path = base.join(path);
    Ok(std::path::absolute(&path).unwrap_or(path))
}
