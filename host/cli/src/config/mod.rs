//! The configuration: which keys there are, the layers that set them, and what comes of it.

mod effective;
mod environment;
mod file;
mod key;
mod layers;

pub(crate) use effective::{Config, ExecutorKind, LogChoice};
pub(crate) use key::{KEYS, Key, Setting};
pub(crate) use layers::{Layers, Origin};
