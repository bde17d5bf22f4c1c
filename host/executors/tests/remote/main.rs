//! The remote executor: that it keeps what all executors promise, and what hosts add to that.

#[path = "../retries/attempts.rs"]
mod attempts;
#[path = "../retries/crowds.rs"]
mod crowds;
mod hosts;
mod links;
mod maker;
mod played;
mod plays;
mod sockets;
#[path = "../retries/support.rs"]
mod support;
#[path = "../executors/table.rs"]
mod table;
#[path = "../retries/taken_up.rs"]
mod taken_up;
#[path = "../retries/waits.rs"]
mod waits;
mod ways;
