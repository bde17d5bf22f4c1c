//! What crosses between hosts: the messages, which are plain data, and what carries them. Where a
//! run is placed is for the scheduler, and what becomes of a message for the executors.
#![forbid(unsafe_code)]

mod address;
pub mod cert;
pub mod direct;
pub mod engine;
pub mod frame;
mod limits;
pub mod message;
pub mod security;
pub mod token;

pub use address::{Address, AddressError, MAX_SOCKET_PATH};
pub use limits::*;
