//! The tasks that are measured: one that does nothing, one that takes time, one that takes bytes
//! and gives them back, and the stages of a flow.
#![cfg(target_family = "wasm")]

use sandmill_guest::{Bytes, task};

sandmill_guest::export!(nothing, spin, echo, numbers, next);

/// Returns nothing.
#[task]
fn nothing(number: u64) {
    let _ = number;
}

/// So many steps of a random sequence (xorshift), none of which can be left out.
#[task]
fn spin(number: u64, rounds: u64) -> u64 {
    (0..rounds).fold(number | 1, |x, _| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        x ^ (x << 17)
    })
}

/// Gives back what it got.
#[task]
fn echo(bytes: Bytes) -> Bytes {
    bytes
}

/// 0, 1, 2, …: what a flow maps over.
#[task]
fn numbers(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// The next number: one stage of a flow.
#[task]
fn next(number: u64) -> u64 {
    number.wrapping_add(1)
}
