//! The only code that reads MessagePack headers: one token at a time, every length held against
//! the bytes that are left before it is used. What the tokens mean together is `check.rs`'s.

use rmp::Marker;

use super::bounds::Shape;
use super::error::ValueError;
use super::kind::Kind;

/// A scalar with its content, or the header of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool(bool),
    Uint(u64),
    /// Always below zero.
    Negative(i64),
    /// The bits.
    F32(u32),
    /// The bits.
    F64(u64),
    /// Not yet known to be UTF-8, unless the bytes were checked.
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Ext(i8, &'a [u8]),
    Array(u32),
    Map(u32),
}

impl Token<'_> {
    /// How many values follow that belong to this one: two for each entry of a map.
    pub(crate) fn children(&self) -> u64 {
        match self {
            Self::Array(count) => u64::from(*count),
            Self::Map(count) => 2 * u64::from(*count),
            _ => 0,
        }
    }
}

/// Reads the token at `at`; the second part is where the next one begins.
#[inline]
pub(crate) fn token(bytes: &[u8], at: usize) -> Result<(Token<'_>, usize), ValueError> {
    let Some(&first) = bytes.get(at) else {
        return Err(ValueError::Truncated { offset: bytes.len() });
    };
    let next = at + 1;
    Ok(match Marker::from_u8(first) {
        Marker::FixPos(number) => (Token::Uint(u64::from(number)), next),
        Marker::FixNeg(number) => (Token::Negative(i64::from(number)), next),
        Marker::Null => (Token::Nil, next),
        Marker::False => (Token::Bool(false), next),
        Marker::True => (Token::Bool(true), next),
        Marker::FixStr(len) => payload(bytes, at, next, u32::from(len), Kind::String)?,
        Marker::FixArray(count) => container(bytes, at, next, u32::from(count), Kind::Array)?,
        Marker::FixMap(count) => container(bytes, at, next, u32::from(count), Kind::Map)?,
        Marker::U8 => fixed(bytes, next, |b| Token::Uint(u64::from(u8::from_be_bytes(b))))?,
        Marker::U16 => fixed(bytes, next, |b| Token::Uint(u64::from(u16::from_be_bytes(b))))?,
        Marker::U32 => fixed(bytes, next, |b| Token::Uint(u64::from(u32::from_be_bytes(b))))?,
        Marker::U64 => fixed(bytes, next, |b| Token::Uint(u64::from_be_bytes(b)))?,
        Marker::I8 => fixed(bytes, next, |b| signed(i64::from(i8::from_be_bytes(b))))?,
        Marker::I16 => fixed(bytes, next, |b| signed(i64::from(i16::from_be_bytes(b))))?,
        Marker::I32 => fixed(bytes, next, |b| signed(i64::from(i32::from_be_bytes(b))))?,
        Marker::I64 => fixed(bytes, next, |b| signed(i64::from_be_bytes(b)))?,
        Marker::F32 => fixed(bytes, next, |b| Token::F32(u32::from_be_bytes(b)))?,
        Marker::F64 => fixed(bytes, next, |b| Token::F64(u64::from_be_bytes(b)))?,
        Marker::Str8 => length8(bytes, next, at, Kind::String, payload)?,
        Marker::Str16 => length16(bytes, next, at, Kind::String, payload)?,
        Marker::Str32 => length32(bytes, next, at, Kind::String, payload)?,
        Marker::Bin8 => length8(bytes, next, at, Kind::Binary, payload)?,
        Marker::Bin16 => length16(bytes, next, at, Kind::Binary, payload)?,
        Marker::Bin32 => length32(bytes, next, at, Kind::Binary, payload)?,
        Marker::Array16 => length16(bytes, next, at, Kind::Array, container)?,
        Marker::Array32 => length32(bytes, next, at, Kind::Array, container)?,
        Marker::Map16 => length16(bytes, next, at, Kind::Map, container)?,
        Marker::Map32 => length32(bytes, next, at, Kind::Map, container)?,
        Marker::FixExt1 => extension(bytes, at, next, 1, Kind::Extension)?,
        Marker::FixExt2 => extension(bytes, at, next, 2, Kind::Extension)?,
        Marker::FixExt4 => extension(bytes, at, next, 4, Kind::Extension)?,
        Marker::FixExt8 => extension(bytes, at, next, 8, Kind::Extension)?,
        Marker::FixExt16 => extension(bytes, at, next, 16, Kind::Extension)?,
        Marker::Ext8 => length8(bytes, next, at, Kind::Extension, extension)?,
        Marker::Ext16 => length16(bytes, next, at, Kind::Extension, extension)?,
        Marker::Ext32 => length32(bytes, next, at, Kind::Extension, extension)?,
        Marker::Reserved => return Err(ValueError::InvalidMarker { offset: at }),
    })
}

