//! One attempt on its way to whoever makes it: what a fleet carries. Where its end goes (a run of
//! the queue, or a call of the cache's) it knows; where it is made, the fleet does.

use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use sandmill_core::units::format_duration;
use sandmill_core::{
    Attempt, Call, CancelToken, EventKind, Events, LogLevel, LogLine, LogSource, Progress, Report,
    Timestamp,
};
use sandmill_wire::{End, EndKind, RunId};

use super::desk::Desk;
use super::ends::{Ends, Word};
use crate::attempt::Job;

/// One attempt on its way. Whoever holds it says what becomes of it, in the order in which it
/// happened, and ends it once. One that is let go of without an end ends as `host-error`, so that
/// nobody waits for ever. None of its methods blocks or runs anything of the user's: what is said
/// is handed to a thread of the executor's.
#[derive(Debug)]
pub struct Ticket {
    /// None once it has ended.
    inner: Option<Arc<Inner>>,
}

/// What the ticket and the words that were said of it share.
pub(super) struct Inner {
    run: RunId,
    attempt: u32,
    call: Call,
    cancel: CancelToken,
    expires: Option<Instant>,
    events: Events,
    ends: Arc<Ends>,
    pub(super) route: Route,
}

/// Where the end of a ticket goes.
pub(super) enum Route {
    /// A run that was taken out of the queue.
    Queue(Box<Held>),
    /// A lane, which blocks for the report.
    Lane(Arc<Answer>),
}

/// A run that was taken out of the queue, for as long as a fleet has it.
pub(super) struct Held {
    /// By which the queue knows that it is out.
    pub(super) number: u64,
    pub(super) job: Mutex<Option<Job>>,
    /// When it was said to have started.
    pub(super) started: Mutex<Option<Timestamp>>,
}

impl Ticket {
    /// For the next attempt at a run that was taken out of the queue under this number.
    pub(super) fn of_job(
        number: u64,
        job: Job,
        expires: Option<Instant>,
        ends: &Arc<Ends>,
    ) -> Self {
        let inner = Inner {
            run: job.id(),
            attempt: job.number(),
            call: job.call().clone(),
            cancel: job.token().clone(),
            expires,
            events: job.events().clone(),
            ends: Arc::clone(ends),
            route: Route::Queue(Box::new(Held {
                number,
                job: Mutex::new(Some(job)),
                started: Mutex::new(None),
            })),
        };
        Self { inner: Some(Arc::new(inner)) }
    }

    /// For an attempt that a thread waits for.
    pub(super) fn of_attempt(
        attempt: &Attempt<'_>,
        answer: &Arc<Answer>,
        ends: &Arc<Ends>,
    ) -> Self {
        let options = &attempt.call.options;
        let patience =
            options.queue_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let inner = Inner {
            run: attempt.run,
            attempt: attempt.number,
            call: attempt.call.clone(),
            cancel: attempt.cancel.clone(),
            expires: patience.into_iter().chain(options.deadline).min(),
            events: attempt.events.clone(),
            ends: Arc::clone(ends),
            route: Route::Lane(Arc::clone(answer)),
        };
        Self { inner: Some(Arc::new(inner)) }
    }

    fn inner(&self) -> &Arc<Inner> {
        self.inner.as_ref().expect("it is only taken by what consumes the ticket")
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.inner().run
    }

