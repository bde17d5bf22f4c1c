//! Rust types in and out of values, for the host's own data and for embedders. A value as a part
//! of other data is in `embedded.rs`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ValueError;
use super::handle::Value;

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
