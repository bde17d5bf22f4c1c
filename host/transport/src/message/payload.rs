//! A MessagePack value on its way: in the message itself, or by its digest where it is large.

use bytes::Bytes;
use sandmill_wire::Digest;
use serde::{Deserialize, Serialize};

/// The largest value that goes in a message; larger ones go by digest. Half of the payload that a
/// NATS server takes by default, so that the same messages fit there.
pub const MAX_INLINE: usize = 512 << 10;

/// A MessagePack value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// Its bytes.
    Inline(Bytes),
    /// Where to get it: by its digest.
    Blob {
        /// The SHA-256 of its bytes.
        digest: Digest,
        /// How many there are.
        size: u64,
    },
}

impl Payload {
    /// How many bytes the value has.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { size, .. } => *size,
        }
    }

    /// The value as it should travel: in the message where it is small.
    #[must_use]
    pub fn of(bytes: &Bytes) -> Self {
        if bytes.len() <= MAX_INLINE {
            Self::Inline(bytes.clone())
        } else {
            Self::Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
        }
    }
}
