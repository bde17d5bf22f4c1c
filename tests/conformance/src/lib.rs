//! What the conformance tests stand on: the executors under test, a bench that runs calls on one of
//! them and keeps all that is told of the runs, and components written as WebAssembly text. The
//! cases themselves are in `tests`.
#![forbid(unsafe_code)]

mod bench;
mod cache;
mod executors;
mod fleets;
mod nats_server;
mod processes;
mod record;
mod text;

pub use bench::{Bench, LONG, Ran};
pub use executors::{Alone, EXECUTORS, ExecutorUnderTest};
pub use fleets::Others;
pub use processes::Held;
pub use record::Record;
pub use text::{TextGuest, component_of_module};

use cache::cache_directory;
