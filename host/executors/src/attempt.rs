//! A run on its way through an executor, and one attempt after another at its call: what the
//! executors of this crate share. Where a run waits between two attempts is theirs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::future::Promise;
use sandmill_core::units::format_duration;
use sandmill_core::{
    Attempt, AttemptEnd, Call, CallOptions, CancelToken, EventKind, Events, Invoker, MAX_RETRIES,
    Report, Timestamp,
};
use sandmill_wire::{End, EndKind, Outcome, RunId};

/// A run that an executor has accepted, with what is to be known for its next attempt.
pub(crate) struct Job {
    /// Counts the attempts that were made, and has the limits that the next one gets.
    call: Call,
    promise: Promise,
    /// Why the last attempt failed.
    cause: Option<Arc<str>>,
    /// The last attempt, where it ran out of memory and the next one asks for more.
    out_of_memory: Option<Box<Report>>,
    /// When it is due, where it was taken up while it waited to be tried again.
    due: Option<Instant>,
}

/// A run that is tried again.
pub(crate) struct Delayed {
    pub(crate) job: Job,
    pub(crate) due: Instant,
}

impl Job {
    pub(crate) fn new(call: Call, promise: Promise) -> Self {
        let left = call.wait_left(promise.run(), promise.events().clock().now());
        let due = left.and_then(|left| Instant::now().checked_add(left));
        // At its deadline it ends, due or not.
        let due = due.map(|due| call.options.deadline.map_or(due, |deadline| deadline.min(due)));
        Self { call, promise, cause: None, out_of_memory: None, due }
    }

