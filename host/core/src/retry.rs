//! When a run is tried again, after how long, and with what. Plain functions: executors keep the
//! time and make the attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use sandmill_wire::{EndKind, Outcome, RunId};
use serde::{Deserialize, Serialize};

use crate::Limits;
use crate::units;

/// Most retries of a run.
pub const MAX_RETRIES: u32 = 1_000;
/// Most entries of a list of delays (as in Prefect 3, `prefect.tasks.Task.retry_delay_seconds`).
pub const MAX_RETRY_DELAYS: usize = 50;
/// Longest delay before a retry unless a policy sets another cap: 5 minutes.
pub const DEFAULT_RETRY_CAP: Duration = Duration::from_secs(300);
/// Longest delay that a policy can ask for: 7 days.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Most memory that a run is given after it ran out of it, unless a policy says otherwise: 4 GiB,
/// which is all that a 32-bit guest can have.
pub const DEFAULT_MOST_MEMORY: u64 = 4 << 30;

/// When a run that did not complete is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// How many times a run is tried again; none by default.
    pub retries: u32,
    /// How long to wait before each.
    pub delay: RetryDelay,
    /// How far a delay may be from its middle, as a part of it: with 0.5, a delay of 10 s is
    /// anything up to 15 s, 10 s on average (Prefect 3, `retry_jitter_factor`).
    pub jitter: f64,
    /// No delay is longer than this.
    #[serde(with = "units::duration")]
    pub cap: Duration,
    /// Names of outcomes that are tried again: of an end (`timed-out`, `trapped`, …), of a
    /// failure's own kind, `failure` for every failure, or `retriable` for what its author or the
    /// host calls so ([`Outcome::is_retriable`]).
    /// None: whatever is not said to be final by the host or the author
    /// ([`RetryPolicy::retries_outcome`]).
    pub on: Option<BTreeSet<String>>,
    /// By how much the memory grows after an `out-of-memory`, which is tried again then: 2.0
    /// doubles it.
    pub memory_factor: Option<f64>,
    /// What the memory grows to at most.
    #[serde(with = "units::size")]
    pub most_memory: u64,
}

/// How long to wait before each retry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryDelay {
    /// The first delay is for the first retry, and so on; the last one is repeated. An empty list
    /// is no delay at all.
    List(Vec<Duration>),
    /// Each delay is `factor` times the one before it.
    Exponential {
        /// The first one.
        base: Duration,
        /// What each is multiplied with.
        factor: f64,
    },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 0,
            delay: RetryDelay::List(Vec::new()),
            jitter: 0.0,
            cap: DEFAULT_RETRY_CAP,
            on: None,
            memory_factor: None,
            most_memory: DEFAULT_MOST_MEMORY,
        }
    }
}

impl RetryPolicy {
    /// So many retries, without delay.
    #[must_use]
    pub fn times(retries: u32) -> Self {
        Self { retries, ..Self::default() }
    }

    /// Whether a run whose attempt `number` (from 1) ended so is tried again.
    #[must_use]
    pub fn retries_after(&self, number: u32, outcome: &Outcome) -> bool {
        number <= self.retries.min(MAX_RETRIES) && self.retries_outcome(outcome)
    }

    /// Whether such an outcome is worth another try at all. Without a list of names: every failure
    /// that its author did not call final by its kind being one of the contract's own
    /// (`invalid-arguments`, `unknown-task`, `skipped`), every trap and limit; never a run that was
    /// refused, cancelled or skipped.
    #[must_use]
    pub fn retries_outcome(&self, outcome: &Outcome) -> bool {
        let kind = match outcome {
            Outcome::Value(_) => return false,
            Outcome::Failure(failure) => failure.kind.as_str(),
            Outcome::Ended(end) => match end.kind {
                EndKind::Cancelled
                | EndKind::Refused
                | EndKind::UpstreamFailed
                | EndKind::Skipped => return false,
                EndKind::OutOfMemory if self.memory_factor.is_some() => return true,
                kind => kind.name(),
            },
        };
        match &self.on {
            Some(names) => {
                let failed = matches!(outcome, Outcome::Failure(_)) && names.contains("failure");
                let retriable = outcome.is_retriable() && names.contains("retriable");
                names.contains(kind) || failed || retriable
            }
            None => match outcome {
                Outcome::Failure(failure) => !failure.is_final(),
                _ => true,
            },
        }
    }

    /// How long to wait after attempt `number` (from 1) of `run`. The same for the same run and
    /// number, so that a run which is taken up again waits no longer.
    #[must_use]
    pub fn delay_after(&self, run: RunId, number: u32) -> Duration {
        let middle = match &self.delay {
            RetryDelay::List(delays) => {
                let position = (number.max(1) - 1) as usize;
                delays.get(position).or(delays.last()).copied().unwrap_or_default()
            }
            RetryDelay::Exponential { base, factor } => {
                let exponent = f64::from(number.max(1) - 1);
                Duration::try_from_secs_f64(base.as_secs_f64() * factor.powf(exponent))
                    .unwrap_or(MAX_RETRY_DELAY)
            }
        };
        let middle = middle.min(self.cap);
        if self.jitter <= 0.0 || middle.is_zero() {
            return middle;
        }
        // Between (1 - jitter) and (1 + jitter) of the middle, so that the middle is the mean.
        let part = 1.0 + self.jitter.min(1.0) * (2.0 * unit(run, number) - 1.0);
        Duration::try_from_secs_f64(middle.as_secs_f64() * part).unwrap_or(middle).min(self.cap)
    }

    /// What the next attempt may use, when the one before had `limits` and ended so.
    #[must_use]
    pub fn limits_after(&self, limits: &Limits, outcome: &Outcome) -> Limits {
        let out_of_memory =
            matches!(outcome, Outcome::Ended(end) if end.kind == EndKind::OutOfMemory);
        let memory = match self.memory_factor {
            Some(factor) if out_of_memory => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a limit of memory need not be exact to the byte"
                )]
                let grown = (limits.memory as f64 * factor.max(1.0)) as u64;
                grown.min(self.most_memory.max(limits.memory))
            }
            _ => limits.memory,
        };
        Limits { memory, ..limits.clone() }
    }
}

/// A number from 0 to 1 that follows from a run and an attempt.
#[expect(clippy::cast_precision_loss, reason = "a part of a delay need not be exact")]
fn unit(run: RunId, number: u32) -> f64 {
    // SplitMix64: enough for spreading delays.
    let (high, low) = run.as_uuid().as_u64_pair();
    let mut x = (high ^ low.rotate_left(32))
        .wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
