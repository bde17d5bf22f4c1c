//! The real binary on several hosts, each in a network namespace of its own: workers that are killed
//! and stopped, links that are cut, slowed and deaf, coordinators that are killed and strangers that
//! come. The tests themselves are in `tests`.
#![forbid(unsafe_code)]

mod binary;
mod certificates;
pub mod history;
mod inside;
mod metrics;
mod names;
mod network;
mod process;
mod tool;
mod trial;
mod worker;
mod workload;

pub use certificates::Certificates;
pub use inside::inside;
pub use metrics::{Metrics, get};
pub use network::{Deaf, Network};
pub use process::{Ended, Process};
pub use rustix::process::Signal;
pub use tool::may_make_networks;
pub use trial::{HEALED_WITHIN, LONG, PAST_THE_LEASE, Trial, count};
pub use worker::{PORT, Worker, WorkerSetup};
pub use workload::{MANY, Workload, marks};
