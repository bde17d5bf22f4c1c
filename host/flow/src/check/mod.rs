//! Checks a flow file as a whole, before anything runs, and makes a plan of it.

mod checker;
mod edges;
mod expansion;
mod given;
mod grants;
mod names;
mod schema;

pub use given::{ComponentSource, Given};
