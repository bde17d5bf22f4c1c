//! The macros find the crate under another name.

#![no_implicit_prelude]

extern crate sandmill_guest as sdk;

mod hidden {
    pub extern crate sandmill_guest as other_name;
}

#[sdk::task(crate = crate::hidden::other_name)]
fn twice(number: u64) -> u64 {
    number * 2
}

sdk::export!(crate = crate::hidden::other_name, twice);

fn main() {}
