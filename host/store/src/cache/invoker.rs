//! Takes results from the cache instead of performing attempts, and keeps those that were made.
//! What is kept, and where, is in `handle`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill_core::{
    Attempt, CachePolicy, Call, CallOptions, Component, ComponentInfo, Invoker, Limits, Report,
    Timestamp,
};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use super::cacheable::{NotCacheable, cacheable, keepable};
use super::entry::NewCached;
use super::flight::{Flights, Landed, Leader, Role, Waited};
use super::handle::Cache;
use super::key::CacheKey;

/// An invoker that performs attempts only at calls whose results are not in the cache. Calls that
/// do not ask for the cache, or that it cannot serve ([`cacheable`]), go straight through.
///
/// Of equal calls that are under way at the same time one runs; the others wait for its result,
/// for as long as their own attempt could take, and end as cached too. When it ends without a
/// value, one of the others runs next.
///
/// Calls that are cached are made with their arguments in canonical form, whether there is a
/// result or not: so a guest to which it matters how its arguments are written gives the same
/// result in both cases.
pub struct CachingInvoker {
    inner: Arc<dyn Invoker>,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
}

impl CachingInvoker {
    /// Puts a cache before an invoker.
    #[must_use]
    pub fn new(inner: Arc<dyn Invoker>, cache: Arc<Cache>) -> Self {
        Self { inner, cache, flights: Arc::default() }
    }
}

impl std::fmt::Debug for CachingInvoker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachingInvoker").finish_non_exhaustive()
    }
}

impl Invoker for CachingInvoker {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        let call = attempt.call;
        let options = &call.options;
        // Arguments over their limit are for the invoker to refuse, and not worth the hashing.
        let fits = call.arguments.len_bytes() as u64 <= options.limits.input;
        match &options.cache {
            Some(policy) if fits && cacheable(options).is_ok() => {
                let key = CacheKey::of(call);
                let arguments = key.arguments().clone();
                let call = Call { arguments, ..call.clone() };
                Lookup { invoker: self, attempt: &attempt, call: &call, policy, key: &key }.run()
            }
            _ => self.inner.invoke(attempt),
        }
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.inner.prepare(component)
    }

    fn max_memory(&self) -> u64 {
        self.inner.max_memory()
    }
}

/// One attempt at a call that may be served from the cache.
struct Lookup<'a> {
    invoker: &'a CachingInvoker,
    attempt: &'a Attempt<'a>,
    /// The call, with its arguments in canonical form.
    call: &'a Call,
    policy: &'a CachePolicy,
    key: &'a CacheKey,
}

impl Lookup<'_> {
    fn run(&self) -> Report {
        let begun = Instant::now();
        if self.policy.refresh {
            return self.make(Duration::ZERO).0;
        }
        let until = begun.checked_add(self.limits().timeout);
        let until = until.into_iter().chain(self.call.options.deadline).min();
        let mut waited = Duration::ZERO;
        loop {
            if let Some(report) = self.look_up() {
                return report;
            }
            let flight = match self.invoker.flights.join(self.key.digest()) {
                Role::Leader(leader) => return self.lead(leader, waited),
                Role::Follower(flight) => flight,
            };
            let landed = flight.wait(self.attempt.cancel, until);
            waited = begun.elapsed();
            match landed {
                Waited::Landed(Landed::Value(value, from)) if self.accepts(&value) => {
                    return Report::cached(Outcome::Value(value), from);
                }
                Waited::Landed(Landed::Failed) => {}
                Waited::Landed(Landed::Unshared | Landed::Value(..)) => {
                    return self.make(waited).0;
                }
                Waited::Cancelled => {
                    let why = "the run was cancelled while it waited for an equal one";
                    return Report::unstarted(End::new(EndKind::Cancelled, why));
                }
                Waited::TimedOut => return Report::unstarted(self.timed_out()),
            }
        }
    }

    fn limits(&self) -> &Limits {
        &self.call.options.limits
    }

    fn now(&self) -> Timestamp {
        self.attempt.events.clock().now()
    }

    /// Whether the call may return this value: a larger one would have ended it.
    fn accepts(&self, value: &Value) -> bool {
        value.len_bytes() as u64 <= self.limits().output
    }

    fn look_up(&self) -> Option<Report> {
        let found = self.invoker.cache.find(self.key, self.policy.expires, self.now())?;
        self.accepts(&found.value).then(|| Report::cached(Outcome::Value(found.value), found.run))
    }

    /// Runs for all equal calls.
    fn lead(&self, leader: Leader, waited: Duration) -> Report {
        // Whoever led before may have ended between the look and now.
        if let Some(report) = self.look_up() {
            if let (Outcome::Value(value), Some(from)) = (&report.outcome, report.cached_from) {
                leader.land(Landed::Value(value.clone(), from));
            }
            return report;
        }
        let (report, kept) = self.make(waited);
        leader.land(match (kept, &report.outcome) {
            (Ok(()), Outcome::Value(value)) => Landed::Value(value.clone(), self.attempt.run),
            (Err(NotCacheable::ReadContext), _) => Landed::Unshared,
            _ => Landed::Failed,
        });
        report
    }

    /// Performs the attempt, in what is left of its time, and keeps what comes of it; says why
    /// where it is not kept.
    fn make(&self, waited: Duration) -> (Report, Result<(), NotCacheable>) {
        let waited_call;
        let mut call = self.call;
        if !waited.is_zero() {
            let timeout = self.limits().timeout.saturating_sub(waited);
            if timeout.is_zero() {
                return (
                    Report::unstarted(self.timed_out()),
                    Err(NotCacheable::NoValue("timed-out")),
                );
            }
            let limits = Limits { timeout, ..self.limits().clone() };
            let options = CallOptions { limits, ..(*call.options).clone() };
            waited_call = call.clone().with_options(options);
            call = &waited_call;
        }
        let &Attempt { run, number, cancel, events, .. } = self.attempt;
        let report = self.invoker.inner.invoke(Attempt { run, number, call, cancel, events });
        let kept = keepable(&call.options, &report);
        if let (Ok(()), Outcome::Value(value)) = (&kept, &report.outcome) {
            self.keep(run, value);
        }
        (report, kept)
    }

    fn keep(&self, run: RunId, value: &Value) {
        let created = self.now();
        let expires = self.policy.expires.map(|age| {
            let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            Timestamp::from_micros(created.as_micros().saturating_add(micros))
        });
        let (key, flow) = (self.key.clone(), self.call.options.parent);
        self.invoker.cache.keep(NewCached {
            key,
            run,
            flow,
            value: value.clone(),
            created,
            expires,
        });
    }

    fn timed_out(&self) -> End {
        if self.call.options.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let why = "the run's deadline passed while it waited for an equal one";
            return End::new(EndKind::TimedOut, why);
        }
        let timeout = self.limits().timeout;
        let why = format!("the run waited for an equal one for all of its {timeout:?}");
        End::new(EndKind::TimedOut, why)
    }
}
