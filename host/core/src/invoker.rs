//! The seam to whatever performs one attempt at a call: the sandbox, or a script in tests.

use std::sync::Arc;

use sandmill_wire::{End, Outcome, RunId};

use crate::{Call, CancelToken, Component, ComponentInfo, Events, Usage};

/// One try at a call.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The run that this is a try of.
    pub run: RunId,
    /// Which try, from 1.
    pub number: u32,
    /// What to call.
    pub call: &'a Call,
    /// Tells the attempt to stop.
    pub cancel: &'a CancelToken,
    /// Where log lines and progress go.
    pub events: &'a Events,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// The earlier run that made the value, where it was taken from the cache.
    pub cached_from: Option<RunId>,
}

impl Report {
    /// A report of an attempt that ran.
    #[must_use]
    pub const fn new(outcome: Outcome, usage: Usage) -> Self {
        Self { outcome, usage, cached_from: None }
    }

    /// A report of a run whose value an earlier run made.
    #[must_use]
    pub fn cached(outcome: Outcome, from: RunId) -> Self {
        Self { outcome, usage: Usage::default(), cached_from: Some(from) }
    }

    /// A report of an attempt that never started.
    #[must_use]
    pub fn unstarted(end: End) -> Self {
        Self::new(end.into(), Usage::default())
    }
}

/// Performs attempts. The executors know nothing of Wasm but this.
pub trait Invoker: Send + Sync {
    /// Performs one attempt on the calling thread, and returns when no guest instruction can run
    /// any more. Never panics; whatever goes wrong is in the report.
    fn invoke(&self, attempt: Attempt<'_>) -> Report;

    /// Makes a component ready (checks and compiles it, asks for its tasks) and says what is
    /// known of it. Repeated calls are cheap. `invoke` does it by itself when nobody did before.
    ///
    /// # Errors
    /// An end of kind `refused` when the bytes are not a component that this host can run.
    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End>;

    /// The most memory in bytes that an attempt may ask for; a call that asks for more is refused.
    /// A run that is tried again with more memory is not given more than this.
    fn max_memory(&self) -> u64 {
        u64::MAX
    }
}
