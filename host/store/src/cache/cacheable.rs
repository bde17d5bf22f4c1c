//! Whether a result may be taken from the cache and kept in it, and in words why not.

use sandmill_core::{CallOptions, Report};

/// Why a result is neither taken from the cache nor kept in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCacheable {
    /// Nobody asked for it.
    #[error("the call does not ask for the cache")]
    NotAsked,
    /// Something is granted, and no key says what the result depends on.
    #[error(
        "the call is granted {}, so its result may depend on more than its arguments: \
         give its cache a key that names what it depends on",
        .0.join(", ")
    )]
    Granted(Vec<&'static str>),
    /// The run asked for its own circumstances, and no key says that they do not matter.
    #[error(
        "the run read its context (its id, attempt, map index, deadline or cancellation), so its \
         result may depend on more than its arguments: give its cache a key if it does not"
    )]
    ReadContext,
    /// Only values are kept.
    #[error("the run ended without a value ({0})")]
    NoValue(&'static str),
}

/// Whether the result of such a call may be taken from the cache.
///
/// # Errors
/// Why not.
pub fn cacheable(options: &CallOptions) -> Result<(), NotCacheable> {
    let policy = options.cache.as_ref().ok_or(NotCacheable::NotAsked)?;
    if policy.key.is_none() && !options.grants.is_empty() {
        return Err(NotCacheable::Granted(options.grants.names()));
    }
    Ok(())
}

/// Whether what became of such a call may be kept in the cache.
///
/// # Errors
/// Why not.
pub fn keepable(options: &CallOptions, report: &Report) -> Result<(), NotCacheable> {
    cacheable(options)?;
    if !report.outcome.is_success() {
        return Err(NotCacheable::NoValue(report.outcome.name()));
    }
    let has_key = options.cache.as_ref().is_some_and(|policy| policy.key.is_some());
    if report.usage.read_context && !has_key {
        return Err(NotCacheable::ReadContext);
    }
    Ok(())
}
