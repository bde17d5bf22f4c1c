//! The value as a part of other serialized data: it stands there as what it is, a map as a map and
//! a number as a number, not as bytes. Whole values in and out of Rust types are in `typed.rs`.

use std::cell::Cell;
use std::fmt;

use rmp_serde::MSGPACK_EXT_STRUCT_NAME;
use serde::de::{EnumAccess, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bounds::Bounds;
use super::handle::Value;
use super::json_read::Reader;
use super::json_write::Form;
use super::reader::{Token, token};
use super::writer;

/// In binary formats the value itself (integers in their shortest form), in text formats such as
/// JSON the JSON form of the [module documentation](super).
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Form::new(self.as_bytes()).serialize(serializer)
        } else {
            Part { bytes: self.as_bytes(), at: Cell::new(0) }.serialize(serializer)
        }
    }
}

/// The reverse, checked against the default [`Bounds`].
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Reader::read(deserializer, &Bounds::DEFAULT)
        } else {
            let Written(bytes) = Written::deserialize(deserializer)?;
            Self::from_msgpack(bytes).map_err(D::Error::custom)
        }
    }
}

/// The next value of a walk. Serializers take `&self`, so the place is in a cell. Recursion is
/// bounded by `DEPTH_CEILING`: the value was checked.
struct Part<'a> {
    bytes: &'a [u8],
    at: Cell<usize>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (token, next) = token(self.bytes, self.at.get()).map_err(S::Error::custom)?;
        self.at.set(next);
        match token {
            Token::Nil => serializer.serialize_unit(),
            Token::Bool(value) => serializer.serialize_bool(value),
            Token::Uint(value) => serializer.serialize_u64(value),
            Token::Negative(value) => serializer.serialize_i64(value),
            Token::F32(bits) => serializer.serialize_f32(f32::from_bits(bits)),
            Token::F64(bits) => serializer.serialize_f64(f64::from_bits(bits)),
            Token::Str(text) => {
                serializer.serialize_str(std::str::from_utf8(text).map_err(S::Error::custom)?)
            }
            Token::Bin(content) => serializer.serialize_bytes(content),
            Token::Ext(kind, content) => serializer
                .serialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, &(kind, Content(content))),
            Token::Array(count) => {
                let mut sequence = serializer.serialize_seq(usize::try_from(count).ok())?;
                for _ in 0..count {
                    sequence.serialize_element(self)?;
                }
                sequence.end()
            }
            Token::Map(count) => {
                let mut map = serializer.serialize_map(usize::try_from(count).ok())?;
                for _ in 0..count {
                    map.serialize_key(self)?;
                    map.serialize_value(self)?;
                }
                map.end()
            }
        }
    }
}

struct Content<'a>(&'a [u8]);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// MessagePack of whatever a deserializer holds. Its bounds are checked when it is whole; until
/// then the deserializer's own bound the depth, and the input's size what is written.
struct Written(Vec<u8>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Writing)
    }
}

struct Writing;

impl Writing {
    fn put<E>(write: impl FnOnce(&mut Vec<u8>)) -> Result<Written, E> {
        let mut out = Vec::new();
        write(&mut out);
        Ok(Written(out))
    }
}

impl<'de> Visitor<'de> for Writing {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that MessagePack can hold")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Self::put(writer::put_nil)
    }

    fn visit_none<E>(self) -> Result<Written, E> {
        Self::put(writer::put_nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        Written::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        Self::put(|out| writer::put_bool(out, value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Self::put(|out| writer::put_uint(out, value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Self::put(|out| writer::put_sint(out, value))
    }

    fn visit_f32<E>(self, value: f32) -> Result<Written, E> {
        Self::put(|out| writer::put_f32(out, value.to_bits()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        Self::put(|out| writer::put_f64(out, value.to_bits()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Self::put(|out| writer::put_str(out, text.as_bytes()))
    }

    fn visit_bytes<E>(self, content: &[u8]) -> Result<Written, E> {
        Self::put(|out| writer::put_bin(out, content))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, ext: D) -> Result<Written, D::Error> {
        let (kind, Owned(content)) = <(i8, Owned)>::deserialize(ext)?;
        Self::put(|out| writer::put_ext(out, kind, &content))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Written, A::Error> {
        let (mut items, mut count) = (Vec::new(), 0);
        while let Some(Written(item)) = sequence.next_element()? {
            items.extend_from_slice(&item);
            count += 1;
        }
        let mut out = Vec::with_capacity(items.len() + writer::container_header_len(count));
        writer::put_array_header(&mut out, count);
        out.append(&mut items);
        Ok(Written(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let (mut entries, mut count) = (Vec::new(), 0);
        while let Some((Written(key), Written(value))) = map.next_entry()? {
            entries.extend_from_slice(&key);
            entries.extend_from_slice(&value);
            count += 1;
        }
        let mut out = Vec::with_capacity(entries.len() + writer::container_header_len(count));
        writer::put_map_header(&mut out, count);
        out.append(&mut entries);
        Ok(Written(out))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Written, A::Error> {
        Err(A::Error::custom("an enum is not a value that describes itself"))
    }
}

/// The bytes of an extension.
struct Owned(Vec<u8>);

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(OwnedVisitor)
    }
}

struct OwnedVisitor;

impl Visitor<'_> for OwnedVisitor {
    type Value = Owned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of an extension")
    }

    fn visit_bytes<E>(self, content: &[u8]) -> Result<Owned, E> {
        Ok(Owned(content.to_vec()))
    }
}
