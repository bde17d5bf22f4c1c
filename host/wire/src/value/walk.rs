//! Looking into arrays and maps: each element is a slice of the same bytes.

use std::iter::FusedIterator;

use bytes::Bytes;

use super::bounds::Shape;
use super::error::ValueError;
use super::handle::Value;
use super::kind::Kind;
use super::reader::{Token, skip, token};

impl Value {
    /// The number of an array's elements or of a map's entries; `None` for other kinds.
    pub fn len(&self) -> Option<usize> {
        match token(self.as_bytes(), 0) {
            Ok((Token::Array(count) | Token::Map(count), _)) => usize::try_from(count).ok(),
            _ => None,
        }
    }

    /// Whether this is an array or a map with nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The elements of an array, in order, without copying.
    ///
    /// # Errors
    /// If the value is no array.
    pub fn elements(&self) -> Result<Elements, ValueError> {
        match token(self.as_bytes(), 0)? {
            (Token::Array(count), at) => Ok(Elements(Slices::new(self, at, count))),
            _ => Err(ValueError::WrongKind { expected: Kind::Array, found: self.kind() }),
        }
    }

    /// The entries of a map, in order, without copying.
    ///
    /// # Errors
    /// If the value is no map.
    pub fn entries(&self) -> Result<Entries, ValueError> {
        match token(self.as_bytes(), 0)? {
            (Token::Map(count), at) => Ok(Entries(Slices::new(self, at, count))),
            _ => Err(ValueError::WrongKind { expected: Kind::Map, found: self.kind() }),
        }
    }

    /// The value under a string key; `None` if there is none, or the value is no map.
    pub fn get(&self, key: &str) -> Option<Self> {
        let bytes = self.as_bytes();
        let (Token::Map(count), mut at) = token(bytes, 0).ok()? else { return None };
        for _ in 0..count {
            let (name, name_end) = token(bytes, at).ok()?;
            if name == Token::Str(key.as_bytes()) {
                return slice(self, name_end).map(|(value, _)| value);
            }
            let (key_end, _) = skip(bytes, at).ok()?;
            (at, _) = skip(bytes, key_end).ok()?;
        }
        None
    }

    /// The element at `index`; `None` past the end, or if the value is no array. Walks over the
    /// elements before it: to visit them all, use [`elements`](Self::elements).
    pub fn at(&self, index: usize) -> Option<Self> {
        let bytes = self.as_bytes();
        let (Token::Array(count), mut at) = token(bytes, 0).ok()? else { return None };
        if index >= usize::try_from(count).ok()? {
            return None;
        }
        for _ in 0..index {
            (at, _) = skip(bytes, at).ok()?;
        }
        slice(self, at).map(|(value, _)| value)
    }

    /// The text of a string; `None` for other kinds.
    pub fn as_str(&self) -> Option<&str> {
        match token(self.as_bytes(), 0) {
            Ok((Token::Str(text), _)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
}

/// Slices values off a container, one after another.
#[derive(Debug, Clone)]
struct Slices {
    parent: Value,
    at: usize,
    /// Elements or entries to come.
    left: usize,
}

impl Slices {
    fn new(parent: &Value, at: usize, count: u32) -> Self {
        Self { parent: parent.clone(), at, left: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    fn take(&mut self) -> Option<Value> {
        let (value, end) = slice(&self.parent, self.at)?;
        self.at = end;
        Some(value)
    }
}

/// The value inside `parent` that begins at `at`, and where it ends.
fn slice(parent: &Value, at: usize) -> Option<(Value, usize)> {
    let bytes: &Bytes = parent.shared();
    let (end, nodes) = skip(bytes, at).ok()?;
    let slice = bytes.slice(at..end);
    // A container with children has at least two nodes; `[]` and scalars are told by a byte.
    let depth = match slice.first().and_then(|first| Kind::of(*first)) {
        Some(Kind::Array | Kind::Map) if nodes == 1 => 1,
        Some(Kind::Array | Kind::Map) => parent.shape().depth.saturating_sub(1),
        _ => 0,
    };
    Some((Value::trusted(slice, Shape { depth, nodes }), end))
}

/// The elements of an array; see [`Value::elements`].
#[derive(Debug, Clone)]
pub struct Elements(Slices);

impl Iterator for Elements {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.0.left = self.0.left.checked_sub(1)?;
        self.0.take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl ExactSizeIterator for Elements {}
impl FusedIterator for Elements {}

/// The entries of a map, key and value; see [`Value::entries`].
#[derive(Debug, Clone)]
pub struct Entries(Slices);

impl Iterator for Entries {
    type Item = (Value, Value);

    fn next(&mut self) -> Option<(Value, Value)> {
        self.0.left = self.0.left.checked_sub(1)?;
        Some((self.0.take()?, self.0.take()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl ExactSizeIterator for Entries {}
impl FusedIterator for Entries {}
