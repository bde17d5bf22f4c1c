//! What the executors of one process promise of runs that are tried again, with a scripted invoker in place of
//! the sandbox.

mod attempts;
mod crowds;
#[path = "../executors/maker.rs"]
mod maker;
mod support;
mod taken_up;
mod waits;
