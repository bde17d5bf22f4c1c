//! What whoever takes a flow run up needs to know of its past. Reading for people is in `reader`.

use rusqlite::Connection;
use sandmill_wire::RunId;

use crate::StoreError;
use crate::blobs::Blobs;
use crate::record::{Earlier, Recorded, RunKey};

pub(crate) fn run(
    _reader: &Connection,
    _blobs: &Blobs,
    _flow: i64,
    _key: RunKey,
) -> Result<Option<Recorded>, StoreError> {
    Err(StoreError::Closed)
}

pub(crate) fn earlier(
    _reader: &Connection,
    _blobs: &Blobs,
    _flow: RunId,
    _stage: &str,
    _index: Option<u64>,
) -> Result<Option<Earlier>, StoreError> {
    Err(StoreError::Closed)
}

pub(crate) fn steps(
    _reader: &Connection,
    _flow: i64,
    _from: u64,
    _limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    Err(StoreError::Closed)
}
