//! Black-box tests of the value layer, in one binary.

mod arbitrary;
mod build;
mod canonical;
mod check;
mod hostile;
mod json;
mod vectors;
mod walk;
