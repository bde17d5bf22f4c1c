//! From values to MessagePack.
//!
//! rmp-serde reads arguments but does not write results, because what it writes does not follow
//! the type: an array or a tuple of `u8` becomes `bin` or an array depending on its values, a unit
//! struct becomes `[]`, a `u128` sixteen bytes. The schema that the host checks flows against says
//! array, null and integer, so this serializer, over `rmp`, writes those.

use std::fmt;

use rmp::encode::{self as msgpack, ByteBuf};
use serde::ser::{self, Serialize};

/// Why a value has no MessagePack form.
#[derive(Debug)]
pub(crate) struct EncodeFault(String);

impl fmt::Display for EncodeFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for EncodeFault {}

impl ser::Error for EncodeFault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Writes one value: structs as maps by field name, enums tagged as serde_json does it, types that
/// have a text form of their own (UUIDs, addresses, times) in that form.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeFault> {
    let mut encoder = Encoder { out: ByteBuf::new() };
    value.serialize(&mut encoder)?;
    Ok(encoder.out.into_vec())
}

/// An array whose elements come one by one, and are not counted before.
pub(crate) struct ArrayEncoder {
    encoder: Encoder,
    count: u32,
}

impl ArrayEncoder {
    /// The marker of an array with a length of four bytes, which are filled in at the end.
    const HEAD: [u8; 5] = [0xdd, 0, 0, 0, 0];

    /// An empty array.
    pub(crate) fn new() -> Self {
        Self { encoder: Encoder { out: ByteBuf::from_vec(Self::HEAD.to_vec()) }, count: 0 }
    }

    /// Adds an element.
    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), EncodeFault> {
        let count = self.count.checked_add(1);
        self.count = count.ok_or_else(|| EncodeFault("an array has too many elements".into()))?;
        element.serialize(&mut self.encoder)
    }

    /// The array's bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = self.encoder.out.into_vec();
        bytes[1..Self::HEAD.len()].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }
}

struct Encoder {
    out: ByteBuf,
}

impl Encoder {
    fn array_len(&mut self, length: usize) -> Result<(), EncodeFault> {
        sure(msgpack::write_array_len(&mut self.out, fits(length)?));
        Ok(())
    }

    fn map_len(&mut self, length: usize) -> Result<(), EncodeFault> {
        sure(msgpack::write_map_len(&mut self.out, fits(length)?));
        Ok(())
    }

    /// The map of one entry that is an enum's variant with data.
    fn variant(&mut self, variant: &str) -> Result<(), EncodeFault> {
        self.map_len(1)?;
        ser::Serializer::serialize_str(self, variant)
    }

    fn sequence(&mut self, length: Option<usize>) -> Result<Compound<'_>, EncodeFault> {
        match length {
            Some(length) => {
                self.array_len(length)?;
                Ok(Compound { encoder: self, unsized_from: None, count: 0 })
            }
            None => Ok(Compound::unsized_from_here(self)),
        }
    }
}

/// Writing to memory cannot fail; rmp's signatures allow for writers that do.
fn sure<T, E: fmt::Debug>(written: Result<T, E>) -> T {
    written.expect("writing to memory does not fail")
}

fn fits(length: usize) -> Result<u32, EncodeFault> {
    u32::try_from(length)
        .map_err(|_| EncodeFault(format!("a length of {length} is more than MessagePack can say")))
}

fn too_big(number: impl fmt::Display) -> EncodeFault {
    EncodeFault(format!(
        "the integer {number} does not fit MessagePack's 64 bits: return it as a string"
    ))
}

/// An array or a map under way. One whose length serde does not tell (a flattened struct, an
/// iterator) is closed by putting its length before what was written since.
struct Compound<'a> {
    encoder: &'a mut Encoder,
    unsized_from: Option<usize>,
    count: usize,
}

impl<'a> Compound<'a> {
    fn unsized_from_here(encoder: &'a mut Encoder) -> Self {
        let start = encoder.out.as_slice().len();
        Self { encoder, unsized_from: Some(start), count: 0 }
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeFault> {
        self.count += 1;
        value.serialize(&mut *self.encoder)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), EncodeFault> {
        self.write(key)?;
        value.serialize(&mut *self.encoder)
    }

    fn close(
        self,
        write_length: impl FnOnce(&mut Encoder, usize) -> Result<(), EncodeFault>,
    ) -> Result<(), EncodeFault> {
        let Some(start) = self.unsized_from else { return Ok(()) };
        let body = self.encoder.out.as_mut_vec().split_off(start);
        write_length(self.encoder, self.count)?;
        self.encoder.out.as_mut_vec().extend_from_slice(&body);
        Ok(())
    }
}

macro_rules! as_wider {
    ($($method:ident($type:ty) => $wider:ident),*) => {$(
        fn $method(self, value: $type) -> Result<(), EncodeFault> {
            self.$wider(value.into())
        }
    )*};
}

impl<'a> ser::Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = EncodeFault;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    as_wider! {
        serialize_u8(u8) => serialize_u64,
        serialize_u16(u16) => serialize_u64,
        serialize_u32(u32) => serialize_u64,
        serialize_i8(i8) => serialize_i64,
        serialize_i16(i16) => serialize_i64,
        serialize_i32(i32) => serialize_i64
    }

    fn serialize_u64(self, value: u64) -> Result<(), EncodeFault> {
        sure(msgpack::write_uint(&mut self.out, value));
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<(), EncodeFault> {
        sure(msgpack::write_sint(&mut self.out, value));
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeFault> {
        self.serialize_u64(u64::try_from(value).map_err(|_| too_big(value))?)
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeFault> {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => self.serialize_u64(value),
            (_, Ok(value)) => self.serialize_i64(value),
            _ => Err(too_big(value)),
        }
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeFault> {
        sure(msgpack::write_bool(&mut self.out, value));
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeFault> {
        sure(msgpack::write_f32(&mut self.out, value));
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), EncodeFault> {
        sure(msgpack::write_f64(&mut self.out, value));
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeFault> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), EncodeFault> {
        fits(value.len())?;
        sure(msgpack::write_str(&mut self.out, value));
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeFault> {
        fits(value.len())?;
        sure(msgpack::write_bin(&mut self.out, value));
        Ok(())
    }

    fn serialize_none(self) -> Result<(), EncodeFault> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeFault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeFault> {
        sure(msgpack::write_nil(&mut self.out));
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeFault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeFault> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeFault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeFault> {
        self.variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'a>, EncodeFault> {
        self.sequence(length)
    }

    fn serialize_tuple(self, length: usize) -> Result<Compound<'a>, EncodeFault> {
        self.sequence(Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, EncodeFault> {
        self.sequence(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, EncodeFault> {
        self.variant(variant)?;
        self.sequence(Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'a>, EncodeFault> {
        match length {
            Some(length) => self.serialize_struct("", length),
            None => Ok(Compound::unsized_from_here(self)),
        }
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Compound<'a>, EncodeFault> {
        self.map_len(length)?;
        Ok(Compound { encoder: self, unsized_from: None, count: 0 })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, EncodeFault> {
        self.variant(variant)?;
        self.serialize_struct(name, length)
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeFault;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeFault> {
                self.write(value)
            }

            fn end(self) -> Result<(), EncodeFault> {
                self.close(Encoder::array_len)
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = EncodeFault;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), EncodeFault> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), EncodeFault> {
                self.close(Encoder::map_len)
            }
        }
    )*};
}

fields! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = EncodeFault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeFault> {
        self.write(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeFault> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), EncodeFault> {
        self.close(Encoder::map_len)
    }
}
