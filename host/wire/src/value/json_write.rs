//! The JSON form, written straight from the bytes. The table of forms is in the module's
//! documentation; reading them back is in `json_read.rs`.

use std::cell::Cell;
use std::io;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::canonical;
use super::handle::Value;
use super::json_read::Reserved;
use super::reader::{Token, skip, token};

/// The largest integer that every JSON reader keeps: 2^53 - 1.
const MAX_PLAIN: u64 = (1 << 53) - 1;
/// Bytes of JSON that `Debug` shows.
const PREVIEW: usize = 160;

impl Value {
    /// The value's JSON form on one line. See the [module documentation](super) for the forms.
    pub fn to_json_string(&self) -> String {
        let mut out = Vec::with_capacity(self.len_bytes());
        self.write_json(&mut out).expect("checked values have a JSON form");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    /// The value's JSON form on many lines, indented by two spaces.
    pub fn to_json_string_pretty(&self) -> String {
        serde_json::to_string_pretty(&Form::new(self.as_bytes()))
            .expect("checked values have a JSON form")
    }

    /// Writes the value's JSON form on one line. Many small writes: buffer a file or a socket.
    ///
    /// # Errors
    /// Only the writer's own.
    pub fn write_json(&self, writer: impl io::Write) -> io::Result<()> {
        serde_json::to_writer(writer, &Form::new(self.as_bytes())).map_err(io::Error::from)
    }
}

/// The start of the JSON form, cut after some 160 bytes.
pub(crate) fn preview(bytes: &[u8]) -> String {
    let mut cut = Cut(Vec::with_capacity(PREVIEW));
    let whole = serde_json::to_writer(&mut cut, &Form::new(bytes)).is_ok();
    let text = String::from_utf8_lossy(&cut.0);
    if whole { text.into_owned() } else { format!("{}…", text.trim_end_matches('\u{fffd}')) }
}

/// Takes so many bytes and then fails, which ends the walk.
struct Cut(Vec<u8>);

impl io::Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PREVIEW - self.0.len();
        if room == 0 {
            return Err(io::Error::other("the preview is full"));
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Serializes the next value of the walk. Serializers take `&self`, so the place is in a cell.
/// Recursion is bounded by `DEPTH_CEILING`: the value was checked.
pub(crate) struct Form<'a> {
    bytes: &'a [u8],
    at: Cell<usize>,
}

impl<'a> Form<'a> {
    /// `bytes` must be one checked value.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: Cell::new(0) }
    }

    /// Whether the entries from here on fit a JSON object: string keys, none of them reserved.
    fn is_plain(&self, count: u32) -> bool {
        let mut at = self.at.get();
        for _ in 0..count {
            match token(self.bytes, at) {
                Ok((Token::Str(name), next)) if Reserved::of(name).is_none() => {
                    let Ok((end, _)) = skip(self.bytes, next) else { return false };
                    at = end;
                }
                _ => return false,
            }
        }
        true
    }
}

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (token, next) = token(self.bytes, self.at.get()).map_err(S::Error::custom)?;
        self.at.set(next);
        match token {
            Token::Nil => serializer.serialize_unit(),
            Token::Bool(value) => serializer.serialize_bool(value),
            Token::Uint(value) if value <= MAX_PLAIN => serializer.serialize_u64(value),
            Token::Negative(value) if value.unsigned_abs() <= MAX_PLAIN => {
                serializer.serialize_i64(value)
            }
            Token::Uint(value) => tagged(serializer, Reserved::Int, &value.to_string()),
            Token::Negative(value) => tagged(serializer, Reserved::Int, &value.to_string()),
            Token::F32(bits) => float(serializer, canonical::widen(bits)),
            Token::F64(bits) => float(serializer, bits),
            Token::Str(text) => {
                serializer.serialize_str(std::str::from_utf8(text).map_err(S::Error::custom)?)
            }
            Token::Bin(content) => tagged(serializer, Reserved::Bytes, &Base64(content)),
            Token::Ext(kind, content) => {
                tagged(serializer, Reserved::Ext, &(kind, Base64(content)))
            }
            Token::Array(count) => sequence(serializer, count, self),
            Token::Map(count) if self.is_plain(count) => {
                let mut map = serializer.serialize_map(usize::try_from(count).ok())?;
                for _ in 0..count {
                    map.serialize_key(self)?;
                    map.serialize_value(self)?;
                }
                map.end()
            }
            Token::Map(count) => tagged(serializer, Reserved::Map, &Pairs { form: self, count }),
        }
    }
}

fn sequence<S: Serializer, T: Serialize>(
    serializer: S,
    count: u32,
    each: &T,
) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(usize::try_from(count).ok())?;
    for _ in 0..count {
        sequence.serialize_element(each)?;
    }
    sequence.end()
}

/// An object of one reserved name.
fn tagged<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    name: Reserved,
    content: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name.name(), content)?;
    map.end()
}

/// serde_json writes a finite float with a fraction or an exponent always.
fn float<S: Serializer>(serializer: S, bits: u64) -> Result<S::Ok, S::Error> {
    let value = f64::from_bits(bits);
    if value.is_finite() {
        return serializer.serialize_f64(value);
    }
    let text = match bits {
        canonical::NAN => "NaN".to_owned(),
        _ if value.is_nan() => format!("{bits:#018x}"),
        _ if value > 0.0 => "Infinity".to_owned(),
        _ => "-Infinity".to_owned(),
    };
    tagged(serializer, Reserved::Float, &text)
}

/// The entries of a map as `[key, value]` pairs.
struct Pairs<'a, 'b> {
    form: &'a Form<'b>,
    count: u32,
}

impl Serialize for Pairs<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        sequence(serializer, self.count, &(self.form, self.form))
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}
