//! Values as MessagePack: what a task takes and gives. Which value belongs to which parameter is
//! decided in [`crate::arguments`].

mod decode;
mod encode;
#[cfg(not(target_family = "wasm"))]
mod join;

#[cfg(not(target_family = "wasm"))]
pub(crate) use decode::split_array;
pub(crate) use decode::{DecodeFault, decode, describe_value, skip_value};
pub(crate) use encode::{ArrayEncoder, encode};
#[cfg(not(target_family = "wasm"))]
pub(crate) use join::{join, join_array};
