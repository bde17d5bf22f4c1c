//! Looks for damage in a store: what a person who asks whether all is well wants to know. How a flow
//! that is taken up is looked through is in `intact`.

use super::handle::Reader;
use super::records::{FlowFilter, FlowList, MAX_LIST};
use crate::StoreError;
use crate::rows::fault;

/// Faults of the database file that are named, at most.
const FAULTS: usize = 10;

impl Reader {
    /// What is damaged, in words: the file as the database sees it (but for what an index says of
    /// rows), and the records of flow runs, the newest [`MAX_LIST`] of them. Empty when nothing is.
    /// It reads the whole file.
    ///
    /// # Errors
    /// The store cannot be read, also because it is damaged as a whole.
    pub fn damage(&self) -> Result<Vec<String>, StoreError> {
        let mut found = self.read(|connection| {
            let rows = connection.prepare(&format!("PRAGMA quick_check({FAULTS})"));
            let words = rows.and_then(|mut check| {
                let words = check.query_map([], |row| row.get::<_, String>(0))?;
                words.collect::<rusqlite::Result<Vec<_>>>()
            });
            words.map_err(|error| fault(connection, error))
        })?;
        found.retain(|words| words != "ok");
        let filter = FlowFilter { limit: MAX_LIST, ..FlowFilter::default() };
        let FlowList { damaged, .. } = self.list_flows(&filter)?;
        found.extend(damaged.iter().map(ToString::to_string));
        Ok(found)
    }
}
