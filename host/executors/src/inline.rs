//! The executor that runs calls on the caller's thread, one at a time and in order: for debugging,
//! for small flows, and as the reference for all others (Prefect's `LocalExecutor`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use sandmill_core::future::{MapFeed, Promise, Pull};
use sandmill_core::{
    Call, Calls, CancelToken, Events, Executor, ExecutorId, FutureList, Invoker, MapOptions,
    StartContext, StartError, TaskFuture,
};

use crate::attempt::{Delayed, Job};

const NOT_STARTED: &str = "the inline executor is not started";

/// Runs each call on the thread that submits it, before `submit` returns: with all its attempts,
/// and the waits between them. Threads that submit at the same time take turns.
pub struct InlineExecutor {
    id: ExecutorId,
    inner: Arc<Inner>,
}

struct Inner {
    invoker: Arc<dyn Invoker>,
    open: Mutex<Option<Events>>,
    /// Runs accepted and not ended.
    accepted: Mutex<usize>,
    ended: Condvar,
    /// Whether what was accepted is to be cancelled.
    aborted: AtomicBool,
    /// Held by the run that goes on.
    turn: Mutex<()>,
    current: Mutex<Option<CancelToken>>,
}

impl InlineExecutor {
    /// An executor that performs its calls with `invoker`.
    #[must_use]
    pub fn new(invoker: Arc<dyn Invoker>) -> Self {
        let inner = Inner {
            invoker,
            open: Mutex::new(None),
            accepted: Mutex::new(0),
            ended: Condvar::new(),
            aborted: AtomicBool::new(false),
            turn: Mutex::new(()),
            current: Mutex::new(None),
        };
        Self { id: ExecutorId::new("inline"), inner: Arc::new(inner) }
    }
}

impl Inner {
    /// Takes in a run, if the executor is open: until the answer is dropped, closing waits for it.
    fn accept(&self) -> Option<(Events, Accepted<'_>)> {
        let open = self.open.lock();
        let events = open.clone()?;
        *self.accepted.lock() += 1;
        Some((events, Accepted(self)))
    }

    fn run(&self, job: Job) {
        let turn = match job.expires(|| job.due().unwrap_or_else(Instant::now)) {
            None => self.turn.lock(),
            Some(expiry) => match self.turn.try_lock_until(expiry) {
                Some(turn) => turn,
                None => return job.expire(),
            },
        };
        *self.current.lock() = Some(job.token().clone());
        // An abort that came while this run waited for its turn found no token to use.
        if self.aborted.load(Ordering::SeqCst) {
            job.token().cancel();
        }
        // A run keeps its turn while it waits to be tried again, so that runs end in order.
        let mut next = Some(job);
        while let Some(job) = next.take() {
            let Some(Delayed { job, due }) = job.run(&*self.invoker) else { break };
            if job.token().wait_until(due) {
                job.cancel();
            } else {
                next = Some(job);
            }
        }
        *self.current.lock() = None;
        drop(turn);
    }

    fn wait_until_idle(&self) {
        let mut accepted = self.accepted.lock();
        while *accepted > 0 {
            self.ended.wait(&mut accepted);
        }
    }

    /// Runs the next call of a map; false when there are no more.
    fn run_next(&self, feed: &Arc<MapFeed>) -> bool {
        if self.open.lock().is_none() {
            feed.close();
        }
        // Not accepted yet: what the user's iterator does here may be to close the executor.
        match feed.pull() {
            Pull::Run(call, promise) => match self.accept() {
                Some((_, _accepted)) => {
                    self.run(Job::new(call, promise));
                    true
                }
                None => {
                    promise.cancel();
                    feed.close();
                    false
                }
            },
            // Somebody else goes through the same list, or there is nothing to do.
            Pull::Full | Pull::Busy | Pull::Finished => false,
        }
    }
}

/// A run that was taken in and has not ended. A guard, so that it is counted down also where
/// something of the user's (a waker, say) panics on the way.
struct Accepted<'a>(&'a Inner);

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        *self.0.accepted.lock() -= 1;
        self.0.ended.notify_all();
    }
}

impl Executor for InlineExecutor {
    fn id(&self) -> &ExecutorId {
        &self.id
    }

    fn slots(&self) -> usize {
        1
    }

    fn start(&self, context: StartContext) -> BoxFuture<'_, Result<(), StartError>> {
        let mut open = self.inner.open.lock();
        let result = match &*open {
            Some(_) => Err(StartError::AlreadyStarted(self.id.clone())),
            None => {
                self.inner.aborted.store(false, Ordering::SeqCst);
                *open = Some(context.events);
                Ok(())
            }
        };
        drop(open);
        futures::future::ready(result).boxed()
    }

    fn submit(&self, call: Call) -> TaskFuture {
        let Some((events, _accepted)) = self.inner.accept() else {
            return Promise::refused(&call, &Events::default(), NOT_STARTED);
        };
        let (promise, future) = Promise::new(&call, &events);
        self.inner.run(Job::new(call, promise));
        future
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }

    fn map(&self, calls: Calls, options: MapOptions) -> FutureList {
        let Some(events) = self.inner.open.lock().clone() else {
            let (list, feed) = FutureList::new(calls, options, Events::default());
            feed.refuse(NOT_STARTED);
            return list;
        };
        let (list, feed) = FutureList::new(calls, options, events);
        if options.window.is_some() {
            // Whoever goes through the list needs one future at a time, and gets it then.
            let inner = Arc::clone(&self.inner);
            return list.driven_by(move || inner.run_next(&feed));
        }
        while self.inner.run_next(&feed) {}
        list
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async {
            *self.inner.open.lock() = None;
            // Blocking the caller is what this executor is for.
            self.inner.wait_until_idle();
        }
        .boxed()
    }

    fn abort(&self) {
        *self.inner.open.lock() = None;
        self.inner.aborted.store(true, Ordering::SeqCst);
        if let Some(current) = &*self.inner.current.lock() {
            current.cancel();
        }
        self.inner.wait_until_idle();
    }
}
