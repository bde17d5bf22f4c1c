//! [`Retries`]: when a run that did not complete is tried again.

use std::time::Duration;

use super::host;

/// When a run that did not complete is tried again, after how long, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    retries: u32,
    delay: Delay,
    jitter: f64,
    on: Option<Vec<String>>,
    memory_factor: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Delay {
    List(Vec<Duration>),
    Exponential { first: Duration, factor: f64 },
}

impl Retries {
    /// So many retries, without delay. A host has a bound: today 1,000.
    pub fn new(retries: u32) -> Self {
        Self { retries, delay: Delay::List(Vec::new()), jitter: 0.0, on: None, memory_factor: None }
    }

    /// The delay before the first retry, the second, …; the last one is repeated.
    #[must_use]
    pub fn delays(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.delay = Delay::List(delays.into_iter().collect());
        self
    }

    /// The delay before the first retry, and by what each further one is multiplied.
    #[must_use]
    pub fn exponential(mut self, first: Duration, factor: f64) -> Self {
        self.delay = Delay::Exponential { first, factor };
        self
    }

    /// How far a delay may be from its middle, as a part of it, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Only outcomes of these names are tried again: of an end (`timed-out`, `trapped`, …), of a
    /// failure's own kind, `failure` for every failure, or `retriable` for what its author or the
    /// host calls so. Without this, whatever is not said to be final.
    #[must_use]
    pub fn on<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.on = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// By how much the memory grows after the run had too little of it: 2.0 doubles it.
    #[must_use]
    pub fn memory_factor(mut self, factor: f64) -> Self {
        self.memory_factor = Some(factor);
        self
    }

    pub(super) fn to_host(&self) -> host::RetryPolicy {
        host::RetryPolicy {
            retries: self.retries,
            delay: match &self.delay {
                Delay::List(delays) => {
                    host::RetryDelay::Fixed(delays.iter().copied().map(host::nanoseconds).collect())
                }
                Delay::Exponential { first, factor } => {
                    host::RetryDelay::Exponential((host::nanoseconds(*first), *factor))
                }
            },
            jitter: self.jitter,
            on: self.on.clone(),
            memory_factor: self.memory_factor,
        }
    }
}

impl From<u32> for Retries {
    fn from(retries: u32) -> Self {
        Self::new(retries)
    }
}
