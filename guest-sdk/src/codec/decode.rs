//! From MessagePack to values, through rmp-serde, and faults in words an author's caller knows.

use std::fmt;

use rmp::Marker;
use serde::de::DeserializeOwned;

/// Why bytes are no value of the type that was asked for.
#[derive(Debug)]
pub(crate) struct DecodeFault(rmp_serde::decode::Error);

impl fmt::Display for DecodeFault {
    /// rmp-serde speaks of markers and I/O; its callers sent a string where a number was due.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use rmp_serde::decode::Error;

        match &self.0 {
            Error::TypeMismatch(marker) => write!(formatter, "got {}", describe_marker(*marker)),
            Error::OutOfRange => formatter.write_str("the number is out of range"),
            Error::LengthMismatch(length) => {
                write!(formatter, "an array or a map of {length} does not fit")
            }
            Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => {
                formatter.write_str("the MessagePack data ends early")
            }
            Error::Utf8Error(_) => formatter.write_str("a string is not UTF-8"),
            Error::DepthLimitExceeded => formatter.write_str("the value is nested too deeply"),
            Error::Uncategorized(message) | Error::Syntax(message) => formatter.write_str(message),
        }
    }
}

/// Reads one value. Types that have a text form of their own (UUIDs, addresses, times) are read
/// from it, as their JSON Schema says.
///
/// `bytes` must hold one value and nothing after it: slices come from [`skip_value`].
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeFault> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
    T::deserialize(&mut deserializer).map_err(DecodeFault)
}

/// Moves `bytes` past its first value without building it, and returns that value's bytes; `None`
/// if they end early or hold the one marker MessagePack never uses.
pub(crate) fn skip_value<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let whole = *bytes;
    // A count instead of recursion: depth then costs no stack. Each step takes at least a byte, so
    // a length that lies ends with the data.
    let mut left = 1_u64;
    while left > 0 {
        left -= 1;
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        let payload = match Marker::from_u8(first) {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::False | Marker::True => {
                0
            }
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 => 2,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::FixStr(length) => length.into(),
            Marker::Str8 | Marker::Bin8 => length::<1>(bytes)?,
            Marker::Str16 | Marker::Bin16 => length::<2>(bytes)?,
            Marker::Str32 | Marker::Bin32 => length::<4>(bytes)?,
            // The type of an extension is one more byte.
            Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::FixExt4 => 5,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
            Marker::Ext8 => length::<1>(bytes)? + 1,
            Marker::Ext16 => length::<2>(bytes)? + 1,
            Marker::Ext32 => length::<4>(bytes)? + 1,
            container => {
                left = left.checked_add(match container {
                    Marker::FixArray(count) => count.into(),
                    Marker::Array16 => length::<2>(bytes)?,
                    Marker::Array32 => length::<4>(bytes)?,
                    Marker::FixMap(count) => 2 * u64::from(count),
                    Marker::Map16 => 2 * length::<2>(bytes)?,
                    Marker::Map32 => 2 * length::<4>(bytes)?,
                    _ => return None,
                })?;
                0
            }
        };
        *bytes = bytes.get(usize::try_from(payload).ok()?..)?;
    }
    whole.get(..whole.len() - bytes.len())
}

/// The elements of an array, each as its bytes; `None` if this is no array.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn split_array(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let length = rmp::decode::read_array_len(&mut bytes).ok()?;
    (0..length).map(|_| skip_value(&mut bytes)).collect()
}

/// Takes a big-endian length of `N` bytes, at most 8.
fn length<const N: usize>(bytes: &mut &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(length.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)))
}

/// What the first value in `bytes` is, for a message.
pub(crate) fn describe_value(bytes: &[u8]) -> &'static str {
    bytes.first().map_or("nothing", |&first| describe_marker(Marker::from_u8(first)))
}

fn describe_marker(marker: Marker) -> &'static str {
    match marker {
        Marker::Null => "nil",
        Marker::True | Marker::False => "a boolean",
        Marker::FixPos(_) | Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => "an integer",
        Marker::FixNeg(_) | Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => "an integer",
        Marker::F32 | Marker::F64 => "a float",
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "a string",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "bytes",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "an array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "a map",
        Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 => "an extension",
        Marker::FixExt16 | Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => "an extension",
        Marker::Reserved => "a byte that MessagePack does not use",
    }
}
