//! `export!` has to know which of its tasks are flows.

use sandmill_guest::{flow, task};

#[task]
fn count() {}

#[flow]
fn census() {}

sandmill_guest::export!(count, census);

fn main() {}
