//! When a run is tried again, after how long, and with what. Plain functions: executors keep the
//! time and make the attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use sandmill_wire::{End, EndKind, Outcome, RunId};
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
    /// How far a delay may be from its middle, as a part of it, from 0 to 1: with 0.5, a delay of
    /// 10 s is anything from 5 s to 15 s, 10 s on average. What is above 1 counts as 1, what is
    /// below 0 or not a number as 0.
    ///
    /// The name, the mean and the upper bound `delay * (1 + factor)` are those of Prefect 3
    /// (`retry_jitter_factor`, `prefect.utilities.math.clamped_poisson_interval`). There the delay
    /// is drawn from a clamped exponential distribution, which keeps the mean only nearly; here
    /// from a uniform one, which keeps it exactly and never falls below `delay * (1 - factor)`.
    /// Both spread retries that would come at the same time, which is what it is for.
    pub jitter: f64,
    /// No delay is longer than this, with its jitter. Itself at most [`MAX_RETRY_DELAY`].
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
        /// What each is multiplied with. What is below 0 or not a number counts as 1.
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
        let cap = self.cap.min(MAX_RETRY_DELAY);
        let middle = match &self.delay {
            RetryDelay::List(delays) => {
                let position = (number.max(1) - 1) as usize;
                delays.get(position).or(delays.last()).copied().unwrap_or_default()
            }
            RetryDelay::Exponential { base, factor } => {
                let factor = if *factor >= 0.0 { *factor } else { 1.0 };
                let exponent = f64::from(number.max(1) - 1);
                let seconds = base.as_secs_f64() * factor.powf(exponent);
                // Nothing times infinity is not a number, and as good as nothing.
                let seconds = if seconds.is_nan() { 0.0 } else { seconds };
                Duration::try_from_secs_f64(seconds).unwrap_or(cap)
            }
        };
        let middle = middle.min(cap);
        let jitter = if self.jitter >= 0.0 { self.jitter.min(1.0) } else { 0.0 };
        if jitter == 0.0 || middle.is_zero() {
            return middle;
        }
        // Between (1 - jitter) and (1 + jitter) of the middle, so that the middle is the mean.
        let part = 1.0 + jitter * (2.0 * unit(run, number) - 1.0);
        Duration::try_from_secs_f64(middle.as_secs_f64() * part).unwrap_or(middle).min(cap)
    }

    /// What the next attempt may use, when the one before had `limits` and ended so. Never less
    /// than before; not more than [`RetryPolicy::most_memory`], unless it was more before.
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

