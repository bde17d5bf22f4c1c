//! What the conformance tests stand on: the executors under test, a bench that runs calls on one of
//! them and keeps all that is told of the runs, and components written as WebAssembly text. The
//! cases themselves are in `tests`.
#![forbid(unsafe_code)]

mod bench;
mod executors;
mod record;
mod text;

pub use bench::{Bench, LONG, Ran};
pub use executors::{Alone, EXECUTORS, ExecutorUnderTest, Others};
pub use record::Record;
pub use text::{TextGuest, component_of_module};
