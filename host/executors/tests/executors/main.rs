//! What the executors of one process promise.

mod maker;
mod table;
