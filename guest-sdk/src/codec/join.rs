//! Puts values that are MessagePack already together. Only where there is no host to do it.

use rmp::encode::{self as msgpack, ByteBuf};

/// A map of arguments.
pub(crate) fn join(arguments: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = ByteBuf::new();
    // Writing to memory does not fail.
    let _ = msgpack::write_map_len(&mut out, length(arguments.len()));
    for (name, value) in arguments {
        let _ = msgpack::write_str(&mut out, name);
        out.as_mut_vec().extend_from_slice(value);
    }
    out.into_vec()
}

/// An array of values.
pub(crate) fn join_array(values: &[Vec<u8>]) -> Vec<u8> {
    let mut out = ByteBuf::new();
    let _ = msgpack::write_array_len(&mut out, length(values.len()));
    for value in values {
        out.as_mut_vec().extend_from_slice(value);
    }
    out.into_vec()
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("a test does not make four thousand million runs")
}
