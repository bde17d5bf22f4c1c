//! Values as MessagePack: what a task takes and gives. Which value belongs to which parameter is
//! decided in [`crate::arguments`].

mod decode;
mod encode;

pub(crate) use decode::{DecodeFault, decode, describe_value, skip_value};
pub(crate) use encode::encode;
