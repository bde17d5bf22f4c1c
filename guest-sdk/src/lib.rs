//! Write tasks for [Sandmill](https://github.com/sandmill/sandmill): plain Rust functions that a
//! host runs as sandboxed WebAssembly components.
//!
//! What lives here: the [`macro@task`] and [`export!`] macros, the types a task's signature uses
//! ([`Bytes`], [`Failure`]), and what a running task may ask or tell its host ([`context`],
//! [`mod@log`]). What does not: anything of the host.
//!
//! ```
//! use sandmill_guest::{Failure, log, task};
//!
//! /// Counts the words of a text.
//! #[task]
//! pub fn count_words(
//!     /// The text to look at.
//!     text: String,
//!     /// Words shorter than this do not count.
//!     #[default(1)]
//!     shortest: usize,
//! ) -> Result<usize, Failure> {
//!     if shortest == 0 {
//!         return Err(Failure::new("bad-length", "`shortest` must be at least 1"));
//!     }
//!     log::info!("{} bytes to look at", text.len());
//!     Ok(text.split_whitespace().filter(|word| word.chars().count() >= shortest).count())
//! }
//!
//! sandmill_guest::export!(count_words);
//!
//! // A task stays a function:
//! assert_eq!(count_words("to be or not".to_owned(), 3).unwrap(), 1);
//! ```
//!
//! Built as a `cdylib` for `wasm32-wasip2`, this is a component that exports
//! `sandmill:task/runner@0.1.0`. On any other target the same code compiles to ordinary functions;
//! [`testing`] has what their unit tests need.
//!
//! # What a signature may hold
//!
//! | | |
//! |---|---|
//! | parameters | by value; every type with [`serde::Deserialize`] and [`schemars::JsonSchema`] |
//! | `Option<T>` | may be left out: `None` |
//! | `#[default(expression)]` | may be left out: the expression's value, shown in the schema |
//! | result | `T`, or `Result<T, E>` for any `E: Into<Failure>`; `T` with [`serde::Serialize`] and [`schemars::JsonSchema`] |
//!
//! Values travel as MessagePack, and structs as maps by field name. Use [`Bytes`] for binary data:
//! a `Vec<u8>` travels as a list of numbers. Integers beyond 64 bits have no MessagePack form, so
//! returning one fails with kind `invalid-result`; return it as a string.
//!
//! # Own types
//!
//! Add `serde` (with its `derive` feature) and `schemars` 1 to the guest's dependencies and derive
//! `serde::Serialize`, `serde::Deserialize` and `schemars::JsonSchema`. To stay with one
//! dependency, derive through this crate's re-exports and say so:
//!
//! ```
//! #[derive(sandmill_guest::serde::Deserialize, sandmill_guest::schemars::JsonSchema)]
//! #[serde(crate = "sandmill_guest::serde")]
//! #[schemars(crate = "sandmill_guest::schemars")]
//! pub struct Size {
//!     pub width: u32,
//!     pub height: u32,
//! }
//! ```

#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as sandmill_guest;

mod arguments;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
mod bytes;
mod codec;
pub mod context;
mod descriptor;
mod export;
mod failure;
pub mod flow;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod flow_bindings;
pub mod log;
mod task;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use bytes::Bytes;
pub use failure::Failure;
pub use sandmill_guest_macros::{export, flow, task};
pub use {schemars, serde};

/// The quick start of the crate's page, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What generated code names. Not for authors, and free to change with any release.
#[doc(hidden)]
pub mod __rt {
    pub use crate::arguments::Arguments;
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::{self, export as export_component};
    pub use crate::descriptor::{Descriptor, Parameters, TaskDescriptor};
    pub use crate::export::{
        Component, Entry, assert_new_name, assert_no_flow, describe, flows, run,
    };
    #[cfg(not(target_family = "wasm"))]
    pub use crate::export::{export_component, export_flows};
    pub use crate::failure::TaskError;
    pub use crate::flow::{
        Argument, DefaultedArgument, DefaultedMapArgument, FutureList, MapArgument, Options,
        OwnCall, TaskFuture, assert_maps, run_flow,
    };
    #[cfg(target_family = "wasm")]
    pub use crate::flow_bindings::{self, export_flows};
    pub use crate::task::{
        Flow, PlainOutput, PlainType, ReturnType, Returned, Task, TaskDefault, TaskParameter,
        TaskResult, encode_result,
    };
}
