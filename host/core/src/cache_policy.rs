//! Whether the result of a run may be taken from an earlier run of the same call. What a key is
//! made of, and where results are kept, is the store's.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Says that the result of a run may be taken from an earlier run of the same component, task and
/// arguments. Without a key this holds for runs to which nothing is granted, because these are
/// functions of just that; a run with grants needs a key, by which its author answers for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CachePolicy {
    /// How old a result may be; for ever by default.
    pub expires: Option<Duration>,
    /// Part of the key besides component, task and arguments: a name for everything else that the
    /// result depends on.
    pub key: Option<Arc<str>>,
    /// Makes the result anew and keeps it, even where there is one (Prefect 3, `refresh_cache`).
    pub refresh: bool,
}