impl RetryPolicy {
    /// What the next attempt may use when so many attempts, the first of them with `limits`, have
    /// run out of memory ([`RetryPolicy::limits_after`] for each).
    #[must_use]
    pub fn limits_after_all(&self, limits: &Limits, out_of_memory: u32) -> Limits {
        let outcome = End::new(EndKind::OutOfMemory, "").into();
        let mut limits = limits.clone();
        for _ in 0..out_of_memory.min(MAX_RETRIES) {
            let next = self.limits_after(&limits, &outcome);
            // What does not grow any more does not grow later.
            if next == limits {
                break;
            }
            limits = next;
        }
        limits
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

#[cfg(test)]
mod tests {
    use sandmill_wire::{Failure, TrapKind, Value};

    use super::*;

    const ABSURD: [f64; 10] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        -1.0,
        -0.0,
        0.0,
        1e9,
    ];

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn with_delay(delay: RetryDelay) -> RetryPolicy {
        RetryPolicy { delay, ..RetryPolicy::times(MAX_RETRIES) }
    }

    fn ended(kind: EndKind) -> Outcome {
        End::new(kind, "because").into()
    }

    fn failed(kind: &str) -> Outcome {
        Outcome::Failure(Failure::new(kind, "because"))
    }

    #[test]
    fn a_list_of_delays_repeats_its_last() {
        let policy = with_delay(RetryDelay::List(vec![millis(1), millis(20), millis(3)]));
        let delays: Vec<_> =
            [0, 1, 2, 3, 4, u32::MAX].map(|n| policy.delay_after(RunId::new(), n)).into();
        assert_eq!(delays, [1, 1, 20, 3, 3, 3].map(millis));
        let none = with_delay(RetryDelay::List(Vec::new()));
        assert_eq!(none.delay_after(RunId::new(), 1), Duration::ZERO);
    }

    #[test]
    fn exponential_delays_grow_up_to_the_cap() {
        let policy = RetryPolicy {
            cap: millis(500),
            ..with_delay(RetryDelay::Exponential { base: millis(100), factor: 2.0 })
        };
        let delays: Vec<_> =
            [1, 2, 3, 4, 1_000, u32::MAX].map(|n| policy.delay_after(RunId::new(), n)).into();
        assert_eq!(delays, [100, 200, 400, 500, 500, 500].map(millis));
    }

    #[test]
    fn jitter_keeps_the_mean_and_the_bounds_and_follows_from_run_and_attempt() {
        for jitter in [0.1, 0.5, 1.0, 7.0] {
            let policy =
                RetryPolicy { jitter, ..with_delay(RetryDelay::List(vec![millis(10_000)])) };
            let part: f64 = jitter.min(1.0);
            let (least, most) = (10.0 * (1.0 - part), 10.0 * (1.0 + part));
            let (mut sum, count) = (0.0, 20_000);
            for _ in 0..count {
                let run = RunId::new();
                let delay = policy.delay_after(run, 3);
                assert_eq!(delay, policy.delay_after(run, 3), "the same run waits as long again");
                let seconds = delay.as_secs_f64();
                assert!((least - 1e-6..=most + 1e-6).contains(&seconds), "{jitter}: {seconds}");
                sum += seconds;
            }
            let mean = sum / f64::from(count);
            assert!((mean - 10.0).abs() < 0.3, "{jitter}: {mean}");
        }
    }

    #[test]
    fn different_attempts_of_a_run_wait_differently() {
        let policy =
            RetryPolicy { jitter: 1.0, ..with_delay(RetryDelay::List(vec![millis(10_000)])) };
        let run = RunId::new();
        let delays: BTreeSet<_> = (1..=100).map(|n| policy.delay_after(run, n)).collect();
        assert_eq!(delays.len(), 100);
    }

    #[test]
    fn absurd_numbers_give_delays_and_limits_within_bounds() {
        let bases = [Duration::ZERO, millis(1), DEFAULT_RETRY_CAP, Duration::MAX];
        let caps = [Duration::ZERO, millis(5), DEFAULT_RETRY_CAP, Duration::MAX];
        for (base, cap) in bases.into_iter().flat_map(|base| caps.map(|cap| (base, cap))) {
            for (factor, jitter) in
                ABSURD.into_iter().flat_map(|factor| ABSURD.map(|jitter| (factor, jitter)))
            {
                for delay in
                    [RetryDelay::Exponential { base, factor }, RetryDelay::List(vec![base])]
                {
                    let policy = RetryPolicy { cap, jitter, ..with_delay(delay) };
                    for number in [0, 1, 2, 50, u32::MAX] {
                        let delay = policy.delay_after(RunId::new(), number);
                        assert!(delay <= cap.min(MAX_RETRY_DELAY), "{policy:?}: {delay:?}");
                    }
                }
            }
        }
        let steady = with_delay(RetryDelay::Exponential { base: millis(7), factor: f64::NAN });
        assert_eq!(steady.delay_after(RunId::new(), 9), millis(7));
        for factor in ABSURD {
            for most_memory in [0, 1, DEFAULT_MOST_MEMORY, u64::MAX] {
                let policy = RetryPolicy {
                    memory_factor: Some(factor),
                    most_memory,
                    ..RetryPolicy::times(1)
                };
                for memory in [0, 1, 256 << 20, u64::MAX] {
                    let limits = Limits { memory, ..Limits::default() };
                    let grown = policy.limits_after(&limits, &ended(EndKind::OutOfMemory)).memory;
                    assert!(grown >= memory, "{policy:?} takes from {memory}");
                    assert!(grown <= most_memory.max(memory), "{policy:?}: {grown}");
                }
            }
        }
    }

    #[test]
    fn memory_grows_after_running_out_of_it_and_only_then() {
        let policy = RetryPolicy { memory_factor: Some(2.0), ..RetryPolicy::times(1) };
        let limits = Limits::default();
        let grown = policy.limits_after(&limits, &ended(EndKind::OutOfMemory));
        assert_eq!(grown, Limits { memory: 2 * limits.memory, ..limits.clone() });
        assert_eq!(policy.limits_after(&limits, &ended(EndKind::TimedOut)), limits);
        let plain = RetryPolicy::times(1);
        assert_eq!(plain.limits_after(&limits, &ended(EndKind::OutOfMemory)), limits);
    }

    #[test]
    fn memory_grows_once_for_each_attempt_that_ran_out_of_it() {
        let policy = RetryPolicy {
            memory_factor: Some(2.0),
            most_memory: 6 * Limits::default().memory,
            ..RetryPolicy::times(MAX_RETRIES)
        };
        let limits = Limits::default();
        let grown = |times| policy.limits_after_all(&limits, times).memory / limits.memory;
        assert_eq!([0, 1, 2, 3, u32::MAX].map(grown), [1, 2, 4, 6, 6]);
        let run = RunId::new();
        let component = crate::Component::new(&b"any"[..], "memory");
        let call = crate::Call::new(&component, "t", Value::nil());
        let call = call.with_options(crate::CallOptions { retries: policy, ..Default::default() });
        let past = crate::Past { attempts: 3, out_of_memory: 2, ..crate::Past::default() };
        let taken_up = call.taken_up(run, past);
        assert_eq!(taken_up.options.limits.memory, 4 * limits.memory);
        assert_eq!((taken_up.run, taken_up.attempts_made), (Some(run), 3));
    }

    #[test]
    fn runs_are_tried_again_as_often_as_said_and_never_when_it_is_of_no_use() {
        let policy = RetryPolicy::times(2);
        let trapped = EndKind::Trapped(TrapKind::Panic);
        for outcome in [failed("odd"), ended(trapped), ended(EndKind::TimedOut)] {
            let tried: Vec<bool> = (1..=4).map(|n| policy.retries_after(n, &outcome)).collect();
            assert_eq!(tried, [true, true, false, false], "{outcome:?}");
        }
        let never = [
            Outcome::Value(Value::nil()),
            ended(EndKind::Cancelled),
            ended(EndKind::Refused),
            ended(EndKind::Skipped),
            ended(EndKind::UpstreamFailed),
        ];
        let everything = ["cancelled", "refused", "skipped", "upstream-failed", "value", "failure"];
        let named =
            RetryPolicy { on: Some(everything.map(str::to_owned).into()), ..RetryPolicy::times(2) };
        for outcome in never {
            assert!(!policy.retries_after(1, &outcome), "{outcome:?}");
            assert!(!named.retries_after(1, &outcome), "{outcome:?}");
        }
        let last = RetryPolicy::times(u32::MAX);
        assert!(last.retries_after(MAX_RETRIES, &failed("odd")));
        assert!(!last.retries_after(MAX_RETRIES + 1, &failed("odd")));
    }

    #[test]
    fn only_what_is_named_is_tried_again_where_names_are_given() {
        let on = |names: &[&str]| RetryPolicy {
            on: Some(names.iter().map(|&name| name.to_owned()).collect()),
            ..RetryPolicy::times(1)
        };
        let retriable = Outcome::Failure(Failure { retriable: true, ..Failure::new("busy", "") });
        let retried = |names: &[&str], outcome: &Outcome| on(names).retries_after(1, outcome);
        assert!(retried(&["odd"], &failed("odd")) && !retried(&["odd"], &failed("even")));
        assert!(retried(&["failure"], &failed("odd")));
        assert!(!retried(&["failure"], &ended(EndKind::TimedOut)));
        assert!(retried(&["timed-out"], &ended(EndKind::TimedOut)));
        assert!(retried(&["retriable"], &retriable) && !retried(&["retriable"], &failed("odd")));
        assert!(retried(&["retriable"], &ended(EndKind::HostLost)));
        assert!(!retried(&[], &failed("odd")));
        let grows = RetryPolicy { memory_factor: Some(2.0), ..on(&["odd"]) };
        assert!(grows.retries_after(1, &ended(EndKind::OutOfMemory)));
    }
}
