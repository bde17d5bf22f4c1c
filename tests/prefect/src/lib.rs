//! What the scenarios stand on: what a scenario is, and the stage it plays on. The scenarios
//! themselves are in `tests`.
#![forbid(unsafe_code)]

mod scenario;
mod stage;

pub use scenario::Scenario;
pub use stage::{Gate, HELD, Held, LONG, SHORT, Stage};
