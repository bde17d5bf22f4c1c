//! Checks a flow file as a whole, before anything runs, and makes a plan of it.

mod arguments;
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

pub use arguments::{argument_fault, argument_faults, may_have_parameter};
pub use given::{ComponentSource, Given};