/// Walks over the value at `at`, which may lie anywhere in `bytes`: gives its end and its number
/// of nodes. Needs no stack, because it only counts what is still to come.
pub(crate) fn skip(bytes: &[u8], at: usize) -> Result<(usize, usize), ValueError> {
    let mut next = at;
    let mut nodes = 0;
    let mut pending = 1_u64;
    while pending > 0 {
        let (token, end) = token(bytes, next)?;
        nodes += 1;
        next = end;
        // Each child is at least one byte, so a sum beyond the input is a lie already.
        pending = pending - 1 + token.children();
        let left = bytes.len() - next;
        if pending > left as u64 {
            return Err(ValueError::Truncated { offset: bytes.len() });
        }
    }
    Ok((next, nodes))
}

/// The exact shape of a checked value.
pub(crate) fn measure(bytes: &[u8]) -> Result<Shape, ValueError> {
    let mut open: Vec<u64> = Vec::new();
    let mut shape = Shape { depth: 0, nodes: 0 };
    let mut next = 0;
    loop {
        let (token, end) = token(bytes, next)?;
        next = end;
        shape.nodes += 1;
        if matches!(token, Token::Array(_) | Token::Map(_)) {
            shape.depth = shape.depth.max(open.len() + 1);
        }
        if token.children() > 0 {
            open.push(token.children());
            continue;
        }
        loop {
            let Some(left) = open.last_mut() else { return Ok(shape) };
            *left -= 1;
            if *left > 0 {
                break;
            }
            open.pop();
        }
    }
}

type Step<'a> = Result<(Token<'a>, usize), ValueError>;

#[inline]
fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ValueError> {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(chunk) => Ok(*chunk),
        None => Err(ValueError::Truncated { offset: bytes.len() }),
    }
}

#[inline]
fn fixed<'a, const N: usize>(
    bytes: &'a [u8],
    at: usize,
    read: impl FnOnce([u8; N]) -> Token<'a>,
) -> Step<'a> {
    Ok((read(take(bytes, at)?), at + N))
}

fn signed<'a>(number: i64) -> Token<'a> {
    u64::try_from(number).map_or(Token::Negative(number), Token::Uint)
}

/// Reads what follows a header: bytes, marker, end of the header, declared length, kind.
type Rest<'a> = fn(&'a [u8], usize, usize, u32, Kind) -> Step<'a>;

#[inline]
fn length8<'a>(bytes: &'a [u8], at: usize, marker: usize, kind: Kind, rest: Rest<'a>) -> Step<'a> {
    rest(bytes, marker, at + 1, u32::from(u8::from_be_bytes(take(bytes, at)?)), kind)
}

#[inline]
fn length16<'a>(bytes: &'a [u8], at: usize, marker: usize, kind: Kind, rest: Rest<'a>) -> Step<'a> {
    rest(bytes, marker, at + 2, u32::from(u16::from_be_bytes(take(bytes, at)?)), kind)
}

#[inline]
fn length32<'a>(bytes: &'a [u8], at: usize, marker: usize, kind: Kind, rest: Rest<'a>) -> Step<'a> {
    rest(bytes, marker, at + 4, u32::from_be_bytes(take(bytes, at)?), kind)
}

#[inline]
fn payload(bytes: &[u8], marker: usize, at: usize, len: u32, kind: Kind) -> Step<'_> {
    let content = bytes.get(at..).unwrap_or_default();
    match usize::try_from(len).ok().and_then(|len| content.get(..len)) {
        Some(content) if kind == Kind::String => Ok((Token::Str(content), at + content.len())),
        Some(content) => Ok((Token::Bin(content), at + content.len())),
        None => Err(beyond(marker, kind, len, content.len())),
    }
}

#[inline]
fn extension(bytes: &[u8], marker: usize, at: usize, len: u32, kind: Kind) -> Step<'_> {
    let kind_number = i8::from_be_bytes(take(bytes, at)?);
    let content = bytes.get(at + 1..).unwrap_or_default();
    match usize::try_from(len).ok().and_then(|len| content.get(..len)) {
        Some(content) => Ok((Token::Ext(kind_number, content), at + 1 + content.len())),
        None => Err(beyond(marker, kind, len, content.len())),
    }
}

#[inline]
fn container(bytes: &[u8], marker: usize, at: usize, count: u32, kind: Kind) -> Step<'_> {
    let token = if kind == Kind::Map { Token::Map(count) } else { Token::Array(count) };
    // Every child takes at least one byte.
    let left = bytes.len().saturating_sub(at);
    if token.children() > left as u64 {
        return Err(beyond(marker, kind, count, left));
    }
    Ok((token, at))
}

#[cold]
fn beyond(offset: usize, kind: Kind, declared: u32, left: usize) -> ValueError {
    ValueError::LengthBeyondInput { offset, kind, declared, left }
}
