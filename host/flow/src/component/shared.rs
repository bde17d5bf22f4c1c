//! What the two sides of a flow component's run share: the instance's thread, which asks, and the
//! runner's, which answers. One lock, and a bell for each side.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sandmill_core::{CancelToken, Report};
use sandmill_wire::{End, EndKind, Outcome};

use super::book::Book;
use super::history::FlowHistory;

/// How soon a stop is seen while the journal has no room.
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(100);

/// What both sides share.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Rung for the instance's thread.
    bell: Condvar,
    /// Stops the instance.
    pub(super) cancel: CancelToken,
}

/// What is behind the lock.
pub(super) struct Inner {
    pub(super) book: Book,
    /// Wakes the runner.
    waker: Option<Waker>,
    /// The end of the instance, when it is to stop.
    pub(super) stopped: Option<End>,
    /// What the instance came to.
    pub(super) report: Option<Report>,
}

impl Shared {
    pub(super) fn new(book: Book) -> Arc<Self> {
        let inner = Inner { book, waker: None, stopped: None, report: None };
        Arc::new(Self {
            inner: Mutex::new(inner),
            bell: Condvar::new(),
            cancel: CancelToken::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Rings for the instance.
    pub(super) fn ring(&self) {
        self.bell.notify_all();
    }

    /// Waits on the instance's thread until `look` finds something, the instance is to stop, or
    /// until then; none in the last case.
    pub(super) fn wait_for<T>(
        &self,
        until: Option<Instant>,
        mut look: impl FnMut(&mut Book) -> Result<Option<T>, End>,
    ) -> Result<Option<T>, End> {
        let mut inner = self.inner.lock();
        loop {
            inner.check()?;
            let found = look(&mut inner.book)?;
            inner.wake_runner();
            if found.is_some() {
                return Ok(found);
            }
            match until {
                None => self.bell.wait(&mut inner),
                Some(until) => {
                    if self.bell.wait_until(&mut inner, until).timed_out() {
                        inner.check()?;
                        return look(&mut inner.book);
                    }
                }
            }
        }
    }

    /// Waits on the instance's thread until the journal has room.
    pub(super) fn wait_for_room(&self, history: &dyn FlowHistory) -> Result<(), End> {
        let room = Arc::new(Room::default());
        let waker = Waker::from(Arc::clone(&room));
        loop {
            self.inner.lock().check()?;
            if history.poll_room(&mut Context::from_waker(&waker)).is_ready() {
                return Ok(());
            }
            room.wait();
        }
    }

    /// Has the flow fail with this outcome; the end of its instance.
    pub(super) fn fail(&self, outcome: Outcome) -> End {
        let mut inner = self.inner.lock();
        let end = end_for(&outcome);
        inner.book.verdict.get_or_insert(outcome);
        end
    }
}

/// The end of an instance whose flow comes to that.
fn end_for(outcome: &Outcome) -> End {
    match outcome {
        Outcome::Ended(end) => end.clone(),
        Outcome::Failure(failure) => End::new(EndKind::Refused, failure.to_string()),
        Outcome::Value(_) => End::new(EndKind::Cancelled, "the flow is over"),
    }
}

impl Inner {
    /// Whether the instance may go on.
    pub(super) fn check(&self) -> Result<(), End> {
        if let Some(end) = &self.stopped {
            return Err(end.clone());
        }
        self.book.verdict.as_ref().map_or(Ok(()), |outcome| Err(end_for(outcome)))
    }

    /// Wakes the runner where there is something for it.
    pub(super) fn wake_runner(&mut self) {
        if (self.book.has_news() || self.report.is_some())
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Whom to wake.
    pub(super) fn set_waker(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// Has the instance stop with what the flow comes to.
    pub(super) fn stop(&mut self, why: &Outcome) {
        self.stopped.get_or_insert_with(|| end_for(why));
    }
}

/// Wakes the instance's thread when there is room in the journal. A lock of its own: whoever wakes
/// may hold locks that are taken while the other one is held.
#[derive(Default)]
pub(super) struct Room {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Room {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.rung.lock() = true;
        self.bell.notify_all();
    }
}

impl Room {
    /// Waits until it is rung, but not so long that a stop would not be seen.
    fn wait(&self) {
        let mut rung = self.rung.lock();
        if !*rung {
            let _looks_again = self.bell.wait_for(&mut rung, STOP_SEEN_WITHIN);
        }
        *rung = false;
    }
}
