//! The cache of results, through its invoker and a store: what is found, what is not and why.

mod common;
mod equal_calls;
mod found;
mod kept;
