//! What the handles of one run and its executor share. Not public: handles and the promise are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sandmill_wire::{End, EndKind, RunId};

use super::callbacks::{self, Callback};
use super::completions::Sink;
use super::kept::Kept;
use crate::{
    AttemptEnd, CancelToken, EventKind, Events, LogLevel, LogLine, LogSource, Report, State,
    StateType,
};

/// How often a thread that waits for a run gives way to others before it goes to sleep. Where slots
/// have runs in a row, and the processor to themselves then, many of them end meanwhile, and none of
/// these has to wake anybody.
const YIELDS: u32 = 3;

pub(super) struct Shared {
    pub(super) id: RunId,
    pub(super) name: Arc<str>,
    pub(super) map_index: Option<u64>,
    pub(super) cancel: CancelToken,
    pub(super) events: Events,
    /// How many handles there are: the last one to go cancels the run, unless it is detached.
    pub(super) handles: AtomicUsize,
    pub(super) detached: AtomicBool,
    /// Whether another process has the run: here it is only told of, and ends when that says so.
    distant: bool,
    cell: Mutex<Cell>,
    changed: Condvar,
}

struct Cell {
    state: State,
    /// How many attempts were started, with those of earlier processes.
    attempts: u32,
    report: Option<Kept>,
    /// Whoever is to be told of the end; most runs of a map never have anybody.
    waiting: Option<Box<Waiting>>,
}

/// Whoever is to be told of the end of a run.
#[derive(Default)]
struct Waiting {
    sinks: Vec<Sink>,
    wakers: Vec<Waker>,
    callbacks: Vec<Callback>,
}

impl Cell {
    fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    fn report(&self) -> Option<Report> {
        self.report.as_ref().map(Kept::report)
    }
}

impl Shared {
    pub(super) fn new(
        id: RunId,
        name: Arc<str>,
        map_index: Option<u64>,
        detached: bool,
        attempts: u32,
        cancel: CancelToken,
        events: Events,
    ) -> Self {
        let state = State::pending(events.clock().now());
        Self {
            id,
            name,
            map_index,
            cancel,
            events,
            handles: AtomicUsize::new(1),
            detached: AtomicBool::new(detached),
            distant: false,
            cell: Mutex::new(Cell { state, attempts, report: None, waiting: None }),
            changed: Condvar::new(),
        }
    }

    /// The same of a run that another process has, and that stood so when it was last looked at.
    pub(super) fn at_a_distance(mut self, state: State, attempts: u32) -> Self {
        self.distant = true;
        let cell = self.cell.get_mut();
        cell.state = state;
        cell.attempts = attempts;
        self
    }

    /// Takes over where a run stands that another process has. A request to stop it stays in sight
    /// until it is answered.
    pub(super) fn mirror(&self, state: State, attempts: u32) {
        let mut cell = self.cell.lock();
        if cell.report.is_some() {
            return;
        }
        cell.attempts = attempts;
        if cell.state.kind != StateType::Cancelling && cell.state != state {
            self.enter(&mut cell, state);
        }
    }

    /// Has the run begin in this state, rather than waiting for a slot.
    pub(super) fn begin_in(&mut self, state: State) {
        self.cell.get_mut().state = state;
    }

    /// Whether anybody holds a handle, or is to be told of the end.
    pub(super) fn is_wanted(&self) -> bool {
        if self.handles.load(Ordering::Acquire) > 0 {
            return true;
        }
        let cell = self.cell.lock();
        cell.waiting.as_ref().is_some_and(|waiting| {
            !waiting.callbacks.is_empty() || waiting.sinks.iter().any(Sink::is_wanted)
        })
    }

    pub(super) fn state(&self) -> State {
        self.cell.lock().state.clone()
    }

    pub(super) fn attempts(&self) -> u32 {
        self.cell.lock().attempts
    }

    pub(super) fn report(&self) -> Option<Report> {
        self.cell.lock().report()
    }

