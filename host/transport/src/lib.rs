//! What crosses between hosts: the messages, which are plain data, and what carries them. Where a
//! run is placed is for the scheduler, and what becomes of a message for the executors.
#![forbid(unsafe_code)]

pub mod message;
