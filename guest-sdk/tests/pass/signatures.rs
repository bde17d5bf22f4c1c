//! Everything a signature may hold.

#![deny(warnings)]
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;

use sandmill_guest::{Bytes, Failure, task};

type Outcome = Result<u32, Failure>;

#[task]
fn nothing() {}

/// Documented,
/// in two lines.
#[task]
pub fn plain(number: u32) -> u32 {
    number
}

#[task(name = "with.other-name")]
pub(crate) fn renamed(mut items: Vec<String>, by_key: BTreeMap<String, Bytes>) -> Vec<String> {
    items.extend(by_key.into_keys());
    items
}

#[task]
fn aliased(value: Option<u32>) -> Outcome {
    value.ok_or_else(|| Failure::new("none", "no value"))
}

#[task]
fn foreign_error(path: String) -> io::Result<u64> {
    path.parse().map_err(io::Error::other)
}

#[task]
fn defaults(
    /// Documented.
    #[default(128)]
    width: u32,
    #[default]
    title: String,
    #[default(vec![1, 2])] list: Vec<u8>,
) -> (u32, String, usize) {
    (width, title, list.len())
}

/// A parameter may be called like its task, or like what the macro writes.
#[task]
fn arguments(arguments: u32, parameters: u32, value_0: u32, r#type: u32) -> u32 {
    arguments + parameters + value_0 + r#type
}

#[task]
fn r#match(borrowed_forever: u8) -> &'static str {
    if borrowed_forever > 0 { "yes" } else { "no" }
}

#[task]
#[cfg(any())]
fn configured_away() -> NoSuchType {}

mod images {
    #[sandmill_guest::task]
    pub fn crop(image: sandmill_guest::Bytes) -> sandmill_guest::Bytes {
        image
    }

    #[sandmill_guest::task(name = "rotate")]
    pub fn turn(image: sandmill_guest::Bytes) -> sandmill_guest::Bytes {
        image
    }
}
use images::*;

sandmill_guest::export!(
    nothing, plain, renamed, aliased, foreign_error, defaults, arguments, r#match, crop,
    self::images::turn,
);

fn main() {
    assert_eq!(plain(1), 1);
    assert_eq!(defaults(1, String::new(), Vec::new()).0, 1);
}
