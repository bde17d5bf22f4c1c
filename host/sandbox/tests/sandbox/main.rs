//! What the sandbox gives to guests, what it keeps from them, and how it tells of their ends.

mod compile_cache;
mod contract;
mod flows;
mod hermetic;
mod keeping;
mod outcomes;
#[path = "../support/mod.rs"]
mod support;
