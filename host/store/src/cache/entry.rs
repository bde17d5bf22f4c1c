//! A result in the cache: what is put into it, and what is known of one that is there. How rows
//! are written and found is in `table`.

use std::sync::Arc;

use sandmill_core::Timestamp;
use sandmill_wire::{Digest, RunId, Value};

use super::key::{CacheKey, KeyDigest};

/// Bytes of canonical arguments that are kept with a result, so that people can be shown which
/// argument differs: 4 KiB. Of larger ones only the digest is kept.
pub const MAX_KEPT_ARGUMENTS: usize = 4 << 10;

/// A result to be kept.
#[derive(Debug, Clone)]
pub struct NewCached {
    /// What names it.
    pub key: CacheKey,
    /// The run that made it.
    pub run: RunId,
    /// The flow run that this one is part of.
    pub flow: Option<RunId>,
    /// The result.
    pub value: Value,
    /// When it was made.
    pub created: Timestamp,
    /// From when on nobody may have it any more; never by default.
    pub expires: Option<Timestamp>,
}

impl NewCached {
    /// The canonical arguments, where they are small enough to be kept.
    pub(super) fn kept_arguments(&self) -> Option<&[u8]> {
        let bytes = self.key.arguments().as_bytes();
        (bytes.len() <= MAX_KEPT_ARGUMENTS).then_some(bytes)
    }

    /// What it counts against the bound on bytes.
    pub(super) fn bytes(&self) -> u64 {
        let arguments = self.kept_arguments().map_or(0, <[u8]>::len);
        (self.value.len_bytes() + arguments) as u64
    }
}

/// What is known of a result that is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheRecord {
    /// The digest of the key.
    pub key: KeyDigest,
    /// The component's digest.
    pub component: Digest,
    /// The task's name.
    pub task: Arc<str>,
    /// BLAKE3 of the canonical arguments.
    pub arguments_digest: KeyDigest,
    /// The canonical arguments; none where they are larger than [`MAX_KEPT_ARGUMENTS`].
    pub arguments: Option<Value>,
    /// The author's own part of the key.
    pub user_key: Option<Arc<str>>,
    /// How guests were run.
    pub profile: Arc<str>,
    /// The run that made it.
    pub run: RunId,
    /// The flow run that this one is part of.
    pub flow: Option<RunId>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on nobody may have it any more; never by default.
    pub expires: Option<Timestamp>,
    /// Bytes of the value and of the kept arguments.
    pub bytes: u64,
}

/// A value out of the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedValue {
    /// The value.
    pub value: Value,
    /// The run that made it.
    pub run: RunId,
    /// When.
    pub created: Timestamp,
}
