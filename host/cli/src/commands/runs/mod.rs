//! `sandmill runs`: what is known of runs that are under way or past, and what can be done to them.

mod args;
mod cancel;
mod command;
mod counts;
mod delete;
mod events;
mod explain;
mod find;
mod json;
mod list;
mod logs;
mod names;
mod result;
mod resume;
mod show;
mod show_run;
mod tree;
mod waiting;
mod watch;
mod words;

pub(crate) use args::RunsArgs;
pub(crate) use command::runs;
pub(crate) use json::flow_record;
pub(crate) use resume::go_on;
pub(crate) use watch::end_of_past;