    pub(super) fn is_done(&self) -> bool {
        self.cell.lock().report.is_some()
    }

    /// Whether the run has ended with a value.
    pub(super) fn has_succeeded(&self) -> bool {
        self.cell.lock().report.as_ref().is_some_and(Kept::is_success)
    }

    /// Starts the next attempt, if the run has not ended already; false when it has.
    pub(super) fn start(self: &Arc<Self>) -> bool {
        let mut cell = self.cell.lock();
        if cell.report.is_some() {
            return false;
        }
        // Cancelled with what it is part of, and not through a handle of its own.
        if self.cancel.is_cancelled() {
            let end = cancelled_early(&cell);
            self.finish_locked(cell, Report::unstarted(end));
            return false;
        }
        let now = self.events.clock().now();
        let again = cell.attempts > 0;
        cell.attempts = cell.attempts.saturating_add(1);
        self.enter(&mut cell, if again { State::retrying(now) } else { State::running(now) });
        true
    }

    /// Says why a run waits for its slot, and takes back that it was running. One that waits for its
    /// next attempt says already why, and one that is to stop does not wait.
    pub(super) fn wait_for(&self, reason: Arc<str>) {
        let mut cell = self.cell.lock();
        let was_running = cell.state.kind == StateType::Running;
        let tells = cell.state.kind == StateType::Pending
            && cell.state.message.as_deref() != Some(&*reason);
        if was_running {
            cell.attempts = cell.attempts.saturating_sub(1);
        }
        if was_running || tells {
            let now = self.events.clock().now();
            self.enter(&mut cell, State::pending_for(now, reason));
        }
    }

    /// Takes a running run to where it waits for its next attempt, after word of the one that
    /// ended. False, and nothing is told, when it must not come to that: it was asked to stop.
    pub(super) fn await_retry(&self, cause: Arc<str>, ended: impl FnOnce() -> AttemptEnd) -> bool {
        let mut cell = self.cell.lock();
        if cell.state.kind != StateType::Running || self.cancel.is_cancelled() {
            return false;
        }
        self.events.emit(self.id, || EventKind::Attempt(ended()));
        self.enter(&mut cell, State::awaiting_retry(self.events.clock().now(), cause));
        true
    }

    /// Ends the run; false when it has ended already.
    pub(super) fn finish(self: &Arc<Self>, report: Report) -> bool {
        let cell = self.cell.lock();
        if cell.report.is_some() {
            return false;
        }
        self.finish_locked(cell, report);
        true
    }

    /// Ends a run that another process has, in the state that it says.
    pub(super) fn finish_as(self: &Arc<Self>, report: Report, state: State) {
        let cell = self.cell.lock();
        if cell.report.is_none() {
            self.finish_in(cell, report, state);
        }
    }

    fn finish_locked(self: &Arc<Self>, mut cell: MutexGuard<'_, Cell>, report: Report) {
        let now = self.events.clock().now();
        let state = match report.cached_from {
            Some(from) => {
                // It was not tried: what it would have made was there.
                cell.attempts = cell.attempts.saturating_sub(1);
                State::cached(now, from)
            }
            None => State::from_outcome(&report.outcome, now),
        };
        self.finish_in(cell, report, state);
    }

    fn finish_in(self: &Arc<Self>, mut cell: MutexGuard<'_, Cell>, report: Report, state: State) {
        let usage = report.usage;
        cell.report = Some(report.into());
        self.events.emit(self.id, || EventKind::Used(usage));
        self.enter(&mut cell, state);
        let waiting = cell.waiting.take();
        drop(cell);
        // Waiters first: a callback may take its time, and nobody should wait for it.
        self.changed.notify_all();
        if let Some(waiting) = waiting {
            waiting.sinks.iter().for_each(Sink::complete);
            waiting.wakers.into_iter().for_each(Waker::wake);
            callbacks::dispatch(self, waiting.callbacks);
        }
    }

