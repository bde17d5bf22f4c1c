//! [`Kind`]: which of the two attributes is at work. They read and write the same, but for a word.

use std::fmt;

/// What a function is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `#[task]`
    Task,
    /// `#[flow]`
    Flow,
}

impl fmt::Display for Kind {
    /// The attribute's name, which is the noun too.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Task => "task",
            Self::Flow => "flow",
        })
    }
}
