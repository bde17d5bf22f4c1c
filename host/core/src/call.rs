//! A call: a task and its arguments, with what it may use and reach. Its life is a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_wire::{RunId, Value};

use crate::{
    CachePolicy, CancelToken, Component, Grants, Limits, RetryPolicy, Timestamp, TraceContext,
};

/// A task and its arguments. Cheap to clone; the calls of a map share all but arguments and index.
#[derive(Debug, Clone)]
pub struct Call {
    /// The component that holds the task.
    pub component: Component,
    /// The task's name in it.
    pub task: Arc<str>,
    /// One MessagePack map by parameter name.
    pub arguments: Value,
    /// Position among the calls of a map.
    pub map_index: Option<u64>,
    /// Everything that the calls of a map have in common.
    pub options: Arc<CallOptions>,
    /// The run's id, where it has one already: a run that is taken up again. Else it gets a new one.
    pub run: Option<RunId>,
    /// How many attempts were made before, by a process that did not get to the end of the run.
    pub attempts_made: u32,
    /// How many of these were cut off with the process that made them: they do not count against
    /// the retries.
    pub attempts_cut_off: u32,
    /// When the next attempt is due, where that was said before the run was taken up. It waits no
    /// longer than the delay that its policy gives ([`Call::wait_left`]).
    pub retry_at: Option<Timestamp>,
    /// Why this call cannot be made, where whoever made it found its arguments do not fit: its run
    /// ends as `refused`, in its place among the others of a map.
    pub refusal: Option<Arc<str>>,
}

impl Call {
    /// A call with the default limits and nothing granted.
    #[must_use]
    pub fn new(component: &Component, task: impl Into<Arc<str>>, arguments: Value) -> Self {
        Self {
            component: component.clone(),
            task: task.into(),
            arguments,
            map_index: None,
            options: Arc::default(),
            run: None,
            attempts_made: 0,
            attempts_cut_off: 0,
            retry_at: None,
            refusal: None,
        }
    }

    /// The same call, to be refused for this reason.
    #[must_use]
    pub fn refused(mut self, why: impl Into<Arc<str>>) -> Self {
        self.refusal = Some(why.into());
        self
    }

    /// The same call with these options.
    #[must_use]
    pub fn with_options(mut self, options: impl Into<Arc<CallOptions>>) -> Self {
        self.options = options.into();
        self
    }

    /// The same call at this position of a map.
    #[must_use]
    pub const fn at_index(mut self, index: u64) -> Self {
        self.map_index = Some(index);
        self
    }

    /// The same call as a run that has its id already and was tried so many times before.
    #[must_use]
    #[expect(clippy::wrong_self_convention, reason = "`as` in the sense of `in the role of`")]
    pub const fn as_run(mut self, id: RunId, attempts_made: u32) -> Self {
        self.run = Some(id);
        self.attempts_made = attempts_made;
        self
    }

    /// The same call as a run that is taken up again, with this behind it.
    /// Where attempts ran out of memory, the next one may use what the last one of its own process
    /// would have had after it ([`RetryPolicy::limits_after`]).
    #[must_use]
    pub fn taken_up(mut self, id: RunId, past: Past) -> Self {
        let Past { attempts, cut_off, out_of_memory, retry_at } = past;
        self.attempts_cut_off = cut_off;
        self.retry_at = retry_at;
        let limits = self.options.retries.limits_after_all(&self.options.limits, out_of_memory);
        if limits != self.options.limits {
            self.options = Arc::new(CallOptions { limits, ..CallOptions::clone(&self.options) });
        }
        self.as_run(id, attempts)
    }

    /// How many attempts count against the retries, of those that were made.
    #[must_use]
    pub const fn attempts_counted(&self) -> u32 {
        self.attempts_made.saturating_sub(self.attempts_cut_off)
    }

    /// How long `run`, this call's, has to wait yet for its next attempt, where it was to be tried
    /// again at a given time when it was taken up. No longer than the delay that its policy gives
    /// after that attempt, which is the same for whoever takes it up
    /// ([`RetryPolicy::delay_after`]): a clock that was set back keeps no run waiting.
    #[must_use]
    pub fn wait_left(&self, run: RunId, now: Timestamp) -> Option<Duration> {
        let left = self.retry_at?.since(now);
        let longest = self.options.retries.delay_after(run, self.attempts_counted());
        Some(left.min(longest)).filter(|left| !left.is_zero())
    }

