//! Which entries of the cache are meant, and how they are asked for.

use rusqlite::types::Value as Sql;
use sandmill_core::Timestamp;
use sandmill_wire::Digest;

/// Entries that a list gives by default.
pub const DEFAULT_CACHE_LIST: usize = 50;

/// Which entries: those that fit everything that is set. All by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheFilter {
    /// Only those of this component.
    pub component: Option<Digest>,
    /// Only those of tasks with this name.
    pub task: Option<String>,
    /// Only those with this key of their author's own.
    pub user_key: Option<String>,
    /// Only those that were made before.
    pub before: Option<Timestamp>,
}

impl CacheFilter {
    /// The condition on the rows, and what goes into it.
    pub(super) fn condition(&self) -> (String, Vec<Sql>) {
        let parts = [
            ("component = ?", self.component.map(|it| Sql::Blob(it.as_bytes().to_vec()))),
            ("task = ?", self.task.clone().map(Sql::Text)),
            ("user_key = ?", self.user_key.clone().map(Sql::Text)),
            ("created < ?", self.before.map(|it| Sql::Integer(it.as_micros().cast_signed()))),
        ];
        let set: Vec<(&str, Sql)> =
            parts.into_iter().filter_map(|(sql, value)| Some((sql, value?))).collect();
        if set.is_empty() {
            return ("true".to_owned(), Vec::new());
        }
        let (parts, values): (Vec<&str>, Vec<Sql>) = set.into_iter().unzip();
        (parts.join(" AND "), values)
    }
}

/// What was cleared out of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Entries.
    pub entries: u64,
    /// Bytes of their values and arguments.
    pub bytes: u64,
}

/// How much is in the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheTotals {
    /// Entries.
    pub entries: u64,
    /// Bytes of their values and arguments.
    pub bytes: u64,
}
