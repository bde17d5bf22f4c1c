//! Calls that may be served from the cache: each is made on a thread of its own, through whatever
//! keeps results, so that what caching means is said in one place for all executors. Where such a
//! call has to be made after all, its thread hands a ticket to the fleet and waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use sandmill_core::{Attempt, Component, ComponentInfo, Invoker, Report};
use sandmill_wire::{End, EndKind};

use super::desk::Desk;
use super::ends::Ends;
use super::ticket::{Answer, Ticket};
use crate::attempt::Job;
use crate::pool::{Place, Queue, become_place};

/// Calls that are looked up in the cache, or made for it, at a time: a thread each. Others wait.
pub const MAX_LANES: usize = 64;

/// How long a lane waits for a call before its thread ends.
const LANE_IDLE: Duration = Duration::from_secs(10);

/// The lanes of an open executor.
pub(super) struct Lanes {
    queue: Arc<Queue>,
    /// The cache around a [`RemoteInvoker`].
    invoker: Arc<dyn Invoker>,
    inner: Mutex<Inner>,
    work: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<(u64, Job)>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Lanes {
    pub(super) fn new(queue: &Arc<Queue>, invoker: &Arc<dyn Invoker>) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::clone(queue),
            invoker: Arc::clone(invoker),
            inner: Mutex::default(),
            work: Condvar::new(),
        })
    }

    /// Has a run made that was taken out of the queue under this number.
    pub(super) fn put(self: &Arc<Self>, number: u64, job: Job) {
        let mut inner = self.inner.lock();
        inner.waiting.push_back((number, job));
        if inner.idle >= inner.waiting.len() || inner.threads >= MAX_LANES {
            drop(inner);
            self.work.notify_one();
            return;
        }
        inner.threads += 1;
        let lane = inner.threads;
        drop(inner);
        let lanes = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name(format!("sandmill-lane-{lane}"))
            .spawn(move || while lanes.serve() {});
        if spawned.is_err() {
            let mut inner = self.inner.lock();
            inner.threads -= 1;
            // Another lane takes it. Where there is none, what waits ends as `host-error`.
            let stranded = match inner.threads {
                0 => std::mem::take(&mut inner.waiting),
                _ => VecDeque::new(),
            };
            drop(inner);
            self.work.notify_one();
            for (number, job) in stranded {
                drop(job);
                self.queue.out_ended(number);
            }
        }
    }

    /// Makes the next call; false when the thread is to end.
    fn serve(&self) -> bool {
        let Some((number, job)) = self.next() else { return false };
        become_place(&self.queue, Some(Place::Out(number)));
        // The end of a run may run what users bring along: one that panics costs no lane.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let Some(delayed) = job.run(&*self.invoker) {
                self.queue.delay(delayed);
            }
        }));
        become_place(&self.queue, None);
        self.queue.out_ended(number);
        true
    }

    fn next(&self) -> Option<(u64, Job)> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(next) = inner.waiting.pop_front() {
                return Some(next);
            }
            if inner.closed {
                inner.threads -= 1;
                return None;
            }
            inner.idle += 1;
            let timed_out = self.work.wait_for(&mut inner, LANE_IDLE).timed_out();
            inner.idle -= 1;
            if timed_out && inner.waiting.is_empty() {
                inner.threads -= 1;
                return None;
            }
        }
    }

    /// No more calls come: the threads end.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.work.notify_all();
    }
}

/// An invoker whose attempts are made by the hosts of a remote executor. It blocks while they are.
pub(super) struct RemoteInvoker {
    local: Arc<dyn Invoker>,
    open: Mutex<Option<(Weak<Desk>, Arc<Ends>)>>,
    max_memory: Box<dyn Fn() -> Option<u64> + Send + Sync>,
}

impl RemoteInvoker {
    /// `local` makes components ready; `max_memory` says the most that a host would give.
    pub(super) fn new(
        local: Arc<dyn Invoker>,
        max_memory: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { local, open: Mutex::new(None), max_memory: Box::new(max_memory) })
    }

    /// Attempts go here from now on.
    pub(super) fn open(&self, desk: &Arc<Desk>, ends: &Arc<Ends>) {
        *self.open.lock() = Some((Arc::downgrade(desk), Arc::clone(ends)));
    }
}

impl Invoker for RemoteInvoker {
    fn invoke(&self, attempt: Attempt<'_>) -> Report {
        let open = self.open.lock().clone();
        let open = open.and_then(|(desk, ends)| Some((desk.upgrade()?, ends)));
        let Some((desk, ends)) = open else {
            let end = End::new(EndKind::HostError, "the remote executor is not open");
            return Report::unstarted(end);
        };
        let answer = Arc::new(Answer::default());
        desk.put(Ticket::of_attempt(&attempt, &answer, &ends));
        drop(desk);
        answer.wait()
    }

    fn prepare(&self, component: &Component) -> Result<Arc<ComponentInfo>, End> {
        self.local.prepare(component)
    }

    fn max_memory(&self) -> u64 {
        (self.max_memory)().unwrap_or_else(|| self.local.max_memory())
    }
}
