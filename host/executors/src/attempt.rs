//! One attempt at a call that a slot has taken: what the executors of this crate share.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sandmill_core::future::Promise;
use sandmill_core::{Attempt, Call, Invoker, Report};
use sandmill_wire::{End, EndKind};

/// The number of the only attempt: a run that failed is not tried again.
const FIRST: u32 = 1;

/// Runs `call` on this thread and ends its run, unless the run was cancelled while it waited.
pub(crate) fn run(invoker: &dyn Invoker, call: &Call, promise: Promise) {
    if let Some(why) = &call.refusal {
        promise.finish(Report::unstarted(End::new(EndKind::Refused, &**why)));
        return;
    }
    if !promise.start() {
        return;
    }
    let attempt = Attempt {
        run: promise.run(),
        number: FIRST,
        call,
        cancel: promise.cancel_token(),
        events: promise.events(),
    };
    // An invoker does not panic; one that does must not take the slot with it.
    let report = catch_unwind(AssertUnwindSafe(|| invoker.invoke(attempt))).unwrap_or_else(|_| {
        Report::unstarted(End::new(EndKind::HostError, "the invoker panicked"))
    });
    promise.finish(report);
}
