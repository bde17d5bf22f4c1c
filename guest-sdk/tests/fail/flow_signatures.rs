//! Functions that cannot be flows; all that is wrong with one is said at once.

#![allow(unused_variables)]

use sandmill_guest::flow;

struct Host;

impl Host {
    #[flow]
    fn method(&self) -> u32 {
        1
    }
}

#[flow]
async fn waiting(a: u32) -> u32 {
    a
}

#[flow]
fn generic<T>(value: T) -> T {
    value
}

#[flow]
fn borrowing(text: &str) {}

#[flow(nam = "a")]
fn unknown_key() {}

#[flow(name = "a/b")]
fn slash() {}

#[flow]
struct NoFunction;

fn main() {}
