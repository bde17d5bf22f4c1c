//! The JSON form, read into MessagePack as the parser goes, with no tree between. The table of
//! forms is in the module's documentation; writing them is in `json_write.rs`.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::bounds::Bounds;
use super::error::{JsonError, ValueError};
use super::handle::Value;
use super::json_scan;
use super::keys::preview_text;
use super::writer;

impl Value {
    /// Reads one value from JSON text, within the default [`Bounds`]. See the
    /// [module documentation](super) for the forms.
    ///
    /// # Errors
    /// If the text is not JSON, names a key twice, holds an integer beyond `i64` and `u64`,
    /// misuses a reserved name, or breaks a limit; with line and column where known.
    pub fn from_json_str(text: &str) -> Result<Self, JsonError> {
        json_scan::refuse_huge_integers(text)?;
        let mut parser = serde_json::Deserializer::from_str(text);
        // The reader counts depth itself; the parser's own limit is below what `$map` can need.
        parser.disable_recursion_limit();
        let value = Reader::read(&mut parser, &Bounds::DEFAULT)?;
        parser.end()?;
        Ok(value)
    }

    /// Reads one value from a JSON tree. Integers that serde_json could not hold are floats in
    /// the tree already; [`from_json_str`](Self::from_json_str) refuses them.
    ///
    /// # Errors
    /// If a reserved name is misused or a limit broken.
    pub fn from_json(tree: &serde_json::Value) -> Result<Self, JsonError> {
        Ok(Reader::read(tree, &Bounds::DEFAULT)?)
    }
}

/// The object keys that stand for what JSON lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserved {
    Int,
    Float,
    Bytes,
    Ext,
    Map,
}

impl Reserved {
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"$int" => Self::Int,
            b"$float" => Self::Float,
            b"$bytes" => Self::Bytes,
            b"$ext" => Self::Ext,
            b"$map" => Self::Map,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int => "$int",
            Self::Float => "$float",
            Self::Bytes => "$bytes",
            Self::Ext => "$ext",
            Self::Map => "$map",
        }
    }
}

/// What has been written of a value so far.
pub(crate) struct Reader {
    out: Vec<u8>,
    nodes: usize,
    bounds: Bounds,
}

impl Reader {
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        bounds: &Bounds,
    ) -> Result<Value, D::Error> {
        let mut reader = Self { out: Vec::new(), nodes: 0, bounds: *bounds };
        Next { reader: &mut reader, depth: 0 }.deserialize(deserializer)?;
        // Finds keys of a `$map` that are twice there, which only their bytes can tell.
        Value::check(Bytes::from(reader.out), bounds).map_err(Error::custom)
    }

    /// Counts a node, before it is written.
    fn node<E: Error>(&mut self) -> Result<(), E> {
        self.nodes += 1;
        if self.nodes > self.bounds.max_nodes {
            let limit = self.bounds.max_nodes;
            return Err(E::custom(ValueError::TooManyNodes { offset: self.out.len(), limit }));
        }
        if self.out.len() > self.bounds.max_bytes {
            let limit = self.bounds.max_bytes;
            return Err(E::custom(ValueError::TooLarge { size: self.out.len(), limit }));
        }
        Ok(())
    }

    fn put<E: Error>(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), E> {
        self.node()?;
        write(&mut self.out);
        Ok(())
    }

    /// Puts the header of a container before its children, whose number is known only now.
    fn close(&mut self, start: usize, header: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        header(&mut bytes);
        self.out.splice(start..=start, bytes);
    }
}

/// Writes the next JSON value. Recursion is bounded by the depth limit.
struct Next<'a> {
    reader: &'a mut Reader,
    /// Containers around the value.
    depth: usize,
}

