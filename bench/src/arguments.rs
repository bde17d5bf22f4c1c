//! The argument maps of the guest's tasks.

use anyhow::Result;
use sandmill::Value;
use serde::{Serialize, Serializer};

/// Some number, where it does not matter which.
const NUMBER: u64 = 7;

/// Of `nothing`.
pub(crate) fn nothing() -> Result<Value> {
    Ok(sandmill::args! { "number" => NUMBER }?)
}

/// Of `spin`.
pub(crate) fn spin(rounds: u64) -> Result<Value> {
    Ok(sandmill::args! { "number" => NUMBER, "rounds" => rounds }?)
}

/// Of `echo`, with so many bytes.
pub(crate) fn echo(bytes: u64) -> Result<Value> {
    let binary = Binary(vec![7; usize::try_from(bytes)?]);
    Ok(sandmill::args! { "bytes" => binary }?)
}

/// Bytes as MessagePack has them, which are no list of numbers.
struct Binary(Vec<u8>);

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_as_bytes() {
        let map = echo(1 << 10).unwrap();
        assert!(map.len_bytes() < (1 << 10) + 20, "{}", map.len_bytes());
    }
}
