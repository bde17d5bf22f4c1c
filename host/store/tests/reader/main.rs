//! Reading a store through the face that people's commands use, while it is written and after.

mod common;
mod events;
mod lists;
mod opening;
mod shown;
