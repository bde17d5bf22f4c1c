//! What both executors promise of runs that are tried again, with a scripted invoker in place of
//! the sandbox.

mod attempts;
mod crowds;
mod support;
mod taken_up;
mod waits;