    /// Asks the run to stop. One that waits, for a slot or its next attempt, ends at once; one that
    /// runs is told.
    pub(super) fn cancel(self: &Arc<Self>) {
        let mut cell = self.cell.lock();
        if cell.report.is_some() || cell.state.kind == StateType::Cancelling {
            return;
        }
        if cell.state.kind == StateType::Running || self.distant {
            self.enter(&mut cell, State::cancelling(self.events.clock().now()));
            drop(cell);
            self.cancel.cancel();
        } else {
            self.cancel.cancel();
            // Still under the lock: a slot must not start the run in between.
            let end = cancelled_early(&cell);
            self.finish_locked(cell, Report::unstarted(end));
        }
    }

    /// Ends a run that waits for its slot and was never tried; false where it is another.
    pub(super) fn cancel_unstarted(self: &Arc<Self>) -> bool {
        let cell = self.cell.lock();
        let waits = cell.report.is_none() && cell.state.kind == StateType::Pending;
        if !waits || cell.attempts > 0 || self.distant {
            return false;
        }
        self.cancel.cancel();
        // Still under the lock: a slot must not start the run in between.
        let end = cancelled_early(&cell);
        self.finish_locked(cell, Report::unstarted(end));
        true
    }

    /// Waits on the calling thread until the run has ended or `timeout` is over.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Option<Report> {
        // A timeout too far away to be a moment is no timeout.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut cell = self.cell.lock();
        for _ in 0..YIELDS {
            // Whoever only looks, with no time to wait, gives nothing away.
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if cell.report.is_some() || is_over {
                break;
            }
            drop(cell);
            std::thread::yield_now();
            cell = self.cell.lock();
        }
        while cell.report.is_none() {
            match deadline {
                None => self.changed.wait(&mut cell),
                Some(deadline) => {
                    if self.changed.wait_until(&mut cell, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        cell.report()
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Report> {
        let mut cell = self.cell.lock();
        if let Some(report) = cell.report() {
            return Poll::Ready(report);
        }
        let wakers = &mut cell.waiting().wakers;
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Tells `sink` when the run has ended: at once if it has.
    pub(super) fn subscribe(&self, sink: Sink) {
        let mut cell = self.cell.lock();
        if cell.report.is_some() {
            drop(cell);
            sink.complete();
        } else {
            // Groups that nobody waits for any more would pile up on a long run.
            let sinks = &mut cell.waiting().sinks;
            sinks.retain(Sink::is_wanted);
            sinks.push(sink);
        }
    }

    /// Calls `callback` when the run has ended. Gives it back when it has already.
    pub(super) fn on_done(&self, callback: Callback) -> Option<Callback> {
        let mut cell = self.cell.lock();
        if cell.report.is_some() {
            return Some(callback);
        }
        cell.waiting().callbacks.push(callback);
        None
    }

    /// Adds a line of the host's to the run's log.
    pub(super) fn host_log(&self, message: String) {
        self.events.emit(self.id, || {
            EventKind::Log(LogLine { source: LogSource::Host, level: LogLevel::Warn, message })
        });
    }

    fn enter(&self, cell: &mut Cell, state: State) {
        cell.state = state;
        // Emitted under the lock, so that a run's states are told in the order they happened.
        self.events.emit(self.id, || EventKind::State(cell.state.clone()));
    }

    pub(super) fn drop_handle(self: &Arc<Self>) {
        let last = self.handles.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && !self.detached.load(Ordering::Acquire) {
            self.cancel();
        }
    }
}

/// The end of a run that was cancelled while it waited.
fn cancelled_early(cell: &Cell) -> End {
    let message = match cell.attempts {
        0 => "cancelled before it started".to_owned(),
        1 => "cancelled before it was tried again, after 1 attempt".to_owned(),
        made => format!("cancelled before it was tried again, after {made} attempts"),
    };
    End::new(EndKind::Cancelled, message)
}
