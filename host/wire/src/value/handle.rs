//! [`Value`] itself: checked bytes behind a cheap handle.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

use super::bounds::{Bounds, Shape};
use super::canonical;
use super::check::check;
use super::error::ValueError;
use super::json_write;
use super::kind::Kind;
use super::reader;

/// One MessagePack value, checked once and carried as bytes.
///
/// Cloning and slicing count references and copy nothing. Equality and hashing are of the bytes;
/// to compare by meaning, compare [`canonical`](Self::canonical) forms. `Debug` prints a short
/// piece of the JSON form, however large the value is.
#[derive(Clone)]
pub struct Value {
    /// Never empty: exactly one checked value.
    bytes: Bytes,
    /// Kept so that splicing can enforce the bounds without walking the parts again.
    shape: Shape,
}

impl Value {
    /// Checks `bytes` against the default [`Bounds`] and keeps them.
    ///
    /// # Errors
    /// If they are not exactly one value in MessagePack, break a limit, hold a string that is
    /// not UTF-8, or a map with a key twice.
    pub fn from_msgpack(bytes: impl Into<Bytes>) -> Result<Self, ValueError> {
        Self::check(bytes, &Bounds::DEFAULT)
    }

    /// Like [`from_msgpack`](Self::from_msgpack), against the given limits.
    ///
    /// # Errors
    /// The same.
    pub fn check(bytes: impl Into<Bytes>, bounds: &Bounds) -> Result<Self, ValueError> {
        let bytes = bytes.into();
        let shape = check(&bytes, bounds)?;
        Ok(Self { bytes, shape })
    }

    /// For bytes that are one value by construction or by an earlier check.
    pub(crate) fn trusted(bytes: Bytes, shape: Shape) -> Self {
        Self { bytes, shape }
    }

    /// The value nil.
    pub const fn nil() -> Self {
        Self { bytes: Bytes::from_static(&[0xc0]), shape: Shape::SCALAR }
    }

    /// The encoded value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded value, still shared with the handle's clones.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    pub(crate) fn shared(&self) -> &Bytes {
        &self.bytes
    }

    /// Encoded size in bytes.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What the value is.
    pub fn kind(&self) -> Kind {
        self.bytes.first().and_then(|first| Kind::of(*first)).unwrap_or(Kind::Nil)
    }

    /// The value's own encoding of least length and fixed order: equal for values that mean the
    /// same. See the [module documentation](super) for the rules.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self { bytes: Bytes::from(canonical::canonical_bytes(&self.bytes)), shape: self.shape }
    }

    /// Depth, perhaps too high, and number of nodes.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Depth and number of nodes, by another walk.
    pub(crate) fn exact_shape(&self) -> Shape {
        reader::measure(&self.bytes).unwrap_or(self.shape)
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::nil()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", json_write::preview(&self.bytes))
    }
}