impl Next<'_> {
    /// Enters a container: leaves one byte for its header and says where.
    fn open<E: Error>(&mut self) -> Result<usize, E> {
        let limit = self.reader.bounds.depth();
        self.reader.node()?;
        let offset = self.reader.out.len();
        if self.depth >= limit {
            return Err(E::custom(ValueError::TooDeep { offset, limit }));
        }
        self.depth += 1;
        self.reader.out.push(0);
        Ok(offset)
    }

    fn child(&mut self) -> Next<'_> {
        Next { reader: self.reader, depth: self.depth }
    }

    fn object<'de, A: MapAccess<'de>>(mut self, first: String, mut map: A) -> Result<(), A::Error> {
        let start = self.open()?;
        let mut names = HashSet::new();
        let mut next = Some(first);
        while let Some(name) = next {
            if Reserved::of(name.as_bytes()).is_some() {
                return Err(stands_alone(&name));
            }
            self.reader.put(|out| writer::put_str(out, name.as_bytes()))?;
            if names.contains(&name) {
                let key = preview_text(&name);
                return Err(A::Error::custom(format_args!("the object has the key {key} twice")));
            }
            names.insert(name);
            map.next_value_seed(self.child())?;
            next = map.next_key()?;
        }
        self.reader.close(start, |out| writer::put_map_header(out, names.len()));
        Ok(())
    }

    fn reserved<'de, A: MapAccess<'de>>(self, name: Reserved, map: &mut A) -> Result<(), A::Error> {
        match name {
            Reserved::Int => {
                let text: String = map.next_value()?;
                self.integer(&text)
            }
            Reserved::Float => {
                let text: String = map.next_value()?;
                let bits = float_bits(&text).ok_or_else(|| {
                    bad(
                        name,
                        &text,
                        "\"NaN\", \"Infinity\", \"-Infinity\" or a NaN's 16 hex digits after 0x",
                    )
                })?;
                self.reader.put(|out| writer::put_f64(out, bits))
            }
            Reserved::Bytes => {
                let content = base64(name, &map.next_value::<String>()?)?;
                self.reader.put(|out| writer::put_bin(out, &content))
            }
            Reserved::Ext => {
                let (kind, text): (i8, String) = map.next_value()?;
                let content = base64(name, &text)?;
                self.reader.put(|out| writer::put_ext(out, kind, &content))
            }
            Reserved::Map => map.next_value_seed(Pairs(self)),
        }
    }

    fn integer<E: Error>(self, text: &str) -> Result<(), E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) if plain => self.reader.put(|out| writer::put_uint(out, number)),
            (_, Ok(number)) if plain => self.reader.put(|out| writer::put_sint(out, number)),
            _ => Err(bad(Reserved::Int, text, "a decimal integer from -2^63 to 2^64 - 1")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.reader.put(writer::put_nil)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.reader.put(|out| writer::put_bool(out, value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.reader.put(|out| writer::put_uint(out, value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.reader.put(|out| writer::put_sint(out, value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.reader.put(|out| writer::put_f64(out, value.to_bits()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.reader.put(|out| writer::put_str(out, text.as_bytes()))
    }

    fn visit_bytes<E: Error>(self, content: &[u8]) -> Result<(), E> {
        self.reader.put(|out| writer::put_bin(out, content))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let start = self.open()?;
        let mut count = 0;
        while sequence.next_element_seed(self.child())?.is_some() {
            count += 1;
        }
        self.reader.close(start, |out| writer::put_array_header(out, count));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let Some(first) = map.next_key::<String>()? else {
            let start = self.open()?;
            self.reader.close(start, |out| writer::put_map_header(out, 0));
            return Ok(());
        };
        let Some(name) = Reserved::of(first.as_bytes()) else {
            return self.object(first, map);
        };
        self.reserved(name, &mut map)?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(stands_alone(name.name())),
        }
    }
}

/// The content of `$map`.
struct Pairs<'a>(Next<'a>);

impl<'de> DeserializeSeed<'de> for Pairs<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pairs<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of [key, value] pairs after \"$map\"")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let start = self.0.open()?;
        let mut count = 0;
        while sequence.next_element_seed(Pair(self.0.child()))?.is_some() {
            count += 1;
        }
        self.0.reader.close(start, |out| writer::put_map_header(out, count));
        Ok(())
    }
}

struct Pair<'a>(Next<'a>);

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a [key, value] pair")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        for found in 0..2 {
            if sequence.next_element_seed(self.0.child())?.is_none() {
                return Err(A::Error::invalid_length(found, &"a [key, value] pair"));
            }
        }
        match sequence.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::invalid_length(3, &"a [key, value] pair")),
        }
    }
}

fn float_bits(text: &str) -> Option<u64> {
    match text {
        "NaN" => Some(super::canonical::NAN),
        "Infinity" => Some(f64::INFINITY.to_bits()),
        "-Infinity" => Some(f64::NEG_INFINITY.to_bits()),
        _ => {
            let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 16)?;
            let bits = u64::from_str_radix(digits, 16).ok()?;
            f64::from_bits(bits).is_nan().then_some(bits)
        }
    }
}

fn base64<E: Error>(name: Reserved, text: &str) -> Result<Vec<u8>, E> {
    STANDARD.decode(text).map_err(|error| bad(name, text, &format!("padded base64 ({error})")))
}

#[cold]
fn bad<E: Error>(name: Reserved, text: &str, wanted: &str) -> E {
    let (name, text) = (name.name(), preview_text(text));
    E::custom(format_args!("`{name}` has {text}, but takes {wanted}"))
}

#[cold]
fn stands_alone<E: Error>(name: &str) -> E {
    E::custom(format_args!(
        "`{name}` is reserved and must be its object's only key; write such a map as \
         {{\"$map\":[[key,value],…]}}"
    ))
}