    /// When the run may be tried, where that is not yet.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.filter(|due| *due > Instant::now())
    }

    /// The run.
    pub(crate) fn id(&self) -> RunId {
        self.promise.run()
    }

    /// What to call, as the next attempt is to be made.
    pub(crate) const fn call(&self) -> &Call {
        &self.call
    }

    /// Where the events of the run go.
    pub(crate) fn events(&self) -> &Events {
        self.promise.events()
    }

    /// Says why the run waits, where it does: for a host, say.
    pub(crate) fn wait_for(&self, reason: Arc<str>) {
        self.promise.wait_for(reason);
    }

    /// What tells the run to stop.
    pub(crate) fn token(&self) -> &CancelToken {
        self.promise.cancel_token()
    }

    /// Until when the run may wait for a slot, if it does since then; none when for ever.
    pub(crate) fn expires(&self, since: impl FnOnce() -> Instant) -> Option<Instant> {
        let options = &self.call.options;
        let patience = options.queue_timeout.and_then(|timeout| since().checked_add(timeout));
        match (patience, options.deadline) {
            (Some(patience), Some(deadline)) => Some(patience.min(deadline)),
            (patience, deadline) => patience.or(deadline),
        }
    }

    /// Ends a run that waited for a slot for too long.
    pub(crate) fn expire(self) {
        let waited = match self.call.options.queue_timeout {
            Some(timeout) if !self.is_late() => {
                format!("it waited {} for a slot", format_duration(timeout))
            }
            _ => self.late_words(),
        };
        self.time_out(waited);
    }

    /// Ends a run that waits as cancelled.
    pub(crate) fn cancel(self) {
        self.promise.cancel();
    }

    fn is_late(&self) -> bool {
        self.call.options.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn late_words(&self) -> String {
        let what = if self.call.attempts_made > 0 { "was tried again" } else { "started" };
        format!("the run's deadline passed before it {what}")
    }

    fn time_out(self, mut message: String) {
        if let Some(cause) = &self.cause {
            let made = self.call.attempts_made;
            message = format!("{message}; attempt {made} ended with {cause}");
        }
        self.promise.finish(Report::unstarted(End::new(EndKind::TimedOut, message)));
    }

    /// Makes attempts on this thread until the run has ended, or has to wait for the next one.
    pub(crate) fn run(self, invoker: &dyn Invoker) -> Option<Delayed> {
        let mut next = self;
        loop {
            let job = match next.begin() {
                Ok(job) => job,
                Err(delayed) => return delayed.map(|delayed| *delayed),
            };
            if !job.start() {
                return None;
            }
            let (report, tried) = job.attempt(invoker);
            let Some(tried) = tried else {
                job.promise.finish(report);
                return None;
            };
            let delayed = job.conclude(report, tried, || invoker.max_memory())?;
            if delayed.due > Instant::now() {
                return Some(delayed);
            }
            next = delayed.job;
        }
    }

    /// The run, where an attempt at it is to be made now. Else it has ended, or has to wait yet.
    pub(crate) fn begin(self) -> Result<Self, Option<Box<Delayed>>> {
        if let Some(why) = &self.call.refusal {
            let end = End::new(EndKind::Refused, &**why);
            self.promise.finish(Report::unstarted(end));
            return Err(None);
        }
        if let Some(due) = self.due() {
            return Err(Some(Box::new(Delayed { job: self, due })));
        }
        if self.is_late() && !self.token().is_cancelled() {
            let words = self.late_words();
            self.time_out(words);
            return Err(None);
        }
        Ok(self)
    }

    /// Says that an attempt starts; false when the run has ended already, or was to stop.
    pub(crate) fn start(&self) -> bool {
        self.promise.start()
    }

    /// Ends the run with this report of an attempt, or says when it is tried again.
    pub(crate) fn conclude(
        mut self,
        report: Report,
        tried: Tried,
        max_memory: impl FnOnce() -> u64,
    ) -> Option<Delayed> {
        match self.retry(max_memory, report, tried) {
            Ok(delay) => {
                let due = Instant::now() + delay;
                Some(Delayed { job: self, due })
            }
            Err(report) => {
                self.promise.finish(report);
                None
            }
        }
    }

    /// One attempt, and when it was; nothing of that for a value that was there already.
    fn attempt(&self, invoker: &dyn Invoker) -> (Report, Option<Tried>) {
        let clock = self.promise.events().clock();
        let started = clock.now();
        let attempt = Attempt {
            run: self.promise.run(),
            number: self.number(),
            call: &self.call,
            cancel: self.promise.cancel_token(),
            events: self.promise.events(),
        };
        // An invoker does not panic; one that does must not take the slot with it.
        let report =
            catch_unwind(AssertUnwindSafe(|| invoker.invoke(attempt))).unwrap_or_else(|_| {
                Report::unstarted(End::new(EndKind::HostError, "the invoker panicked"))
            });
        let tried = Tried { started, ended: clock.now() };
        let was_there = report.cached_from.is_some();
        (report, (!was_there).then_some(tried))
    }

    /// The attempt under way, or the next one.
    pub(crate) const fn number(&self) -> u32 {
        self.call.attempts_made.saturating_add(1)
    }

    /// The same, counted as its policy does: without attempts that were cut off with their process.
    const fn counted(&self) -> u32 {
        self.call.attempts_counted().saturating_add(1)
    }

    /// Tells how the attempt ended, and decides what comes of it: how long to wait for the next
    /// one, or the report with which the run ends.
    fn retry(
        &mut self,
        max_memory: impl FnOnce() -> u64,
        report: Report,
        tried: Tried,
    ) -> Result<Duration, Report> {
        let number = self.number();
        let shortage = self.out_of_memory.take();
        if let Some(delay) = self.delay_after(&report.outcome) {
            let cause = words_of(&report.outcome);
            // An attempt that was cut off is made up for.
            let of = self.call.options.retries.retries.min(MAX_RETRIES) + 1;
            let of = of.saturating_add(self.call.attempts_cut_off);
            let when = match delay {
                Duration::ZERO => "at once".to_owned(),
                delay => format!("in {}", format_duration(delay)),
            };
            let message = format!("{cause}; attempt {} of {of} {when}", number.saturating_add(1));
            if self.promise.await_retry(message, || tried.end(number, &report, Some(delay))) {
                self.call.attempts_made = number;
                self.cause = Some(cause);
                self.give_memory(max_memory, report);
                return Ok(delay);
            }
        }
        let events = self.promise.events();
        events.emit(self.promise.run(), || EventKind::Attempt(tried.end(number, &report, None)));
        Err(match shortage {
            // Nobody can give what was asked for: then the run ends as it did with what it had.
            Some(shortage) if is_end(&report.outcome, EndKind::Refused) => *shortage,
            // It would have been tried again, so what failed it was not its last word.
            _ if self.token().is_cancelled() && self.is_retried(&report.outcome) => {
                let cause = words_of(&report.outcome);
                let message = format!(
                    "cancelled before it was tried again, attempt {number} ended with {cause}"
                );
                Report::new(End::new(EndKind::Cancelled, message).into(), report.usage)
            }
            _ => report,
        })
    }

    fn is_retried(&self, outcome: &Outcome) -> bool {
        self.call.options.retries.retries_after(self.counted(), outcome)
    }

    /// How long to wait before the next attempt; none when there is none.
    fn delay_after(&self, outcome: &Outcome) -> Option<Duration> {
        if !self.is_retried(outcome) || self.token().is_cancelled() {
            return None;
        }
        let options = &self.call.options;
        let delay = options.retries.delay_after(self.promise.run(), self.counted());
        let due = Instant::now() + delay;
        options.deadline.is_none_or(|deadline| due < deadline).then_some(delay)
    }

    /// Gives the next attempt more memory, where the last one ran out of it.
    fn give_memory(&mut self, max_memory: impl FnOnce() -> u64, report: Report) {
        let options = &self.call.options;
        let mut limits = options.retries.limits_after(&options.limits, &report.outcome);
        limits.memory = limits.memory.min(max_memory());
        if limits.memory > options.limits.memory {
            self.call.options = Arc::new(CallOptions { limits, ..(**options).clone() });
            self.out_of_memory = Some(Box::new(report));
        }
    }
}

/// When an attempt was made.
pub(crate) struct Tried {
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
}

impl Tried {
    fn end(&self, number: u32, report: &Report, delay: Option<Duration>) -> AttemptEnd {
        let retry_at = delay.map(|delay| {
            let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
            Timestamp::from_micros(self.ended.as_micros().saturating_add(delay))
        });
        let message: Option<Arc<str>> = match &report.outcome {
            Outcome::Value(_) => None,
            Outcome::Failure(failure) => Some(failure.to_string().into()),
            Outcome::Ended(end) => Some(end.message.as_str().into()),
        };
        AttemptEnd {
            number,
            started: self.started,
            ended: self.ended,
            outcome: report.outcome.name().to_owned(),
            message,
            usage: report.usage,
            retry_at,
        }
    }
}

/// How an attempt ended, for a person who does not see its kind beside it.
fn words_of(outcome: &Outcome) -> Arc<str> {
    match outcome {
        Outcome::Value(_) => "a value".into(),
        Outcome::Failure(failure) => failure.to_string().into(),
        Outcome::Ended(end) => end.to_string().into(),
    }
}

fn is_end(outcome: &Outcome, kind: EndKind) -> bool {
    matches!(outcome, Outcome::Ended(end) if end.kind == kind)
}
