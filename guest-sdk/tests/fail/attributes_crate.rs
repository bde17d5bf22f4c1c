//! `crate = …` with a path that is not the SDK, and twice.

#[sandmill_guest::task(crate = ::no_such_crate)]
fn elsewhere() {}

#[sandmill_guest::task(crate = a, crate = b)]
fn two_crates() {}

fn main() {}
