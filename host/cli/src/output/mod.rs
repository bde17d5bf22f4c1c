//! Everything that is written: results to stdout, talk and progress to stderr.

mod canvas;
pub(crate) mod escape;
mod failure;
mod json;
pub(crate) mod moment;
mod pretty;
pub(crate) mod progress;
mod results;
mod table;
mod ui;

pub(crate) use failure::{describe_outcome, short};
pub(crate) use json::{OutcomeJson, StateJson, optional_raw};
pub(crate) use pretty::value_for_people;
pub(crate) use results::{Results, cannot_write, is_broken_pipe};
pub(crate) use table::Table;
pub(crate) use ui::{Ui, warning};
