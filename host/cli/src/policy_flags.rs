//! Flags for how calls are made: retries, how long to wait for a slot, and whether results may be
//! taken from the cache.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sandmill::CallOptions;
use sandmill::core::units::parse_duration;
use sandmill::core::{CachePolicy, MAX_RETRIES, RetryDelay, RetryPolicy};

/// How the runs of `call` and `map` are made.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Retries and cache")]
pub(crate) struct PolicyFlags {
    /// Try a run that failed again, so many times. [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_RETRIES)))]
    retries: Option<u32>,
    /// Wait before each retry. [default: 0]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "retries")]
    retry_delay: Option<Duration>,
    /// How long a run may wait for a slot; beyond: timed-out. A map takes its inputs as slots get
    /// free, so there only a retry waits. [default: as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    queue_timeout: Option<Duration>,
    /// Take the result of an earlier run of the same component, task and arguments, and keep new
    /// ones, for ever or for this long. A run with grants needs --cache-key besides.
    #[arg(long, value_name = "EXPIRES", num_args = 0..=1, require_equals = true, default_missing_value = "for-ever", value_parser = expiry)]
    cache: Option<Expiry>,
    /// A word for everything else that a result depends on: part of the cache's key.
    #[arg(long, value_name = "KEY", requires = "cache")]
    cache_key: Option<String>,
    /// Make results anew and keep them, even where the cache has some.
    #[arg(long, requires = "cache")]
    cache_refresh: bool,
}

/// How long a result may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expiry(Option<Duration>);

fn expiry(text: &str) -> Result<Expiry, String> {
    match text {
        "for-ever" => Ok(Expiry(None)),
        text => parse_duration(text).map(|after| Expiry(Some(after))).map_err(|e| e.to_string()),
    }
}

impl PolicyFlags {
    /// Whether results may come from the cache: then the store is opened.
    pub(crate) const fn wants_cache(&self) -> bool {
        self.cache.is_some()
    }

    /// Whether a time to wait for a slot is given for runs that never wait: those of a map start as
    /// they are made, and only what is tried again has to wait.
    pub(crate) fn waits_in_vain(&self) -> bool {
        self.queue_timeout.is_some() && self.retries.is_none_or(|retries| retries == 0)
    }

    /// The same options with what these flags say.
    pub(crate) fn over(&self, options: CallOptions) -> CallOptions {
        let delay = RetryDelay::List(self.retry_delay.into_iter().collect());
        CallOptions {
            retries: RetryPolicy { delay, ..RetryPolicy::times(self.retries.unwrap_or(0)) },
            queue_timeout: self.queue_timeout,
            cache: self.cache.map(|Expiry(expires)| CachePolicy {
                expires,
                key: self.cache_key.as_deref().map(Arc::from),
                refresh: self.cache_refresh,
            }),
            ..options
        }
    }
}

/// What `run` says over what its flow says of its tasks.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Retries and cache")]
pub(crate) struct FlowPolicyFlags {
    /// Try a task that failed again, so many times, in place of what the flow says. How long to
    /// wait before each, and which failures count, stays the flow's to say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_RETRIES)))]
    pub(crate) retries: Option<u32>,
    /// How long a run may wait for a slot; beyond: timed-out.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) queue_timeout: Option<Duration>,
    /// Take results of earlier runs for every task that nothing is granted to, also where the flow
    /// does not say so.
    #[arg(long, conflicts_with = "no_cache")]
    cache: bool,
    /// Take no results of earlier runs, and keep none, whatever the flow says.
    #[arg(long)]
    no_cache: bool,
}

impl FlowPolicyFlags {
    /// Whether the cache is to be used; nothing where the flow decides.
    pub(crate) const fn cache(&self) -> Option<bool> {
        match (self.cache, self.no_cache) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_policies() {
        let flags = PolicyFlags {
            retries: Some(2),
            retry_delay: Some(Duration::from_secs(3)),
            cache: Some(expiry("7days").unwrap()),
            cache_key: Some("v1".to_owned()),
            ..PolicyFlags::default()
        };
        let options = flags.over(CallOptions::default());
        assert_eq!(options.retries.retries, 2);
        assert_eq!(options.retries.delay, RetryDelay::List(vec![Duration::from_secs(3)]));
        let cache = options.cache.unwrap();
        assert_eq!(cache.expires, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(cache.key.as_deref(), Some("v1"));
        assert!(PolicyFlags::default().over(CallOptions::default()) == CallOptions::default());
        assert_eq!(expiry("for-ever"), Ok(Expiry(None)));
        assert!(expiry("7").is_err());
    }
}
