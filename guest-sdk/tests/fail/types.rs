//! Types that do not travel.

#![allow(unused_variables)]

use sandmill_guest::task;

struct Opaque;

#[derive(sandmill_guest::serde::Deserialize, sandmill_guest::schemars::JsonSchema)]
#[serde(crate = "sandmill_guest::serde")]
#[schemars(crate = "sandmill_guest::schemars")]
struct ReadOnly;

#[task]
fn parameter(value: Opaque) {}

#[task]
fn default(#[default(ReadOnly)] value: ReadOnly) {}

#[task]
fn result() -> Opaque {
    Opaque
}

#[task]
fn result_in_result() -> Result<Opaque, sandmill_guest::Failure> {
    Ok(Opaque)
}

#[task]
fn error() -> Result<u32, String> {
    Ok(1)
}

fn main() {}
