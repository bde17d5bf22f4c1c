//! Writes MessagePack scalars and headers in their shortest form, and knows their sizes.

use rmp::Marker;
use rmp::encode;

/// Bytes of the header of a string of `len` bytes.
pub(crate) fn str_header_len(len: usize) -> usize {
    match len {
        0..=31 => 1,
        32..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

/// Bytes of the header of an array or a map.
pub(crate) fn container_header_len(count: usize) -> usize {
    match count {
        0..=15 => 1,
        16..=0xffff => 3,
        _ => 5,
    }
}

/// A length as MessagePack can write it. Lengths here are bounded by `max_bytes` or were read
/// from a MessagePack header, so a longer one is cut only where a bounds check refuses it anyway.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

pub(crate) fn put_nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { Marker::True.to_u8() } else { Marker::False.to_u8() });
}

pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64) {
    encode::write_uint(out, value).expect(VEC);
}

/// Also for integers above zero.
pub(crate) fn put_sint(out: &mut Vec<u8>, value: i64) {
    encode::write_sint(out, value).expect(VEC);
}

pub(crate) fn put_f64(out: &mut Vec<u8>, bits: u64) {
    out.push(Marker::F64.to_u8());
    out.extend_from_slice(&bits.to_be_bytes());
}

pub(crate) fn put_f32(out: &mut Vec<u8>, bits: u32) {
    out.push(Marker::F32.to_u8());
    out.extend_from_slice(&bits.to_be_bytes());
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &[u8]) {
    encode::write_str_len(out, length(text.len())).expect(VEC);
    out.extend_from_slice(text);
}

pub(crate) fn put_bin(out: &mut Vec<u8>, content: &[u8]) {
    encode::write_bin_len(out, length(content.len())).expect(VEC);
    out.extend_from_slice(content);
}

pub(crate) fn put_ext(out: &mut Vec<u8>, kind: i8, content: &[u8]) {
    encode::write_ext_meta(out, length(content.len()), kind).expect(VEC);
    out.extend_from_slice(content);
}

pub(crate) fn put_array_header(out: &mut Vec<u8>, count: usize) {
    encode::write_array_len(out, length(count)).expect(VEC);
}

pub(crate) fn put_map_header(out: &mut Vec<u8>, count: usize) {
    encode::write_map_len(out, length(count)).expect(VEC);
}

const VEC: &str = "writing to a Vec cannot fail";
