//! An order that has not gone to its worker. What is said of it only when it goes (the number of its
//! stage, the time that is left) is not known before.

use std::sync::Arc;
use std::time::Instant;

use sandmill_transport::message::{Order, Payload, RunLease};

use super::super::stages::Stage;

/// An order that has not gone to its worker.
pub(super) struct Outgoing {
    pub(super) of: RunLease,
    pub(super) stage: Arc<Stage>,
    pub(super) attempt: u32,
    pub(super) arguments: Payload,
    pub(super) index: Option<u64>,
    pub(super) deadline: Option<Instant>,
}

impl Outgoing {
    /// As it goes now, to a worker that knows its stage by this number.
    pub(super) fn order(self, spec: u32, now: Instant) -> Order {
        Order {
            run: self.of.run,
            lease: self.of.lease,
            spec,
            attempt: self.attempt,
            arguments: self.arguments,
            index: self.index,
            time_left: self.deadline.map(|deadline| deadline.saturating_duration_since(now)),
        }
    }

    /// How many bytes it is in a message, roughly.
    pub(super) fn size(order: &Order) -> usize {
        const BASE: usize = 160;
        match &order.arguments {
            Payload::Inline(bytes) => BASE + bytes.len(),
            Payload::Blob { .. } => BASE,
        }
    }
}
