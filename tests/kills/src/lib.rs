//! Flows whose process is killed, taken up again, killed again, and what has to hold then: no run
//! that the journal calls completed is done a second time, none is lost, and the result is the same
//! as if nobody had been killed. Runs are counted by the files that they leave in a folder, which no
//! guest can take back.
#![forbid(unsafe_code)]

mod random;
mod trial;
mod workload;

pub use random::Random;
pub use trial::{Kill, Tally, Trial};
pub use workload::Workload;
