//! The executor that runs calls on other hosts, and what carries them there.

mod desk;
pub mod direct;
mod ends;
pub mod engine;
mod executor;
mod fleet;
mod front;
mod lane;
mod park;
mod session;
mod stages;
mod ticket;

pub use desk::Desk;
pub use executor::{RemoteConfig, RemoteExecutor};
pub use fleet::{Fleet, HostState, HostStatus};
pub use lane::MAX_LANES;
pub use ticket::Ticket;
