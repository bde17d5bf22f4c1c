//! What can be asked of a flow that runs: to end, to be left for later, and to hurry. How it does
//! so is the runner's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Waker};

use parking_lot::Mutex;
use sandmill_core::CancelToken;
use sandmill_wire::RunId;

/// What can be asked of one flow's run. Tokens only ever go from unset to set.
pub(crate) struct Signals {
    /// Ends the flow for good.
    pub(crate) flow: CancelToken,
    /// Stops the calls under way: set with `flow`, and also when the flow is interrupted.
    pub(crate) calls: CancelToken,
    /// Stops the flow so that it can be taken up again.
    pub(crate) interrupt: CancelToken,
    /// Stops what runs after the flow's tasks: the hook on exit.
    pub(crate) hurry: CancelToken,
    /// Gives up waiting for the journal.
    pub(crate) leave: CancelToken,
    why: Mutex<Option<Arc<str>>>,
    asked: AtomicU8,
    single: Mutex<Single>,
}

/// Runs of the flow that are to be cancelled one by one.
#[derive(Default)]
struct Single {
    runs: Vec<RunId>,
    /// Whoever takes notice of them.
    waker: Option<Waker>,
}

/// Requests to cancel single runs that wait to be taken notice of; a flow takes notice at once
/// unless it waits for its journal. One more is not taken.
const MAX_SINGLE: usize = 100_000;

impl Signals {
    pub(crate) fn new(flow: CancelToken) -> Arc<Self> {
        Arc::new(Self {
            calls: flow.child(),
            flow,
            interrupt: CancelToken::new(),
            hurry: CancelToken::new(),
            leave: CancelToken::new(),
            why: Mutex::default(),
            asked: AtomicU8::new(0),
            single: Mutex::default(),
        })
    }

    /// Why the flow was interrupted.
    pub(crate) fn why(&self) -> Arc<str> {
        self.why.lock().clone().unwrap_or_else(|| "no reason given".into())
    }

    /// Asks that one run of the flow, or of the flows that it calls, be cancelled. One that is not
    /// under way is none.
    pub(crate) fn cancel_run(&self, run: RunId) {
        let mut single = self.single.lock();
        if single.runs.len() < MAX_SINGLE {
            single.runs.push(run);
        }
        let waker = single.waker.take();
        drop(single);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the runs that are to be cancelled. Whoever asks is woken when there are more.
    pub(crate) fn take_single(&self, context: &Context<'_>) -> Vec<RunId> {
        let mut single = self.single.lock();
        if !single.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            single.waker = Some(context.waker().clone());
        }
        std::mem::take(&mut single.runs)
    }

    /// Takes notice of a request to end. The second one stops hooks, the third the journal.
    pub(crate) fn asked_to_end(&self) {
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => {}
            1 => _ = self.hurry.cancel(),
            _ => _ = self.leave.cancel(),
        }
    }

    /// Interrupts the flow. The second time, nothing is waited for any more.
    pub(crate) fn interrupt(&self, why: Arc<str>) {
        self.why.lock().get_or_insert(why);
        // First of all: whoever sees a call end because of this has to see why.
        if self.interrupt.cancel() {
            self.hurry.cancel();
            self.calls.cancel();
        } else {
            self.leave.cancel();
        }
    }
}
