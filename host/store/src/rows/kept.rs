//! How an outcome is kept: a small value in the row, a large one as a blob, anything else encoded.

use rusqlite::Row;
use sandmill_wire::{Bounds, Digest, Outcome, Value};

use super::columns::opt_digest;
use crate::StoreError;
use crate::blobs::Blobs;
use crate::seal::Seal;

/// The largest value that is kept in a row: 64 KiB. A larger one becomes a blob.
pub const MAX_INLINE_RESULT: usize = 64 * 1024;

/// What was once taken is given back whatever the limits are today.
const BOUNDS: Bounds =
    Bounds { max_bytes: usize::MAX, max_depth: usize::MAX, max_nodes: usize::MAX };

/// An outcome as it stands in three columns: what is not a value, a small value, or the blob of a
/// large one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    Other(Vec<u8>),
    Value(Vec<u8>),
    Blob(Digest),
}

impl Kept {
    /// Encodes an outcome, and writes the blob where it needs one.
    pub(crate) fn keep(outcome: &Outcome, blobs: &Blobs) -> Result<Self, StoreError> {
        match outcome {
            Outcome::Value(value) if value.len_bytes() <= MAX_INLINE_RESULT => {
                Ok(Self::Value(value.as_bytes().to_vec()))
            }
            Outcome::Value(value) => blobs.put(value.as_bytes()).map(Self::Blob),
            other => rmp_serde::to_vec_named(other).map(Self::Other).map_err(|error| {
                StoreError::Encoding { what: "an outcome", message: error.to_string() }
            }),
        }
    }

    /// Reads three columns. None where there is no outcome yet.
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Self>> {
        // What stands in two of them at once does not fit its seal: see `seal`.
        Ok(if let Some(other) = row.get(first)? {
            Some(Self::Other(other))
        } else if let Some(value) = row.get(first + 1)? {
            Some(Self::Value(value))
        } else {
            opt_digest(row, first + 2)?.map(Self::Blob)
        })
    }

    /// Bytes that it has in the row.
    pub(crate) fn bytes_in_row(&self) -> usize {
        match self {
            Self::Other(bytes) | Self::Value(bytes) => bytes.len(),
            Self::Blob(_) => 0,
        }
    }

    /// The three columns.
    pub(super) fn columns(kept: Option<&Self>) -> [Option<&[u8]>; 3] {
        match kept {
            Some(Self::Other(bytes)) => [Some(bytes), None, None],
            Some(Self::Value(bytes)) => [None, Some(bytes), None],
            Some(Self::Blob(digest)) => [None, None, Some(digest.as_bytes())],
            None => [None; 3],
        }
    }

    pub(super) fn seal(kept: Option<&Self>, seal: Seal) -> Seal {
        Self::columns(kept).into_iter().fold(seal, Seal::opt_bytes)
    }

    /// The outcome. `what` names the record for whoever reads that it is damaged.
    pub(crate) fn outcome(
        &self,
        blobs: &Blobs,
        what: impl FnOnce() -> String,
    ) -> Result<Outcome, StoreError> {
        let read = match self {
            Self::Other(bytes) => rmp_serde::from_slice(bytes).ok(),
            Self::Value(bytes) => Value::check(bytes.clone(), &BOUNDS).map(Outcome::Value).ok(),
            Self::Blob(digest) => match blobs.get(digest) {
                Ok(bytes) => Value::check(bytes, &BOUNDS).map(Outcome::Value).ok(),
                Err(error @ StoreError::NoBlob { .. }) => {
                    return Err(StoreError::corrupt(format!("{} ({error})", what())));
                }
                Err(error) => return Err(error),
            },
        };
        read.ok_or_else(|| StoreError::corrupt(what()))
    }
}
