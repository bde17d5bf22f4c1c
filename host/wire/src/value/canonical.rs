//! The canonical form: one encoding for each meaning. The rules are in the module's
//! documentation; that a value is well formed was checked before.

use super::error::ValueError;
use super::reader::{Token, token};
use super::writer;

/// The bits of the NaN that stands for all of them, as a float 64.
pub(crate) const NAN: u64 = 0x7ff8_0000_0000_0000;
/// The same as a float 32.
const NAN_32: u32 = 0x7fc0_0000;

/// The canonical form of one checked value.
pub(crate) fn canonical_bytes(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut pass = Pass { bytes: encoded, at: 0, out: &mut out };
    pass.value().expect("the bytes were checked");
    out
}

/// A float 32's number as a float 64, by bits, so that a NaN keeps its payload and its
/// signalling bit, which a conversion by the processor may not.
pub(crate) fn widen(bits: u32) -> u64 {
    let value = f32::from_bits(bits);
    if !value.is_nan() {
        return f64::from(value).to_bits();
    }
    let sign = u64::from(bits >> 31) << 63;
    let payload = u64::from(bits & 0x007f_ffff) << 29;
    sign | 0x7ff0_0000_0000_0000 | payload
}

struct Pass<'a> {
    bytes: &'a [u8],
    at: usize,
    out: &'a mut Vec<u8>,
}

impl Pass<'_> {
    /// Recursion is bounded by `DEPTH_CEILING`: the value was checked.
    fn value(&mut self) -> Result<(), ValueError> {
        let (token, next) = token(self.bytes, self.at)?;
        self.at = next;
        match token {
            Token::Nil => writer::put_nil(self.out),
            Token::Bool(value) => writer::put_bool(self.out, value),
            Token::Uint(value) => writer::put_uint(self.out, value),
            Token::Negative(value) => writer::put_sint(self.out, value),
            Token::F32(bits) => self.float(widen(bits)),
            Token::F64(bits) => self.float(bits),
            Token::Str(text) => writer::put_str(self.out, text),
            Token::Bin(content) => writer::put_bin(self.out, content),
            Token::Ext(kind, content) => writer::put_ext(self.out, kind, content),
            Token::Array(count) => {
                writer::put_array_header(self.out, count as usize);
                for _ in 0..count {
                    self.value()?;
                }
            }
            Token::Map(count) => self.map(count)?,
        }
        Ok(())
    }

    fn float(&mut self, bits: u64) {
        let value = f64::from_bits(bits);
        #[expect(clippy::cast_possible_truncation, reason = "the result is compared")]
        let narrow = value as f32;
        if value.is_nan() {
            writer::put_f32(self.out, NAN_32);
        } else if f64::from(narrow).to_bits() == bits {
            writer::put_f32(self.out, narrow.to_bits());
        } else {
            writer::put_f64(self.out, bits);
        }
    }

    fn map(&mut self, count: u32) -> Result<(), ValueError> {
        writer::put_map_header(self.out, count as usize);
        let body = self.out.len();
        // Where each entry's key and value end, counted from `body`.
        let mut entries = Vec::with_capacity(count as usize);
        let mut start = 0;
        for _ in 0..count {
            self.value()?;
            let key_end = self.out.len() - body;
            self.value()?;
            let end = self.out.len() - body;
            entries.push(Entry { start, key_end, end });
            start = end;
        }
        let written = self.out.get(body..).unwrap_or_default();
        if entries.is_sorted_by(|a, b| a.key(written) <= b.key(written)) {
            return Ok(());
        }
        let unsorted = self.out.split_off(body);
        entries.sort_unstable_by(|a, b| a.key(&unsorted).cmp(b.key(&unsorted)));
        for entry in &entries {
            self.out.extend_from_slice(unsorted.get(entry.start..entry.end).unwrap_or_default());
        }
        Ok(())
    }
}

struct Entry {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Entry {
    fn key<'a>(&self, written: &'a [u8]) -> &'a [u8] {
        written.get(self.start..self.key_end).unwrap_or_default()
    }
}
