//! [`Options`]: what a call may say besides its arguments. Retries and caching have types of their
//! own.

use std::time::Duration;

use super::cache::Cache;
use super::host;
use super::retries::Retries;

/// What a call may say besides its arguments. What is not said is the host's choice; limits and
/// grants beyond these are those of the flow's run.
///
/// ```
/// use std::time::Duration;
///
/// use sandmill_guest::flow::{Options, Retries};
///
/// let patient = Options::new()
///     .name("fetch the index")
///     .retries(Retries::new(3).exponential(Duration::from_secs(1), 2.0).jitter(0.5))
///     .timeout(Duration::from_secs(30))
///     .labels(["ssd"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    name: Option<String>,
    retries: Option<Retries>,
    timeout: Option<Duration>,
    queue_timeout: Option<Duration>,
    memory: Option<u64>,
    cache: Option<Cache>,
    tags: Vec<String>,
    labels: Vec<String>,
    resources: Vec<(String, f64)>,
    is_detached: bool,
}

impl Options {
    /// Nothing said.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for people in place of the task's.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// When the run is tried again: a number, or [`Retries`] with delays.
    #[must_use]
    pub fn retries(mut self, retries: impl Into<Retries>) -> Self {
        self.retries = Some(retries.into());
        self
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long the call may wait for a slot.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = Some(timeout);
        self
    }

    /// Bytes of memory that an attempt may use.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Allows the result to be that of an earlier run of the same call.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Words for whoever looks for the run later, besides those said before. `resource:KEY=NUM`
    /// asks for a resource.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Labels that a host must carry to be given the run, besides those said before.
    #[must_use]
    pub fn labels<T: Into<String>>(mut self, labels: impl IntoIterator<Item = T>) -> Self {
        self.labels.extend(labels.into_iter().map(Into::into));
        self
    }

    /// How much of something a host must have free to be given the run.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, amount: f64) -> Self {
        self.resources.push((name.into(), amount));
        self
    }

    /// Lets the run go on when the flow lets go of its future, or ends. By default it is cancelled
    /// then.
    #[must_use]
    pub fn detach(mut self) -> Self {
        self.is_detached = true;
        self
    }

    /// In the contract's words.
    pub(super) fn to_host(&self) -> host::CallOptions {
        host::CallOptions {
            name: self.name.clone(),
            retries: self.retries.as_ref().map(Retries::to_host),
            timeout: self.timeout.map(host::nanoseconds),
            queue_timeout: self.queue_timeout.map(host::nanoseconds),
            memory: self.memory,
            cache: self.cache.as_ref().map(Cache::to_host),
            tags: self.tags.clone(),
            labels: self.labels.clone(),
            resources: self.resources.clone(),
            detach: self.is_detached,
        }
    }
}