    /// The name of the run for people: `thumbnail`, or `thumbnail[17]` in a map.
    #[must_use]
    pub fn run_name(&self) -> Arc<str> {
        let stage = self.stage();
        match self.map_index {
            Some(index) => format!("{stage}[{index}]").into(),
            None => Arc::clone(stage),
        }
    }

    /// The name without the position in a map: what the runs of one map have in common.
    #[must_use]
    pub fn stage(&self) -> &Arc<str> {
        self.options.name.as_ref().unwrap_or(&self.task)
    }
}

/// What a run has behind it when it is taken up by another process than the one that began it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// Attempts that have ended.
    pub attempts: u32,
    /// How many of these ended because the process that made them was to stop.
    pub cut_off: u32,
    /// How many of these ran out of memory, so that the next one may have more.
    pub out_of_memory: u32,
    /// When the next attempt is due, where the last one was to be tried again.
    pub retry_at: Option<Timestamp>,
}

/// What the calls of a map have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallOptions {
    /// A name for people in place of the task's, such as the node's name in a flow.
    pub name: Option<Arc<str>>,
    /// The flow run that this call is part of.
    pub parent: Option<RunId>,
    /// What a run may use.
    pub limits: Limits,
    /// What a run may reach.
    pub grants: Grants,
    /// When a run that did not complete is tried again.
    pub retries: RetryPolicy,
    /// How long a run may wait for a slot, from its submission or from when its retry is due.
    /// Beyond: `timed-out`, without having run. None: as long as it takes.
    pub queue_timeout: Option<Duration>,
    /// When the run has to have ended, over all its attempts: that of the flow it is part of. An
    /// attempt gets the time that is left, if that is less than its own limit. Beyond: `timed-out`.
    pub deadline: Option<Instant>,
    /// Whether the result may be taken from an earlier run.
    pub cache: Option<CachePolicy>,
    /// Amounts that a host must have free (`gpu = 1.0`). Only placement on other hosts reads it.
    pub resources: BTreeMap<String, f64>,
    /// Labels that a host must carry. Only placement on other hosts reads it.
    pub labels: BTreeSet<String>,
    /// The trace that the run is part of; where there is none, that of [`CallOptions::parent`]. It
    /// changes nothing about a run, and goes to servers that it sends HTTP requests to.
    pub trace: Option<TraceContext>,
    /// Words for whoever looks for the run later.
    pub tags: BTreeSet<String>,
    /// Whether the run goes on when nobody holds its future any more. By default it is cancelled.
    pub detach: bool,
    /// Cancels the run when it is cancelled itself, also a run that goes on inside of `submit`:
    /// the flow's, for the runs of its tasks.
    pub cancel: Option<CancelToken>,
}

impl CallOptions {
    /// The trace that the runs of these calls are part of: the one they were put into, or that of
    /// the flow run they are part of.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.trace.or_else(|| self.parent.map(TraceContext::of_flow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RetryDelay;

    #[test]
    fn what_was_to_be_tried_again_waits_no_longer_than_its_policy_says() {
        let retries = RetryPolicy {
            delay: RetryDelay::List([10, 20, 30].map(Duration::from_secs).into()),
            ..RetryPolicy::times(5)
        };
        let component = Component::new(&b"any"[..], "memory");
        let call = Call::new(&component, "t", Value::nil())
            .with_options(CallOptions { retries, ..CallOptions::default() });
        let (run, now) = (RunId::new(), Timestamp::from_micros(50_000_000));
        let left = |attempts, cut_off, at: Option<u64>| {
            let retry_at = at.map(|seconds| Timestamp::from_micros(seconds * 1_000_000));
            let call =
                call.clone().taken_up(run, Past { attempts, cut_off, retry_at, ..Past::default() });
            call.wait_left(run, now).map(|left| left.as_secs())
        };
        assert_eq!(left(1, 0, None), None);
        for due in [0, 49, 50] {
            assert_eq!(left(1, 0, Some(due)), None, "it was due at {due} s");
        }
        assert_eq!(left(1, 0, Some(57)), Some(7));
        // The clock was set back since.
        assert_eq!(left(1, 0, Some(1_000_000)), Some(10));
        assert_eq!(left(2, 0, Some(1_000_000)), Some(20));
        assert_eq!(left(3, 2, Some(u64::from(u32::MAX))), Some(10));
        // Nonsense in a record is no overflow.
        assert_eq!(left(0, 7, Some(1_000_000)), Some(10));
    }
}
