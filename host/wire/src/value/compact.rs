//! A value as it is kept where there are very many of them: small ones without memory of their own.

use bytes::Bytes;

use super::bounds::Shape;
use super::handle::Value;

/// Bytes of the largest value that is kept in place.
const IN_PLACE: usize = 28;

/// A [`Value`] that takes 32 bytes where it has no more than 28: numbers, short texts, small records. A
/// handle of it is made when it is asked for.
#[derive(Debug, Clone)]
pub struct CompactValue(Kept);

#[derive(Debug, Clone)]
enum Kept {
    Small { length: u8, depth: u8, nodes: u8, bytes: [u8; IN_PLACE] },
    Large(Box<Value>),
}

impl CompactValue {
    /// The value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.0 {
            Kept::Small { length, depth, nodes, bytes } => {
                let bytes = bytes.get(..usize::from(*length)).unwrap_or_default();
                let shape = Shape { depth: usize::from(*depth), nodes: usize::from(*nodes) };
                Value::trusted(Bytes::copy_from_slice(bytes), shape)
            }
            Kept::Large(value) => Value::clone(value),
        }
    }
}

impl From<Value> for CompactValue {
    fn from(value: Value) -> Self {
        Self(small(&value).unwrap_or_else(|| Kept::Large(Box::new(value))))
    }
}

/// The value in place, where it is small enough.
fn small(value: &Value) -> Option<Kept> {
    let mut bytes = [0; IN_PLACE];
    let length = value.len_bytes();
    bytes.get_mut(..length)?.copy_from_slice(value.as_bytes());
    let Shape { depth, nodes } = value.shape();
    Some(Kept::Small {
        length: u8::try_from(length).ok()?,
        depth: u8::try_from(depth).ok()?,
        nodes: u8::try_from(nodes).ok()?,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let text = |length: usize| {
            let mut bytes = vec![0xd9, u8::try_from(length).unwrap()];
            bytes.resize(length + 2, b'x');
            Value::from_msgpack(bytes).unwrap()
        };
        let nested = Value::from_msgpack(vec![0x92, 0x91, 0x91, 0x01, 0xc0]).unwrap();
        let values = [Value::nil(), nested, text(26), text(27), text(200)];
        for (value, is_small) in values.into_iter().zip([true, true, true, false, false]) {
            let kept = CompactValue::from(value.clone());
            assert_eq!(matches!(kept.0, Kept::Small { .. }), is_small, "{value:?}");
            let back = kept.to_value();
            assert_eq!(back, value);
            assert_eq!(back.shape(), value.shape());
        }
        assert_eq!(size_of::<CompactValue>(), 32);
    }
}
