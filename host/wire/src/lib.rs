//! What every part of Sandmill says to every other: MessagePack values that are walked and never
//! built, the ids of runs and components, and how a run ended. No I/O, no Wasm, no clock beyond
//! what an id needs.
#![forbid(unsafe_code)]

mod failure;
mod ids;
mod outcome;
pub mod value;

pub use failure::Failure;
pub use ids::{Digest, ParseIdError, RunId};
pub use outcome::{End, EndKind, Outcome, TrapKind};
pub use value::{
    ArgumentTemplate, Bounds, CompactValue, Elements, Entries, JsonError, Kind, MapBuilder, Value,
    ValueError,
};
