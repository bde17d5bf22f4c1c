//! The scheduler as its users see it: each rule by itself, and all of them over random events.

mod adapting;
mod fleet;
mod losing;
mod placing;
mod random;
mod stealing;
mod waiting;