    /// Which attempt it is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner().attempt
    }

    /// What to call.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.inner().call
    }

    /// Whether the run was asked to stop. The desk says so when it happens ([`Desk::take`]).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner().cancel.is_cancelled()
    }

    /// Until when the attempt may wait to be started: beyond, [`Ticket::expire`] ends it. None: as
    /// long as it takes.
    #[must_use]
    pub fn expires(&self) -> Option<Instant> {
        self.inner().expires
    }

    /// The attempt has started. Said once more than once, it is taken as one start, unless the
    /// ticket was said to wait since.
    pub fn started(&self) {
        self.say(Word::Started);
    }

    /// The run waits for a host, for this reason; also one that had started at a host which was
    /// lost since.
    pub fn waits(&self, reason: impl Into<Arc<str>>) {
        self.say(|inner| Word::Waits(inner, reason.into()));
    }

    /// The run wrote a line.
    pub fn log(&self, line: LogLine) {
        self.emit(|| EventKind::Log(line));
    }

    /// The host has something to say to whoever reads the run's log.
    pub fn remark(&self, message: impl Into<String>) {
        self.log(LogLine {
            source: LogSource::Host,
            level: LogLevel::Warn,
            message: message.into(),
        });
    }

    /// The run said how far it has come.
    pub fn progress(&self, progress: Progress) {
        self.emit(|| EventKind::Progress(progress));
    }

    fn emit(&self, kind: impl FnOnce() -> EventKind) {
        if self.inner().events.is_observed() {
            self.say(|inner| Word::Event(inner, Box::new(kind())));
        }
    }

    /// The attempt has ended.
    pub fn finish(mut self, report: Report) {
        self.end(|inner| Word::Finished(inner, Box::new(report)));
    }

    /// The attempt was not started in the time that it had for that.
    pub fn expire(mut self) {
        self.end(Word::Expired);
    }

    /// The run was asked to stop before the attempt was started, and will not be.
    pub fn cancel(self) {
        let end = End::new(EndKind::Cancelled, "cancelled before it started");
        self.finish(Report::unstarted(end));
    }

    fn say(&self, word: impl FnOnce(Arc<Inner>) -> Word) {
        let inner = self.inner();
        inner.ends.say(word(Arc::clone(inner)));
    }

    fn end(&mut self, word: impl FnOnce(Arc<Inner>) -> Word) {
        if let Some(inner) = self.inner.take() {
            let ends = Arc::clone(&inner.ends);
            ends.say(word(inner));
        }
    }

    /// Has the desk told when the run is asked to stop.
    pub(super) fn watch(&self, desk: &Arc<Desk>) {
        let inner = self.inner();
        let waker = Waker::from(Arc::new(OnCancel { desk: Arc::downgrade(desk), run: inner.run }));
        if inner.cancel.poll_cancelled(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let end = End::new(EndKind::HostError, "what carried the run let go of it");
        self.end(|inner| Word::Finished(inner, Box::new(Report::unstarted(end))));
    }
}

impl Inner {
    pub(super) fn emit(&self, kind: EventKind) {
        self.events.emit(self.run, || kind);
    }

    /// Why the attempt was not started in its time, for one that a lane waits for.
    pub(super) fn expiry(&self) -> Report {
        let options = &self.call.options;
        let is_late = options.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let words = match options.queue_timeout {
            Some(timeout) if !is_late => {
                format!("it waited {} for a slot", format_duration(timeout))
            }
            _ => "the run's deadline passed before it started".to_owned(),
        };
        Report::unstarted(End::new(EndKind::TimedOut, words))
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("run", &self.run).field("attempt", &self.attempt).finish()
    }
}

/// Tells the desk that a run was asked to stop. It may be called under the lock of that run.
/// The token may outlive all else of the run, so it does not hold the desk.
struct OnCancel {
    desk: Weak<Desk>,
    run: RunId,
}

impl Wake for OnCancel {
    fn wake(self: Arc<Self>) {
        if let Some(desk) = self.desk.upgrade() {
            desk.cancelled(self.run);
        }
    }
}

/// A report that a thread waits for.
#[derive(Default)]
pub(super) struct Answer {
    report: Mutex<Option<Report>>,
    given: Condvar,
}

impl Answer {
    pub(super) fn give(&self, report: Report) {
        *self.report.lock() = Some(report);
        self.given.notify_one();
    }

    /// Blocks until the report is there. It comes: a ticket always ends, at the latest when the
    /// attempt's deadline has passed, or when the fleet that has it goes.
    pub(super) fn wait(&self) -> Report {
        let mut report = self.report.lock();
        loop {
            if let Some(report) = report.take() {
                return report;
            }
            self.given.wait(&mut report);
        }
    }
}
