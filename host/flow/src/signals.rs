//! What can be asked of a flow that runs: to end, to be left for later, and to hurry. How it does
//! so is the runner's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use sandmill_core::CancelToken;

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
}

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
        })
    }

    /// Why the flow was interrupted.
    pub(crate) fn why(&self) -> Arc<str> {
        self.why.lock().clone().unwrap_or_else(|| "no reason given".into())
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
