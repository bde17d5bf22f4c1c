//! A file that lies loose belongs to no crate.

fn main() {}
