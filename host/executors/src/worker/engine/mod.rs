//! A worker at an engine: it pulls what it can make and has a slot for, and answers through the
//! engine's streams. What a run is, and what becomes of orders, is the worker's own.

mod config;
mod feed;
mod hands;
mod items;
mod publisher;
mod puller;
mod serve;
mod supply;
mod told;
mod turns;

pub use config::{
    BEAT, EngineServeConfig, FEED_IDLE, GIVE_BACK_PAUSE, LIST_EVERY, LOOK_EVERY, PULL_WAIT,
    SAY_AGAIN, TURN_WAIT,
};
pub(crate) use hands::lacks;
pub use serve::{enlist, list_workers, serve};
