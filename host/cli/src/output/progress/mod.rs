//! What is going on, made from events and from nothing else: counters that the observer keeps,
//! and the threads that show them.

mod board;
mod live;
mod plain;
mod screen;
mod summary;

pub(crate) use board::{Board, Counts, Failed, StageView, Watcher};
pub(crate) use screen::{Screen, Show};
pub(crate) use summary::summary_lines;
