//! The remote executor over an engine, with a real NATS server: that it keeps what all executors
//! promise, whatever becomes of servers and workers.
#![expect(clippy::print_stdout, reason = "rates are for whoever runs this by hand")]

mod answers;
#[path = "../retries/attempts.rs"]
mod attempts;
mod cluster;
#[path = "../retries/crowds.rs"]
mod crowds;
mod failures;
mod maker;
mod poison;
mod security;
mod server;
mod sharing;
#[path = "../retries/support.rs"]
mod support;
#[path = "../executors/table.rs"]
mod table;
#[path = "../retries/taken_up.rs"]
mod taken_up;
#[path = "../retries/waits.rs"]
mod waits;
