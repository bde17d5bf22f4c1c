//! The flows that a host runs and writes down: they can be cancelled by other processes, and are
//! interrupted, not cancelled, when their host goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use sandmill_flow::{FlowRunFuture, FlowStopper};
use sandmill_store::{Store, StoreError};
use sandmill_wire::RunId;

use super::cancel::Canceller;
use super::error::FlowError;

/// How often requests to cancel flows are looked for while any runs: each 100 ms.
pub const CANCEL_POLL: Duration = Duration::from_millis(100);
/// How long a host that is dropped waits for its flows to be written down as interrupted: 5 s.
pub const FLOWS_END_GRACE: Duration = Duration::from_secs(5);

/// What the history says of a flow that was cancelled while nobody ran it.
const ASKED: &str = "cancelled by request";
/// What it says of those that a host left behind.
const HOST_CLOSED: &str = "the host that ran the flow was closed";

/// The flows that a host runs and writes down.
#[derive(Clone, Default)]
pub(crate) struct Flows(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Told when a flow has ended, and when nobody is to wait any more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: HashMap<RunId, FlowStopper>,
    watcher: Option<JoinHandle<()>>,
    /// Whether the thread goes on looking.
    watched: bool,
    closed: bool,
}

impl Flows {
    /// Takes notice of a flow until it has ended, and looks for requests to cancel it.
    pub(crate) fn add(&self, store: &Store, future: &FlowRunFuture, canceller: &Canceller) {
        let run = future.id();
        {
            let mut state = self.0.state.lock();
            state.running.insert(run, future.stopper());
            if state.closed {
                future.interrupt(HOST_CLOSED);
            }
            if !state.watched && !state.closed {
                state.watched = true;
                let (flows, store, canceller) = (self.clone(), store.clone(), canceller.clone());
                let watch = move || flows.watch(&store, &canceller);
                let thread = std::thread::Builder::new().name("sandmill-cancels".to_owned());
                // Without a thread, flows cannot be cancelled from elsewhere: the next one tries.
                state.watcher = thread.spawn(watch).ok();
                state.watched = state.watcher.is_some();
            }
        }
        let flows = self.clone();
        // Called here and now where it has ended already.
        future.on_done(move |future| flows.ended(future.id()));
    }

    fn ended(&self, run: RunId) {
        self.0.state.lock().running.remove(&run);
        self.0.changed.notify_all();
    }

    fn watch(&self, store: &Store, canceller: &Canceller) {
        loop {
            {
                let mut state = self.0.state.lock();
                if state.running.is_empty() || state.closed {
                    state.watched = false;
                    return;
                }
                self.0.changed.wait_for(&mut state, CANCEL_POLL);
            }
            for run in store.cancel_requests() {
                let stopper = self.0.state.lock().running.get(&run).cloned();
                match stopper {
                    Some(stopper) => stopper.cancel(),
                    None => self.cancel_other(store, run, canceller),
                }
            }
        }
    }

    /// Cancels what is not a flow that runs here.
    fn cancel_other(&self, store: &Store, run: RunId, canceller: &Canceller) {
        // A flow that nobody runs: nobody else can write that it ends, for this process holds the
        // store. One that has ended meanwhile is no loss.
        match canceller.cancel_unheld(store, run, ASKED) {
            Ok(Some(future)) => self.add(store, &future, canceller),
            Err(FlowError::Store(StoreError::NoSuchFlow { .. })) => {
                // Then it is a run of one of them, or never was.
                let stoppers: Vec<FlowStopper> =
                    self.0.state.lock().running.values().cloned().collect();
                stoppers.iter().for_each(|stopper| stopper.cancel_run(run));
            }
            Ok(None) | Err(_) => {}
        }
    }

    /// Waits until none runs any more, as long as that takes.
    pub(crate) fn wait(&self) {
        let mut state = self.0.state.lock();
        while !state.running.is_empty() {
            self.0.changed.wait(&mut state);
        }
    }

    /// Interrupts what runs still, and waits for it to be written down, up to [`FLOWS_END_GRACE`].
    /// `stop` ends the runs under way.
    pub(crate) fn close(&self, stop: impl FnOnce()) {
        let mut state = self.0.state.lock();
        state.closed = true;
        for stopper in state.running.values() {
            stopper.interrupt(HOST_CLOSED);
        }
        drop(state);
        stop();
        let deadline = Instant::now() + FLOWS_END_GRACE;
        let mut state = self.0.state.lock();
        while !state.running.is_empty() {
            if self.0.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let watcher = state.watcher.take();
        drop(state);
        self.0.changed.notify_all();
        if let Some(watcher) = watcher {
            // It let go of the store when this returns. One that panicked has too.
            let _ended = watcher.join();
        }
    }
}
