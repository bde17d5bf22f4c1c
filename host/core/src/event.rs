//! What happened to runs, in order. Progress bars, logs and records are all made from these
//! events and from nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sandmill_wire::{Digest, RunId};
use serde::{Deserialize, Serialize};

use crate::{Clock, State, Timestamp};

/// One thing that happened to one run.
#[derive(Debug, Clone)]
pub struct Event {
    /// Position in the order of this host's events, from 0, without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// To which run.
    pub run: RunId,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// The run came to be.
    Submitted(Submitted),
    /// It went to another state.
    State(State),
    /// It wrote a line.
    Log(LogLine),
    /// It said how far it has come.
    Progress(Progress),
    /// One try of it ended.
    Attempt(AttemptEnd),
    /// It ended, and used this much.
    Used(Usage),
    /// A mapped stage of this flow run now knows how many runs it will have.
    Mapped(Mapped),
}

/// How one try of a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Which try, from 1.
    pub number: u32,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// One word for how it ended: `value`, `failure`, or the name of an end's kind
    /// ([`sandmill_wire::Outcome::name`]).
    pub outcome: String,
    /// Why, for a person; none for a value.
    pub message: Option<Arc<str>>,
    /// What it used.
    pub usage: Usage,
    /// When the run is tried again; none when this was its last try.
    pub retry_at: Option<Timestamp>,
}

/// How large a mapped stage of a flow is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The stage: the name of the flow's task.
    pub stage: Arc<str>,
    /// How many runs it will have.
    pub total: u64,
}

/// What is known of a run from the start.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The name for people, with the position in a map: `count[17]`.
    pub name: Arc<str>,
    /// The name without the position: what the runs of one stage have in common.
    pub stage: Arc<str>,
    /// Position in a map.
    pub map_index: Option<u64>,
    /// The flow run it is part of.
    pub parent: Option<RunId>,
    /// The component; none for the run of a whole flow.
    pub component: Option<Digest>,
}

/// Where a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// `sandmill:task/log`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The host: a line that says what it left out.
    Host,
}

/// How much a log line matters, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// Details that help to find a fault.
    Debug,
    /// What a reader of the log wants to see.
    Info,
    /// Something odd.
    Warn,
    /// Something failed.
    Error,
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where it came from.
    pub source: LogSource,
    /// How much it matters.
    pub level: LogLevel,
    /// The text, without its line break; as the guest wrote it, so escape it for a terminal.
    pub message: String,
}

/// How far a run has come, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// A few words.
    pub message: String,
}

/// What one attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Microseconds from instantiation to the end.
    pub wall_micros: u64,
    /// Most bytes of linear memory and tables at a time.
    pub peak_memory: u64,
    /// Bytes of the argument map.
    pub input: u64,
    /// Bytes of the result.
    pub output: u64,
    /// Fuel used, where it was metered.
    pub fuel: Option<u64>,
    /// Whether the run read its context (its id, attempt, map index, deadline or cancellation):
    /// then its result may depend on more than its arguments.
    pub read_context: bool,
}

/// Is told of events, one at a time, in their order. It must be quick: it runs on the thread that
/// the event happened on, which may hold locks: hand the event on (to a channel, say), call nothing
/// of the host, and let go of no future. One that panics is told nothing any more, and the runs go on.
pub trait Observer: Send + Sync {
    /// Takes notice of one event.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// Where events go: the one dispatcher that puts them in order. Cheap to clone.
#[derive(Clone, Default)]
pub struct Events(Arc<Dispatcher>);

#[derive(Default)]
struct Dispatcher {
    /// Whether anybody listens: read before an event is built at all.
    listening: AtomicBool,
    inner: Mutex<Listeners>,
    clock: Clock,
}

#[derive(Default)]
struct Listeners {
    next_sequence: u64,
    observers: Vec<Arc<dyn Observer>>,
}

impl Events {
    /// A dispatcher that nobody listens to yet, on this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Dispatcher { clock, ..Dispatcher::default() }))
    }

    /// The clock by which events are dated.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Tells `observer` of every event from now on.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let mut inner = self.0.inner.lock();
        inner.observers.push(observer);
        self.0.listening.store(true, Ordering::Release);
    }

    /// Whether anybody listens. Where nobody does, events need not be built.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.0.listening.load(Ordering::Acquire)
    }

    /// Sends out what `kind` makes; `kind` is not called when nobody listens.
    pub fn emit(&self, run: RunId, kind: impl FnOnce() -> EventKind) {
        if !self.is_observed() {
            return;
        }
        let kind = kind();
        let mut inner = self.0.inner.lock();
        let event = Event { sequence: inner.next_sequence, at: self.0.clock.now(), run, kind };
        inner.next_sequence += 1;
        // An observer that panics must not take the run with it, and would likely panic again.
        inner.observers.retain(|observer| {
            catch_unwind(AssertUnwindSafe(|| observer.on_event(&event))).is_ok()
        });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("observed", &self.is_observed()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_and_a_broken_observer_hurts_nobody() {
        let events = Events::new(Clock::manual(Timestamp::from_micros(7)));
        let run = RunId::new();
        events.emit(run, || unreachable!("nobody listens"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        events.observe(Arc::new(|_: &Event| panic!("a broken observer")));
        events.observe(Arc::new(move |event: &Event| sink.lock().push((event.sequence, event.at))));
        for _ in 0..3 {
            events.emit(run, || EventKind::Used(Usage::default()));
        }
        let at = Timestamp::from_micros(7);
        assert_eq!(*seen.lock(), [(0, at), (1, at), (2, at)]);
    }
}
