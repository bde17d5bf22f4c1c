//! What can be wrong with a value, its JSON form, or a request made of it.

use std::fmt;

use super::kind::Kind;

/// Why bytes are not an acceptable value, or why a value is not what was asked for.
///
/// Offsets count bytes from the start of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The encoded value has more bytes than allowed.
    #[error("the value has {size} bytes, more than max_bytes allows ({limit})")]
    TooLarge {
        /// The value's bytes, as far as they were counted.
        size: usize,
        /// [`Bounds::max_bytes`](super::Bounds::max_bytes).
        limit: usize,
    },
    /// Arrays and maps are nested too deeply.
    #[error("the value is nested deeper than max_depth allows ({limit}) at byte {offset}")]
    TooDeep {
        /// Where the first container too deep begins; 0 for a value put together from others.
        offset: usize,
        /// [`Bounds::max_depth`](super::Bounds::max_depth).
        limit: usize,
    },
    /// There are too many values inside the value.
    #[error("the value has more nodes than max_nodes allows ({limit}), seen at byte {offset}")]
    TooManyNodes {
        /// Where the limit tripped; 0 for a value put together from others.
        offset: usize,
        /// [`Bounds::max_nodes`](super::Bounds::max_nodes).
        limit: usize,
    },
    /// The bytes end where a value or the rest of a number should be.
    #[error("the input ends at byte {offset}, inside a value")]
    Truncated {
        /// The length of the input.
        offset: usize,
    },
    /// A length header promises more than the rest of the input can hold.
    #[error("the {kind} at byte {offset} declares a length of {declared} with {left} bytes left")]
    LengthBeyondInput {
        /// Where the header begins.
        offset: usize,
        /// What it is the header of.
        kind: Kind,
        /// Bytes, elements or entries promised.
        declared: u32,
        /// Bytes after the header.
        left: usize,
    },
    /// The byte `0xc1`, which MessagePack never uses.
    #[error("byte {offset} is 0xc1, which begins no value")]
    InvalidMarker {
        /// Where the byte is.
        offset: usize,
    },
    /// Something follows the value.
    #[error("the value ends at byte {offset}, but {extra} more bytes follow")]
    TrailingBytes {
        /// Where the value ends.
        offset: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// A string is not UTF-8.
    #[error("the string at byte {offset} is not UTF-8")]
    InvalidUtf8 {
        /// Where the string's header begins.
        offset: usize,
    },
    /// A map has a key twice.
    #[error("the map at byte {offset} has the key {key} twice")]
    DuplicateKey {
        /// Where the map begins; 0 for a map being built.
        offset: usize,
        /// The key, shortened for print.
        key: String,
    },
    /// A container used as a key holds a map that has a container as a key again.
    #[error("the array or map at byte {offset} is a key within a key; use a plain key")]
    KeyTooNested {
        /// Where the inner key begins.
        offset: usize,
    },
    /// A value of another kind was needed.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What was needed.
        expected: Kind,
        /// What there is.
        found: Kind,
    },
    /// A path does not lead to a value.
    #[error("nothing at `{path}`: {problem}")]
    NoSuchPath {
        /// The path as far as the step that failed.
        path: String,
        /// What was there instead.
        problem: String,
    },
    /// A template got too few or too many values.
    #[error("the template takes {expected} values, but {found} were given")]
    WrongCount {
        /// How many names vary.
        expected: usize,
        /// How many values were given.
        found: usize,
    },
    /// A Rust value cannot be written as MessagePack.
    #[error("cannot write the value as MessagePack: {0}")]
    Encode(String),
    /// The value does not have the shape of the Rust type.
    #[error("the value does not fit the type: {0}")]
    Decode(String),
}

/// Why a JSON text, or a JSON tree, is not the form of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", Place(*position))]
pub struct JsonError {
    message: String,
    position: Option<(usize, usize)>,
}

impl JsonError {
    pub(crate) fn new(message: impl Into<String>, position: Option<(usize, usize)>) -> Self {
        Self { message: message.into(), position }
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line in the text, from 1; `None` if the input was no text or the fault is the whole's.
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// Byte column in the line, from 1; `None` whenever [`line`](Self::line) is.
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }
}

/// serde_json puts the place at the end of its text; it is kept apart here.
impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        if error.line() == 0 {
            return Self::new(text, None);
        }
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(&place).unwrap_or(&text);
        Self::new(message, Some((error.line(), error.column())))
    }
}

impl From<ValueError> for JsonError {
    fn from(error: ValueError) -> Self {
        Self::new(error.to_string(), None)
    }
}

struct Place(Option<(usize, usize)>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, " at line {line} column {column}"),
            None => Ok(()),
        }
    }
}
