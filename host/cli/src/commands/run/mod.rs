//! `sandmill run`, and what it shares with whatever else runs flows to their end.

mod args;
mod command;
mod component;
mod drive;
mod flow_file;
mod report;
mod same_key;

pub(crate) use args::RunArgs;
pub(crate) use command::{flow_error, run, under};
pub(crate) use drive::{Drive, Place};
pub(crate) use flow_file::parameters;
pub(crate) use report::{FlowEnd, report};
