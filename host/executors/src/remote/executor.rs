//! The remote executor: it opens and closes the queue, what takes out of it and the fleet, and puts
//! calls in. How runs get to hosts is the fleet's.

use std::future::poll_fn;
use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sandmill_core::future::Promise;
use sandmill_core::{
    Call, Calls, Events, Executor, ExecutorId, FutureList, Invoker, MapOptions, Report,
    StartContext, StartError, TaskFuture,
};
use sandmill_wire::{End, EndKind};

use super::fleet::{Fleet, HostStatus};
use super::front::Front;
use super::lane::RemoteInvoker;
use super::park::wait_for;
use crate::pool::{DEFAULT_QUEUE, Rejected};

const NOT_STARTED: &str = "the executor is not started";

/// What a remote executor is made of.
#[derive(Clone)]
pub struct RemoteConfig {
    /// The kind that its id begins with: `remote`, or `pool` for one whose hosts are processes of
    /// this machine.
    pub kind: &'static str,
    /// How many submitted calls may wait. One more is refused.
    pub queue: usize,
    /// What carries runs to hosts.
    pub fleet: Arc<dyn Fleet>,
}

impl RemoteConfig {
    /// A remote executor over this fleet.
    #[must_use]
    pub fn new(fleet: Arc<dyn Fleet>) -> Self {
        Self { kind: "remote", queue: DEFAULT_QUEUE, fleet }
    }
}

/// Runs calls on other hosts (the place of Prefect's `DaskExecutor`). A caller sees the same as of a
/// pool: retries, deadlines, waits and maps are this side's, and an attempt that a host could not
/// bring to its end because it was lost is made on another.
pub struct RemoteExecutor {
    id: ExecutorId,
    config: RemoteConfig,
    /// Serves calls that may be in the cache.
    cached: Arc<dyn Invoker>,
    remote: Arc<RemoteInvoker>,
    state: Mutex<State>,
}

enum State {
    Closed,
    Starting,
    /// Kept until all has ended, so that a shutdown that takes too long can be followed by an abort.
    Open(Arc<Front>),
}

impl RemoteExecutor {
    /// An executor over a fleet. `local` makes components ready on this host; `wrap` puts around the
    /// invoker that it is given whatever serves calls that ask for the cache, and gives back the
    /// same invoker where there is no cache.
    #[must_use]
    pub fn new(
        local: Arc<dyn Invoker>,
        wrap: impl FnOnce(Arc<dyn Invoker>) -> Arc<dyn Invoker>,
        config: RemoteConfig,
    ) -> Self {
        let fleet = Arc::clone(&config.fleet);
        let remote = RemoteInvoker::new(local, move || fleet.max_memory());
        let cached = wrap(Arc::clone(&remote) as Arc<dyn Invoker>);
        let id = ExecutorId::new(config.kind);
        Self { id, config, cached, remote, state: Mutex::new(State::Closed) }
    }

    /// The hosts, as they stand.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostStatus> {
        self.config.fleet.hosts()
    }

    fn front(&self) -> Option<Arc<Front>> {
        match &*self.state.lock() {
            State::Open(front) => Some(Arc::clone(front)),
            State::Closed | State::Starting => None,
        }
    }

    /// Takes no more calls.
    fn stop(&self) -> Option<Arc<Front>> {
        let front = self.front()?;
        front.queue.stop();
        Some(front)
    }

    /// All has ended: once the fleet has too, the executor may be started again.
    async fn close(&self, front: &Arc<Front>) {
        // One at a time, and whoever comes later waits: it returns when all is closed.
        let mut closed = front.closed.lock().await;
        if *closed {
            return;
        }
        self.config.fleet.stop().await;
        front.end();
        let mut state = self.state.lock();
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(open, front)) {
            *state = State::Closed;
        }
        drop(state);
        *closed = true;
    }
}

/// Takes back that an executor is starting, where it did not come to that.
struct Starting<'a>(&'a RemoteExecutor);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Starting) {
            *state = State::Closed;
        }
    }
}

impl Executor for RemoteExecutor {
    fn id(&self) -> &ExecutorId {
        &self.id
    }

    fn slots(&self) -> usize {
        self.config.fleet.slots()
    }

    fn wanted(&self) -> usize {
        let least = self.slots().saturating_mul(2);
        self.front().map_or(least, |front| front.queue.wanted().max(least))
    }

    fn start(&self, context: StartContext) -> BoxFuture<'_, Result<(), StartError>> {
        async move {
            {
                let mut state = self.state.lock();
                if !matches!(*state, State::Closed) {
                    return Err(StartError::AlreadyStarted(self.id.clone()));
                }
                *state = State::Starting;
            }
            let starting = Starting(self);
            let front = Front::open(self.config.queue, context.events, &self.cached)
                .map_err(|error| StartError::Unavailable(format!("threads: {error}")))?;
            self.remote.open(&front.desk, &front.ends);
            if let Err(error) = self.config.fleet.start(Arc::clone(&front.desk)).await {
                front.queue.stop();
                front.end();
                return Err(error);
            }
            *self.state.lock() = State::Open(front);
            drop(starting);
            Ok(())
        }
        .boxed()
    }

    fn submit(&self, call: Call) -> TaskFuture {
        let Some(front) = self.front() else {
            return Promise::refused(&call, &Events::default(), NOT_STARTED);
        };
        let (promise, future) = Promise::new(&call, &front.queue.events);
        if let Err(Rejected { promise, why }) = front.queue.push(call, promise) {
            promise.finish(Report::unstarted(End::new(EndKind::Refused, why)));
        }
        future
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        match self.front() {
            Some(front) => poll_fn(move |context| front.queue.poll_room(context)).boxed(),
            None => futures::future::ready(()).boxed(),
        }
    }

    fn map(&self, calls: Calls, options: MapOptions) -> FutureList {
        let front = self.front();
        let events = front.as_ref().map(|front| front.queue.events.clone()).unwrap_or_default();
        let (list, feed) = FutureList::new(calls, options, events);
        match front {
            Some(front) => {
                let nudged: Weak<Front> = Arc::downgrade(&front);
                feed.on_room(move || {
                    if let Some(front) = nudged.upgrade() {
                        front.queue.nudge();
                    }
                });
                front.queue.push_feed(feed);
            }
            None => feed.refuse(NOT_STARTED),
        }
        list
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async {
            let Some(front) = self.stop() else { return };
            poll_fn(|context| front.queue.poll_idle(context)).await;
            self.close(&front).await;
        }
        .boxed()
    }

    fn abort(&self) {
        let Some(front) = self.stop() else { return };
        front.queue.cancel_all();
        front.wait_until_idle();
        wait_for(self.close(&front));
    }
}

impl Drop for RemoteExecutor {
    fn drop(&mut self) {
        self.abort();
    }
}
