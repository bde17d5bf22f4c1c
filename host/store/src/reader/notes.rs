//! What else happened to a flow run than changes of state: the last of it. All of it, in order with
//! the rest, is in `events`.

use rusqlite::params;
use sandmill_core::Timestamp;
use sandmill_wire::RunId;

use super::handle::{Reader, known_flow};
use super::records::MAX_LIST;
use crate::StoreError;
use crate::rows::{NOTE_COLUMNS, NoteRow, fault};

/// Something that happened to a flow run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What kind of thing, in one word: `hook`.
    pub kind: String,
    /// What, for a person.
    pub message: String,
}

impl Reader {
    /// The last notes of a flow run, in the order in which they were written: at most so many, up
    /// to [`MAX_LIST`].
    ///
    /// # Errors
    /// There is no such flow run, a note of it is damaged, or the store cannot be read.
    pub fn notes(&self, flow: RunId, limit: usize) -> Result<Vec<Note>, StoreError> {
        self.read(|connection| {
            let row = known_flow(connection, flow)?;
            let limit = i64::try_from(limit.min(MAX_LIST)).unwrap_or(i64::MAX);
            let sql =
                format!("SELECT {NOTE_COLUMNS} FROM notes WHERE flow = ? ORDER BY id DESC LIMIT ?");
            let rows: Vec<Option<NoteRow>> = connection
                .prepare_cached(&sql)
                .and_then(|mut select| {
                    select.query_map(params![row.rowid, limit], NoteRow::read)?.collect()
                })
                .map_err(|error| fault(connection, error))?;
            let note = |note: Option<NoteRow>| {
                let note = note.filter(|note| note.flow == row.rowid);
                note.map(|NoteRow { at, kind, message, .. }| Note { at, kind, message })
                    .ok_or_else(|| StoreError::corrupt(format!("a note of flow run {flow}")))
            };
            rows.into_iter().rev().map(note).collect()
        })
    }
}
