//! The pool as an executor: it opens and closes the queue and the slots, and puts calls in.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sandmill_core::future::Promise;
use sandmill_core::{
    Call, Calls, Events, Executor, ExecutorId, FutureList, Invoker, MapOptions, Report,
    StartContext, StartError, TaskFuture,
};
use sandmill_wire::{End, EndKind};

use super::config::{MAX_DELAYED, MAX_SLOTS, PoolConfig};
use super::out::this_place;
use super::queue::{Queue, Rejected};
use super::{slots, timer};

const NOT_STARTED: &str = "the pool is not started";

/// Runs calls in slots of its own, each a thread of this process with an instance of its own a run
/// (the place of Prefect's `LocalDaskExecutor(scheduler="threads")`). Calls start as soon as a
/// slot is free, and each runs once for each of its attempts. A run that is tried again later gives
/// its slot back until then.
pub struct PoolExecutor {
    id: ExecutorId,
    invoker: Arc<dyn Invoker>,
    config: PoolConfig,
    /// Kept until all has ended, so that a shutdown that takes too long can be followed by an abort.
    open: Mutex<Option<Arc<Open>>>,
}

struct Open {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl PoolExecutor {
    /// A pool that performs its calls with `invoker`. Slots are held within 1 and [`MAX_SLOTS`].
    #[must_use]
    pub fn new(invoker: Arc<dyn Invoker>, config: PoolConfig) -> Self {
        let config = PoolConfig { slots: config.slots.clamp(1, MAX_SLOTS), ..config };
        Self { id: ExecutorId::new("pool"), invoker, config, open: Mutex::new(None) }
    }

    fn queue(&self) -> Option<Arc<Queue>> {
        self.open.lock().as_ref().map(|open| Arc::clone(&open.queue))
    }

    /// Takes no more calls.
    fn stop(&self) -> Option<Arc<Open>> {
        let open = self.open.lock().clone()?;
        open.queue.stop();
        Some(open)
    }

    /// All has ended: the executor may be started again.
    fn closed(&self, open: &Arc<Open>) {
        let mut current = self.open.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, open)) {
            *current = None;
        }
        drop(current);
        for thread in std::mem::take(&mut *open.threads.lock()) {
            // A slot that is in a user's iterator, or that is this very thread, ends by itself.
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

impl Executor for PoolExecutor {
    fn id(&self) -> &ExecutorId {
        &self.id
    }

    fn slots(&self) -> usize {
        self.config.slots
    }

    fn start(&self, context: StartContext) -> BoxFuture<'_, Result<(), StartError>> {
        let mut open = self.open.lock();
        let result = if open.is_some() {
            Err(StartError::AlreadyStarted(self.id.clone()))
        } else {
            let slots = self.config.slots;
            let capacity = self.config.queue;
            let queue = Arc::new(Queue::new(capacity, slots, MAX_DELAYED, context.events));
            let threads = timer::spawn(&queue).and_then(|timer| {
                let mut threads = slots::spawn(slots, &queue, &self.invoker)?;
                threads.push(timer);
                Ok(threads)
            });
            match threads {
                Ok(threads) => {
                    *open = Some(Arc::new(Open { queue, threads: Mutex::new(threads) }));
                    Ok(())
                }
                Err(error) => {
                    Err(StartError::Unavailable(format!("{slots} threads for slots: {error}")))
                }
            }
        };
        drop(open);
        futures::future::ready(result).boxed()
    }

    fn submit(&self, call: Call) -> TaskFuture {
        let Some(queue) = self.queue() else {
            return Promise::refused(&call, &Events::default(), NOT_STARTED);
        };
        let (promise, future) = Promise::new(&call, &queue.events);
        if let Err(Rejected { promise, why }) = queue.push(call, promise) {
            promise.finish(Report::unstarted(End::new(EndKind::Refused, why)));
        }
        future
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        match self.queue() {
            Some(queue) => poll_fn(move |context| queue.poll_room(context)).boxed(),
            None => futures::future::ready(()).boxed(),
        }
    }

    fn map(&self, calls: Calls, options: MapOptions) -> FutureList {
        let queue = self.queue();
        let events = queue.as_ref().map(|queue| queue.events.clone()).unwrap_or_default();
        let (list, feed) = FutureList::new(calls, options, events);
        match queue {
            Some(queue) => {
                let nudged: Weak<Queue> = Arc::downgrade(&queue);
                feed.on_room(move || {
                    if let Some(queue) = nudged.upgrade() {
                        queue.nudge();
                    }
                });
                queue.push_feed(feed);
            }
            None => feed.refuse(NOT_STARTED),
        }
        list
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async {
            let Some(open) = self.stop() else { return };
            poll_fn(|context| open.queue.poll_idle(context)).await;
            self.closed(&open);
        }
        .boxed()
    }

    fn abort(&self) {
        let Some(open) = self.stop() else { return };
        open.queue.cancel_all();
        open.queue.wait_until_idle(this_place(&open.queue));
        self.closed(&open);
    }
}

impl Drop for PoolExecutor {
    fn drop(&mut self) {
        self.abort();
    }
}
