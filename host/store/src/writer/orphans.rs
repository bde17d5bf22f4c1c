//! Deleting blobs that nothing names any more. Only what is committed counts.

use rusqlite::Connection;
use sandmill_wire::Digest;

use crate::StoreError;
use crate::ask::Answer;
use crate::blobs::Blobs;
use crate::record::Pruned;
use crate::rows::fault;

/// Every place in which a blob can be named, each with an index.
const NAMED: &str = "SELECT EXISTS (SELECT 1 FROM runs WHERE result_digest = ?1) \
     OR EXISTS (SELECT 1 FROM flows WHERE result_digest = ?1) \
     OR EXISTS (SELECT 1 FROM components WHERE digest = ?1) \
     OR EXISTS (SELECT 1 FROM cache WHERE result_digest = ?1)";

/// Deletes those of these blobs that nothing names.
pub(super) fn delete(
    connection: &Connection,
    blobs: &Blobs,
    digests: &[Digest],
) -> Result<Answer, StoreError> {
    let mut pruned = Pruned::default();
    for digest in digests {
        let named: bool = connection
            .prepare_cached(NAMED)
            .and_then(|mut named| named.query_row([digest.as_bytes()], |row| row.get(0)))
            .map_err(|error| fault(connection, error))?;
        if !named && let Some(bytes) = blobs.delete(digest)? {
            pruned.blobs += 1;
            pruned.blob_bytes += bytes;
        }
    }
    Ok(Answer::Part { more: false, pruned, blobs: Vec::new() })
}
