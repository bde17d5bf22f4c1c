//! What is going on, made from events and from nothing else: counters that the observer keeps,
//! and the threads that show them.

mod board;
mod follow;
mod hooks;
mod live;
mod plain;
mod screen;
mod stage;
mod summary;

pub(crate) use board::{Board, Failed, Running, Watcher};
pub(crate) use hooks::{HookEnd, is_hook};
pub(crate) use screen::{Screen, Show, log_line};
pub(crate) use stage::{Counts, StageView};
pub(crate) use summary::summary_lines;
