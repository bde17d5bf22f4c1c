//! A program that does nothing, for `wasmtime run`: the task is in the library.

fn main() {}
