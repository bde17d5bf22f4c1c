//! Checks a flow file as a whole, before anything runs, and makes a plan of it.

mod called;
mod checker;
mod edges;
mod expansion;
mod given;
mod grants;
mod hooks;
mod names;
mod results;
mod schema;

pub use given::{ComponentSource, Given};
