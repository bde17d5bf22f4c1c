//! The scheduler: its state and what it answers to events and questions. What it keeps of a host,
//! a class or a run lies beside this folder.

mod explain;
mod pending;
mod place;
mod query;
mod state;
mod steal;
mod trouble;

pub use state::Scheduler;
