//! The messages between a coordinator (whoever has runs to make) and a worker (whoever has slots).
//! Plain data: the same ones go over a direct link and over an engine, as MessagePack maps by
//! field name, so that a field can be added without breaking the other side.

mod greeting;
mod order;
mod payload;
mod report;
mod status;

pub use greeting::{
    Goodbye, Hello, MAX_LABELS, MAX_RESOURCES, PROTOCOL, PROTOCOL_LEAST, Versions, Welcome,
    WorkerId,
};
pub use order::{LeaseId, Order, RunLease, Spec, ToWorker};
pub use payload::{MAX_INLINE, Payload};
pub use report::{Ending, FromWorker, HandBack, Load, Note, Noted, RunReport};
pub use status::WorkerStatusReport;
