//! Deleting flow runs, and blobs that nothing names any more, in parts that are small enough not
//! to keep the records of running flows waiting.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use sandmill_core::Timestamp;
use sandmill_wire::{Digest, RunId};

use crate::StoreError;
use crate::ask::{Answer, Question};
use crate::record::Pruned;
use crate::rows::{fault, id, micros, run_id};
use crate::store::Store;

/// Blobs that are looked at between two batches of records.
const BLOBS_AT_A_TIME: usize = 100;

/// Flow runs that are looked up at a time.
const FLOWS_AT_A_TIME: i64 = 1000;

impl Store {
    /// Deletes a flow run, and the sub-flows below it.
    ///
    /// # Errors
    /// There is none, it or a sub-flow of it is running, or the store cannot be written. Part of
    /// it may be deleted then; nobody sees the rest, and it goes when something is deleted next.
    pub fn delete_flow(&self, flow: RunId) -> Result<Pruned, StoreError> {
        self.delete_flows(&[flow])
    }

    /// Deletes flow runs, and the sub-flows below them.
    ///
    /// # Errors
    /// As with [`Store::delete_flow`]. Those before the one in question are deleted.
    pub fn delete_flows(&self, flows: &[RunId]) -> Result<Pruned, StoreError> {
        let reader = self.open_reader()?;
        let mut pruned = Pruned::default();
        for flow in flows {
            self.delete_tree(&reader, *flow, &mut pruned)?;
        }
        Ok(pruned)
    }

    /// Deletes flow runs that ended before `older_than` with the sub-flows below them, entries of
    /// the cache that have expired at `now`, and blobs that nothing names.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn prune(&self, older_than: Timestamp, now: Timestamp) -> Result<Pruned, StoreError> {
        let reader = self.open_reader()?;
        let mut pruned = Pruned::default();
        let mut after = 0;
        loop {
            let found = prunable(&reader, older_than, after).map_err(|e| fault(&reader, e))?;
            let Some((last, _)) = found.last() else { break };
            after = *last;
            for (_, flow) in found {
                match self.delete_tree(&reader, flow, &mut pruned) {
                    // A sub-flow of it goes on, or it went with the flow that it was part of.
                    Ok(()) | Err(StoreError::Running { .. } | StoreError::NoSuchFlow { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        while self.delete_part(|| Question::DeleteExpired { at: now }, &mut pruned)? {}
        for folder in self.blobs().folders()? {
            self.sweep(&folder, &mut pruned)?;
        }
        Ok(pruned)
    }

    fn delete_tree(
        &self,
        reader: &Connection,
        root: RunId,
        pruned: &mut Pruned,
    ) -> Result<(), StoreError> {
        let tree = tree(reader, root).map_err(|error| fault(reader, error))?;
        if let Some(flow) = tree.iter().copied().find(|flow| self.is_running(*flow)) {
            return Err(StoreError::Running { flow });
        }
        // From below, so that what is left is never without what it is part of.
        for flow in tree.into_iter().rev() {
            self.while_held(flow, || {
                while self.delete_part(|| Question::DeleteFlow { flow }, pruned)? {}
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Has the writer delete a part, and then the blobs that lost their readers by it. Whether
    /// there is more.
    fn delete_part(
        &self,
        question: impl FnOnce() -> Question,
        pruned: &mut Pruned,
    ) -> Result<bool, StoreError> {
        let Answer::Part { more, pruned: part, blobs } = self.ask(question())? else {
            return Ok(false);
        };
        pruned.add(part);
        self.delete_blobs(&blobs, pruned)?;
        Ok(more)
    }

    fn delete_blobs(&self, blobs: &[Digest], pruned: &mut Pruned) -> Result<(), StoreError> {
        for digests in blobs.chunks(BLOBS_AT_A_TIME) {
            let digests: Arc<[Digest]> = digests.into();
            if let Answer::Part { pruned: part, .. } =
                self.ask(Question::DeleteBlobs { digests })?
            {
                pruned.add(part);
            }
        }
        Ok(())
    }

    /// Deletes the blobs of a folder that nothing names: those of a deletion that was cut off.
    fn sweep(&self, folder: &Path, pruned: &mut Pruned) -> Result<(), StoreError> {
        self.delete_blobs(&self.blobs().list(folder)?, pruned)
    }
}

impl Pruned {
    fn add(&mut self, other: Self) {
        self.flows += other.flows;
        self.runs += other.runs;
        self.cached += other.cached;
        self.blobs += other.blobs;
        self.blob_bytes += other.blob_bytes;
    }
}

/// Flow runs that ended before this time, and those whose deletion was cut off.
fn prunable(
    reader: &Connection,
    older_than: Timestamp,
    after: i64,
) -> rusqlite::Result<Vec<(i64, RunId)>> {
    let sql = "SELECT id, run FROM flows WHERE id > ? \
               AND (deleted OR (state IN (3, 4, 5, 6) AND state_at < ?)) ORDER BY id LIMIT ?";
    let mut select = reader.prepare_cached(sql)?;
    let found = select.query_map((after, micros(older_than), FLOWS_AT_A_TIME), |row| {
        Ok((row.get(0)?, run_id(row, 1)?))
    })?;
    found.collect()
}

/// A flow run and the sub-flows below it, also those whose records are damaged.
pub(crate) fn tree(reader: &Connection, root: RunId) -> rusqlite::Result<Vec<RunId>> {
    let mut tree = vec![root];
    // What is below itself is damaged, and no reason never to come to an end.
    let mut seen = HashSet::from([root]);
    let mut next = 0;
    while let Some(flow) = tree.get(next).copied() {
        tree.extend(children(reader, flow)?.into_iter().filter(|child| seen.insert(*child)));
        next += 1;
    }
    Ok(tree)
}

fn children(reader: &Connection, flow: RunId) -> rusqlite::Result<Vec<RunId>> {
    let mut select = reader.prepare_cached("SELECT run FROM flows WHERE parent = ?")?;
    select.query_map([id(&flow)], |row| run_id(row, 0))?.collect()
}
