//! The nine kinds of MessagePack value, read off the first byte.

use std::fmt;

use rmp::Marker;

/// What a value is, as far as its first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool,
    /// An integer of any width, signed or not.
    Integer,
    /// A float of 32 or 64 bits.
    Float,
    /// A UTF-8 string.
    String,
    /// Bytes.
    Binary,
    /// An array.
    Array,
    /// A map.
    Map,
    /// Bytes with an application's type number; timestamps are extensions of type -1.
    Extension,
}

impl Kind {
    /// The kind of the value that begins with `byte`, or `None` for the one byte that begins none.
    pub(crate) fn of(byte: u8) -> Option<Self> {
        Some(match Marker::from_u8(byte) {
            Marker::Reserved => return None,
            Marker::Null => Self::Nil,
            Marker::True | Marker::False => Self::Bool,
            Marker::FixPos(_)
            | Marker::FixNeg(_)
            | Marker::U8
            | Marker::U16
            | Marker::U32
            | Marker::U64
            | Marker::I8
            | Marker::I16
            | Marker::I32
            | Marker::I64 => Self::Integer,
            Marker::F32 | Marker::F64 => Self::Float,
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => Self::String,
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => Self::Binary,
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => Self::Array,
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => Self::Map,
            Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
            | Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16 => Self::Extension,
        })
    }
}

/// Lower case, for error texts: `array`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nil => "nil",
            Self::Bool => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Array => "array",
            Self::Map => "map",
            Self::Extension => "extension",
        })
    }
}
