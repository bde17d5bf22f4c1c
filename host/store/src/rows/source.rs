//! The row of a flow's source, and which blobs hold its components.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::sealed;
use crate::record::FlowSource;
use crate::seal::Seal;

/// The source of a flow run.
pub(crate) struct SourceRow;

impl SourceRow {
    /// Writes the source of a flow run, which is encoded already.
    pub(crate) fn insert(
        connection: &Connection,
        flow: i64,
        source: &FlowSource,
        body: &[u8],
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT INTO sources (flow, body, seal) VALUES (?, ?, ?)")?
            .execute(params![flow, body, seal(flow, body)])?;
        let sql = "INSERT OR IGNORE INTO components (flow, digest) VALUES (?, ?)";
        let mut insert = connection.prepare_cached(sql)?;
        for component in &source.components {
            insert.execute(params![flow, component.digest.as_bytes()])?;
        }
        Ok(())
    }

    /// The source of a flow run. None where it is damaged or gone: every flow run has one.
    pub(crate) fn get(connection: &Connection, flow: i64) -> rusqlite::Result<Option<FlowSource>> {
        let sql = "SELECT body, seal FROM sources WHERE flow = ?";
        let read = connection.prepare_cached(sql)?.query_row([flow], |row| {
            sealed((|| {
                let body: Vec<u8> = row.get(0)?;
                Ok((seal(flow, &body) == row.get::<_, i64>(1)?).then_some(body))
            })())
        });
        Ok(read.optional()?.flatten().and_then(|body| rmp_serde::from_slice(&body).ok()))
    }
}

fn seal(flow: i64, body: &[u8]) -> i64 {
    Seal::of("sources").int(flow).bytes(body).finish()
}
