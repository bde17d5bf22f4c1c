//! `sandmill cache`: the results that are kept for later runs of the same call.

mod args;
mod clear;
mod command;
mod explain;
mod list;

pub(crate) use args::CacheArgs;
pub(crate) use command::cache;
