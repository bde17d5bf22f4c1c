//! Map keys by what they mean, and the rule that no map has a key twice.

use smallvec::SmallVec;

use super::canonical;
use super::check::check_key;
use super::error::ValueError;
use super::reader::{Token, token};

/// Maps up to this size have their keys compared pair by pair; larger ones have them sorted.
const PAIRWISE: usize = 8;
/// Characters of a key that an error text shows.
const KEY_PREVIEW: usize = 40;

/// The keys of a map, or of several that are open; inline while they are few.
pub(crate) type Keys<'a> = SmallVec<[MapKey<'a>; 8]>;

/// A map key by what it means, so that two encodings of one key are equal.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MapKey<'a> {
    Str(&'a [u8]),
    Nil,
    Bool(bool),
    Uint(u64),
    Negative(i64),
    /// Bits as a float 64, all NaNs alike.
    Float(u64),
    Bin(&'a [u8]),
    Ext(i8, &'a [u8]),
    /// Canonical bytes.
    Container(Box<[u8]>),
}

impl<'a> MapKey<'a> {
    /// `encoded` are the bytes of the whole key, needed only for containers.
    pub(crate) fn new(token: Token<'a>, encoded: &[u8]) -> Self {
        match token {
            Token::Str(text) => Self::Str(text),
            Token::Nil => Self::Nil,
            Token::Bool(value) => Self::Bool(value),
            Token::Uint(value) => Self::Uint(value),
            Token::Negative(value) => Self::Negative(value),
            Token::F32(bits) => Self::float(canonical::widen(bits)),
            Token::F64(bits) => Self::float(bits),
            Token::Bin(content) => Self::Bin(content),
            Token::Ext(kind, content) => Self::Ext(kind, content),
            Token::Array(_) | Token::Map(_) => Self::container(encoded),
        }
    }

    /// A string key.
    pub(crate) fn name(name: &'a str) -> Self {
        Self::Str(name.as_bytes())
    }

    /// The key that one checked value is.
    pub(crate) fn read(encoded: &'a [u8]) -> Result<Self, ValueError> {
        let (token, _) = token(encoded, 0)?;
        if token.children() > 0 {
            check_key(encoded)?;
        }
        Ok(Self::new(token, encoded))
    }

    fn float(bits: u64) -> Self {
        Self::Float(if f64::from_bits(bits).is_nan() { canonical::NAN } else { bits })
    }

    pub(crate) fn container(encoded: &[u8]) -> Self {
        Self::Container(canonical::canonical_bytes(encoded).into_boxed_slice())
    }
}

/// Never quadratic: already sorted keys cost one pass, few keys are compared pair by pair, and
/// many are sorted in place, which a hostile map cannot make slow as it could a hash table.
pub(crate) fn refuse_duplicates(keys: &mut [MapKey<'_>], offset: usize) -> Result<(), ValueError> {
    if keys.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    let twice = if keys.len() <= PAIRWISE {
        keys.iter().enumerate().find(|(n, key)| keys.iter().skip(n + 1).any(|other| other == *key))
    } else {
        keys.sort_unstable();
        keys.iter().enumerate().find(|(n, key)| keys.get(n + 1) == Some(*key))
    };
    match twice {
        Some((_, key)) => Err(ValueError::DuplicateKey { offset, key: preview(key) }),
        None => Ok(()),
    }
}

fn preview(key: &MapKey<'_>) -> String {
    match key {
        MapKey::Str(text) => preview_text(&String::from_utf8_lossy(text)),
        MapKey::Nil => "nil".to_owned(),
        MapKey::Bool(value) => value.to_string(),
        MapKey::Uint(value) => value.to_string(),
        MapKey::Negative(value) => value.to_string(),
        MapKey::Float(bits) => format!("{:?}", f64::from_bits(*bits)),
        MapKey::Bin(content) => format!("(binary of {} bytes)", content.len()),
        MapKey::Ext(kind, content) => format!("(extension {kind} of {} bytes)", content.len()),
        MapKey::Container(_) => "(an array or map)".to_owned(),
    }
}

/// A name in quotes, cut to what an error text can bear.
pub(crate) fn preview_text(text: &str) -> String {
    let short: String = text.chars().take(KEY_PREVIEW).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{:?}{more}", short)
}
