//! Rust types in and out of values, for the host's own data and for embedders; and the value as
//! a field of other serialized types.

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

use super::bounds::Bounds;
use super::error::ValueError;
use super::handle::Value;
use super::json_read::Reader;
use super::json_write::Form;

impl Value {
    /// Writes a Rust value as MessagePack, structs as maps by field name.
    ///
    /// # Errors
    /// If the type cannot be serialized, or the result breaks a default limit or has a key twice.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        let mut out = Vec::new();
        let mut serializer = rmp_serde::Serializer::new(&mut out).with_struct_map();
        value.serialize(&mut serializer).map_err(|error| ValueError::Encode(error.to_string()))?;
        Self::from_msgpack(out)
    }

    /// Reads the value as a Rust type. The host does this to its own data, never to a user's.
    ///
    /// # Errors
    /// If the value does not have the type's shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        rmp_serde::from_slice(self.as_bytes())
            .map_err(|error| ValueError::Decode(error.to_string()))
    }
}

/// As a field: in binary formats the encoded value as opaque bytes, in text formats such as JSON
/// the JSON form of the [module documentation](super).
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Form::new(self.as_bytes()).serialize(serializer)
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

/// The reverse, checked against the default [`Bounds`].
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Reader::read(deserializer, &Bounds::DEFAULT)
        } else {
            let bytes = deserializer.deserialize_byte_buf(BytesVisitor)?;
            Self::from_msgpack(bytes).map_err(D::Error::custom)
        }
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an encoded MessagePack value as bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes::from(bytes))
    }
}
