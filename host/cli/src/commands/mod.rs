//! The commands, one a file: their arguments, and what they do.

pub(crate) mod cache;
pub(crate) mod call;
pub(crate) mod cert;
pub(crate) mod compile_child;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod inspect;
pub(crate) mod map;
pub(crate) mod new;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod verify;
pub(crate) mod worker;
pub(crate) mod workers;
