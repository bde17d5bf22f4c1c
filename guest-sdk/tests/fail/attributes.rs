//! Keys and names that cannot be.

#![allow(unused_variables)]

use sandmill_guest::task;

#[task(nam = "a")]
fn unknown_key() {}

#[task("a")]
fn no_key() {}

#[task(name = a)]
fn no_string() {}

#[task(name = "a", name = "b")]
fn two_names() {}

#[task(name = "")]
fn empty_name() {}

#[task(name = "Über")]
fn capital() {}

#[task(name = "a/b")]
fn slash() {}

#[task(name = "a12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890")]
fn long() {}

#[task]
fn _hidden() {}

#[task]
fn snakeNot() {}

#[task]
fn bad_defaults(
    #[default = 1] a: u32,
    #[default(1, 2)] b: u32,
    #[default] #[default(1)] c: u32,
) {
}

#[task]
fn default_of_another_type(#[default("1")] a: u32) {}

fn main() {}
