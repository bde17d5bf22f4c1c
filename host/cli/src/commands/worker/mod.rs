//! `sandmill worker`: slots of this host, served to coordinators until it is told to leave.

mod args;
mod command;
mod http;
mod leave;
mod lines;
mod metrics;
mod watch;

pub(crate) use args::WorkerArgs;
pub(crate) use command::worker;
