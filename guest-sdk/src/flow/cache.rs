//! [`Cache`]: whether a result may be taken from an earlier run.

use std::time::Duration;

use super::host;

/// Whether a result may be taken from an earlier run of the same call: the same component, task and
/// arguments. A run with grants is only ever taken so if there is a [`Cache::key`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    expires: Option<Duration>,
    key: Option<String>,
    is_refreshed: bool,
}

impl Cache {
    /// Results are good for ever.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a result is good for.
    #[must_use]
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// What the result depends on besides component, task and arguments.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Makes the result anew, and keeps it.
    #[must_use]
    pub fn refresh(mut self) -> Self {
        self.is_refreshed = true;
        self
    }

    pub(super) fn to_host(&self) -> host::CachePolicy {
        host::CachePolicy {
            expires: self.expires.map(host::nanoseconds),
            key: self.key.clone(),
            refresh: self.is_refreshed,
        }
    }
}
