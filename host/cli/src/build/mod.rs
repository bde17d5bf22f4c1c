//! Building the components that a flow names: with cargo, or with a command of the flow's own.

mod cargo;
mod command;
mod toolchain;

pub(crate) use cargo::build_crate;
pub(crate) use command::run_command;
pub(crate) use toolchain::{Toolchain, WASM_TARGETS};
